//! What of the configuration files has to do with Redis: the roles' tables, and the bridge's file.

use std::fmt::Write;
use std::net::SocketAddr;

use winze_redis::RedisConfig;

use super::{Ports, Settings};

/// What of a deployment goes over Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisSettings {
    /// Redis keeps an append-only file, with an fsync behind every command.
    pub durable: bool,
    /// It takes encrypted connections alone.
    pub tls: bool,
    /// It takes a user with a password alone.
    pub password: bool,
    /// Which way the pool's requests take.
    pub quote_path: QuotePath,
    /// After so long without a quote's id a request is pushed again, in seconds, by pool and bridge; `None`: as they do by
    /// themselves.
    pub push_again_after_s: Option<u64>,
    /// The pool takes requests that were pushed for done; so does the bridge.
    pub no_quote_ids: bool,
    /// The bridge takes requests off the list, for the mint.
    pub bridge_requests: bool,
    /// Requests on the list that name another mint's keyset are served, under this mint's.
    pub other_keysets: bool,
    /// The bridge offers the pool an old mint, which is then the pool's mint.
    pub bridge_legacy_mint: bool,
    /// The bridge finishes what it has begun, and begins nothing new.
    pub bridge_finishes: bool,
    /// The mint reads the list itself.
    pub mint_reads_list: bool,
}

impl RedisSettings {
    /// Whether there is a bridge.
    pub fn has_bridge(&self) -> bool {
        self.bridge_requests || self.bridge_legacy_mint
    }
}

/// Which way a pool's requests for quotes take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuotePath {
    /// Over the hub.
    #[default]
    Sv2,
    /// Over the list.
    Redis,
    /// Over both at once.
    Both,
    /// Over the hub, and over the list while the hub is away.
    Fallback,
}

impl QuotePath {
    /// As configuration files have it.
    pub fn name(self) -> &'static str {
        match self {
            QuotePath::Sv2 => "sv2",
            QuotePath::Redis => "redis",
            QuotePath::Both => "both",
            QuotePath::Fallback => "fallback",
        }
    }
}

/// The bridge's peer name.
const BRIDGE: &str = "bridge/main";

/// `bridge.toml`, beside the folder `keys`.
pub fn bridge(ports: &Ports, hub: SocketAddr, settings: &Settings, redis: &RedisConfig) -> String {
    let wanted = settings.redis.clone().unwrap_or_default();
    let mut text = format!(
        r#"role = "bridge"
http_listen = "{http}"
secret_key_file = "keys/bridge/identity.key"
store_file = "bridge.sqlite"

[hub]
address = "{hub}"
authority = {{ public_key_file = "keys/hub/authority.pub" }}
{redis}"#,
        http = ports.http(),
        redis = table(redis),
    );
    let takes_new = match wanted.bridge_finishes {
        true => "takes_new = false\n",
        false => "",
    };
    if wanted.bridge_requests {
        text.push_str(
            "\n[requests]\nmint = \"mint/main\"\npublic_key_file = \"keys/mint/identity.pub\"\nunit = \"hash\"\n",
        );
        text.push_str(other_keysets(&wanted));
        text.push_str(takes_new);
    }
    if wanted.bridge_legacy_mint {
        text.push_str("\n[legacy_mint]\nunit = \"hash\"\n");
        text.push_str(takes_new);
        text.push_str(&push_again(&wanted));
        if wanted.no_quote_ids {
            // The mint of these stories takes any amount.
            text.push_str("writes_quote_ids = false\nlist_amount_max = 0\n");
        }
        text.push_str(
            "\n[[legacy_mint.pool]]\npeer = \"pool/main\"\npublic_key_file = \"keys/pool/identity.pub\"\n",
        );
    }
    text
}

/// The bridge among the hub's peers.
pub(super) fn hub_peer(settings: &Settings) -> String {
    match has_bridge(settings) {
        false => String::new(),
        true => r#"
[[peers]]
role = "bridge"
name = "main"
public_key_file = "keys/bridge/identity.pub"
may_open = [{ extension = 0x4802, peer = "mint/main" }]
"#
        .to_owned(),
    }
}

