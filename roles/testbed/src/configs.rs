//! The configuration files of a deployment's roles, as text.
//!
//! Only what a deployment needs is set; everything else keeps its documented default.

mod redis;

use std::net::SocketAddr;

use winze_redis::RedisConfig;

use crate::node::NodeAccess;

pub use redis::{QuotePath, RedisSettings, bridge};

/// What of a deployment's configuration is not always the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// A share with so many leading zero bits is worth 1.
    pub minimum_zero_bits: u32,
    /// What each miner's difficulty aims at.
    pub shares_per_minute: f32,
    /// Largest amount of one quote that the mint takes.
    pub quote_amount_max: u64,
    /// What the mint lets the pool have in an hour.
    pub amount_per_hour_max: u64,
    /// What the mint lets the pool have in a day.
    pub amount_per_day_max: u64,
    /// Where templates come from; `None`: built into the pool.
    pub node: Option<NodeAccess>,
    /// Hexadecimal script that coinbases pay to; `None`: the pool's default, which it does not have with a node.
    pub coinbase_script: Option<String>,
    /// What goes over Redis; `None`: nothing, and there is none.
    pub redis: Option<RedisSettings>,
}

/// A role's listening ports, once known: before that, port 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// The port that makes the role what it is: hub, mining or NUT API.
    pub main: Option<SocketAddr>,
    /// The operator's HTTP port.
    pub http: Option<SocketAddr>,
}

impl Ports {
    fn main(&self) -> String {
        listen(self.main)
    }

    fn http(&self) -> String {
        listen(self.http)
    }
}

/// `hub.toml`, beside the folder `keys`.
pub fn hub(ports: &Ports, settings: &Settings) -> String {
    format!(
        r#"role = "hub"
listen = "{main}"
http_listen = "{http}"
static_key_file = "keys/hub/static.key"
certificate_file = "keys/hub/certificate.toml"

[[peers]]
role = "pool"
name = "main"
public_key_file = "keys/pool/identity.pub"
may_open = [{{ extension = 0x4802, peer = "mint/main" }}{bridge}]

[[peers]]
role = "mint"
name = "main"
public_key_file = "keys/mint/identity.pub"
{bridge_peer}"#,
        main = ports.main(),
        http = ports.http(),
        bridge = redis::pool_may_open(settings),
        bridge_peer = redis::hub_peer(settings),
    )
}

/// `mint.toml`, beside the folder `keys`. `redis`: where it is, where there is one.
pub fn mint(
    ports: &Ports,
    hub: SocketAddr,
    settings: &Settings,
    redis: Option<&RedisConfig>,
) -> String {
    format!(
        r#"role = "mint"
api_listen = "{main}"
http_listen = "{http}"
secret_key_file = "keys/mint/identity.key"
store_file = "mint.sqlite"
ecash_store_file = "ecash.sqlite"
seed_file = "keys/mint/seed"
amount_max = {amount_max}

[hub]
address = "{hub}"
authority = {{ public_key_file = "keys/hub/authority.pub" }}

[[pool]]
peer = "pool/main"
public_key_file = "keys/pool/identity.pub"

[[pool.allowance]]
unit = "hash"
amount_per_hour_max = {per_hour}
amount_per_day_max = {per_day}
{redis}"#,
        main = ports.main(),
        http = ports.http(),
        amount_max = settings.quote_amount_max,
        per_hour = settings.amount_per_hour_max,
        per_day = settings.amount_per_day_max,
        redis = redis::mint_tables(settings, redis),
    )
}

/// `pool.toml`, beside the folder `keys`. `redis`: where it is, where there is one.
pub fn pool(
    ports: &Ports,
    hub: SocketAddr,
    settings: &Settings,
    redis: Option<&RedisConfig>,
) -> String {
    let coinbase = match &settings.coinbase_script {
        Some(script) => format!("\n[coinbase]\npayout_script = \"{script}\"\n"),
        None => String::new(),
    };
    let node = match &settings.node {
        Some(node) => format!(
            "\n[bitcoind]\naddress = \"{}\"\ncookie_file = \"{}\"\n",
            node.rpc,
            node.cookie_file.display()
        ),
        None => String::new(),
    };
    let (mint, mint_keys) = redis::pool_mint(settings);
    format!(
        r#"role = "pool"
listen = "{main}"
http_listen = "{http}"
secret_key_file = "keys/pool/identity.key"
static_key_file = "keys/pool/static.key"
certificate_file = "keys/pool/certificate.toml"
store_file = "pool.sqlite"
minimum_zero_bits = {minimum_zero_bits}
shares_per_minute = {shares_per_minute:.1}
unit = "hash"
{quote_path}
[hub]
address = "{hub}"
authority = {{ public_key_file = "keys/hub/authority.pub" }}

[mint]
peer = "{mint}"
public_key_file = "keys/{mint_keys}/identity.pub"
{coinbase}{node}{redis}"#,
        main = ports.main(),
        http = ports.http(),
        minimum_zero_bits = settings.minimum_zero_bits,
        shares_per_minute = settings.shares_per_minute,
        quote_path = redis::pool_path(settings),
        redis = redis::pool_tables(settings, redis),
    )
}

fn listen(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string())
}
