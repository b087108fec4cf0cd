//! The roles' configurations along the way, as an operator would write them: what is not here keeps its default.

use std::net::SocketAddr;

/// Where everybody is, once known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// Redis.
    pub redis: SocketAddr,
    /// Where peers connect to the hub; unknown before it runs, and then nobody asks.
    pub hub: Option<SocketAddr>,
}

/// A share with so many leading zero bits is worth 1; one thread finds several a second.
pub(super) const MINIMUM_ZERO_BITS: u32 = 16;

/// What the pool does with its shares' requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QuotePath {
    /// To the hub and to the list.
    Both,
    /// To the hub alone.
    Sv2,
}

/// The largest allowance there is.
const UNBOUNDED: u64 = 1 << 62;

/// `hub.toml`.
pub(super) fn hub() -> String {
    r#"role = "hub"
listen = "127.0.0.1:0"
http_listen = "127.0.0.1:0"
static_key_file = "keys/hub/static.key"
certificate_file = "keys/hub/certificate.toml"

[[peers]]
role = "pool"
name = "main"
public_key_file = "keys/pool/identity.pub"
may_open = [{ extension = 0x4802, peer = "mint/main" }]

[[peers]]
role = "bridge"
name = "main"
public_key_file = "keys/bridge/identity.pub"
may_open = [{ extension = 0x4802, peer = "mint/main" }]

[[peers]]
role = "mint"
name = "main"
public_key_file = "keys/mint/identity.pub"
"#
    .to_owned()
}

/// `mint.toml`: the bridge is a peer with an allowance of its own.
pub(super) fn mint(places: &Places) -> String {
    let pool = |role: &str| {
        format!(
            r#"
[[pool]]
peer = "{role}/main"
public_key_file = "keys/{role}/identity.pub"

[[pool.allowance]]
unit = "hash"
amount_per_hour_max = {UNBOUNDED}
amount_per_day_max = {UNBOUNDED}
"#
        )
    };
    format!(
        r#"role = "mint"
api_listen = "127.0.0.1:0"
http_listen = "127.0.0.1:0"
secret_key_file = "keys/mint/identity.key"
store_file = "mint.sqlite"
ecash_store_file = "ecash.sqlite"
seed_file = "keys/mint/seed"

{hub}{pool}{bridge}"#,
        hub = hub_table(places),
        pool = pool("pool"),
        bridge = pool("bridge"),
    )
}

/// `bridge.toml`: from the old pool's list over the hub to the mint.
pub(super) fn bridge(places: &Places) -> String {
    format!(
        r#"role = "bridge"
http_listen = "127.0.0.1:0"
secret_key_file = "keys/bridge/identity.key"
store_file = "bridge.sqlite"

{hub}
{redis}
[requests]
mint = "mint/main"
public_key_file = "keys/mint/identity.pub"
# The old pool asked for the old mint's keyset when it started, and never again.
other_keysets = true
"#,
        hub = hub_table(places),
        redis = redis_table(places),
    )
}

/// `pool.toml`, the mining port at `mining` once it has one: miners come back to where they were.
pub(super) fn pool(
    places: &Places,
    path: QuotePath,
    ports: Option<(SocketAddr, SocketAddr)>,
) -> String {
    let (listen, http) = match ports {
        Some((mining, http)) => (mining.to_string(), http.to_string()),
        None => ("127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned()),
    };
    let (path, redis) = match path {
        QuotePath::Both => ("both", redis_table(places)),
        QuotePath::Sv2 => ("sv2", String::new()),
    };
    format!(
        r#"role = "pool"
listen = "{listen}"
http_listen = "{http}"
secret_key_file = "keys/pool/identity.key"
static_key_file = "keys/pool/static.key"
certificate_file = "keys/pool/certificate.toml"
store_file = "pool.sqlite"
minimum_zero_bits = {MINIMUM_ZERO_BITS}
shares_per_minute = 600.0
unit = "hash"
quote_path = "{path}"

{hub}
[mint]
peer = "mint/main"
public_key_file = "keys/mint/identity.pub"

{redis}"#,
        hub = hub_table(places),
    )
}

fn hub_table(places: &Places) -> String {
    let address = places.hub.map_or_else(String::new, |hub| hub.to_string());
    format!(
        "[hub]\naddress = \"{address}\"\nauthority = {{ public_key_file = \"keys/hub/authority.pub\" }}\n"
    )
}

fn redis_table(places: &Places) -> String {
    format!("[redis]\naddress = \"{}\"\n", places.redis)
}