/// Whom the pool may speak to beside the mint, at the hub.
pub(super) fn pool_may_open(settings: &Settings) -> String {
    match has_bridge(settings) {
        false => String::new(),
        true => format!(", {{ extension = 0x4802, peer = \"{BRIDGE}\" }}"),
    }
}

/// Who is the pool's mint: its peer name, and the folder of its keys.
pub(super) fn pool_mint(settings: &Settings) -> (&'static str, &'static str) {
    match &settings.redis {
        Some(wanted) if wanted.bridge_legacy_mint => (BRIDGE, "bridge"),
        _ => ("mint/main", "mint"),
    }
}

/// The key of the pool that says which way.
pub(super) fn pool_path(settings: &Settings) -> String {
    match &settings.redis {
        None => String::new(),
        Some(wanted) => format!("quote_path = \"{}\"\n", wanted.quote_path.name()),
    }
}

/// The pool's tables.
pub(super) fn pool_tables(settings: &Settings, redis: Option<&RedisConfig>) -> String {
    match (&settings.redis, redis) {
        (Some(wanted), Some(redis)) if wanted.quote_path != QuotePath::Sv2 => {
            let ids = match wanted.no_quote_ids {
                true => "writes_quote_ids = false\n",
                false => "",
            };
            let again = push_again(wanted);
            format!("{}\n[redis_path]\n{again}{ids}", table(redis))
        }
        _ => String::new(),
    }
}

/// The mint's tables: the bridge as one of its pools, and the list.
pub(super) fn mint_tables(settings: &Settings, redis: Option<&RedisConfig>) -> String {
    let (Some(wanted), Some(redis)) = (&settings.redis, redis) else {
        return String::new();
    };
    let allowance = format!(
        "unit = \"hash\"\namount_per_hour_max = {}\namount_per_day_max = {}\n",
        settings.amount_per_hour_max, settings.amount_per_day_max
    );
    let mut text = String::new();
    if wanted.bridge_requests {
        let _ = write!(
            text,
            "\n[[pool]]\npeer = \"{BRIDGE}\"\npublic_key_file = \"keys/bridge/identity.pub\"\n\n\
             [[pool.allowance]]\n{allowance}"
        );
    }
    if wanted.mint_reads_list {
        let _ = write!(
            text,
            "{}\n[redis_requests]\nunit = \"hash\"\n{}\n[[redis_requests.allowance]]\n{allowance}",
            table(redis),
            other_keysets(wanted)
        );
    }
    text
}

fn has_bridge(settings: &Settings) -> bool {
    settings
        .redis
        .as_ref()
        .is_some_and(RedisSettings::has_bridge)
}

fn other_keysets(wanted: &RedisSettings) -> &'static str {
    match wanted.other_keysets {
        true => "other_keysets = true\n",
        false => "",
    }
}

fn push_again(wanted: &RedisSettings) -> String {
    wanted
        .push_again_after_s
        .map_or_else(String::new, |seconds| {
            format!("push_again_after_s = {seconds}\n")
        })
}

/// `[redis]`, for a server of one's own.
fn table(redis: &RedisConfig) -> String {
    let mut text = format!("\n[redis]\naddress = \"{}\"\n", redis.address);
    // Writing to text does not fail.
    if let Some(username) = &redis.username {
        let _ = writeln!(text, "username = \"{username}\"");
    }
    if let Some(file) = &redis.password_file {
        let _ = writeln!(text, "password_file = \"{}\"", file.as_path().display());
    }
    if let Some(tls) = &redis.tls {
        text.push_str("\n[redis.tls]\n");
        if let Some(file) = &tls.ca_file {
            let _ = writeln!(text, "ca_file = \"{}\"", file.as_path().display());
        }
    }
    text
}
