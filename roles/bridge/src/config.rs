//! The bridge's configuration: what an operator writes in `bridge.toml`.

mod check;

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;
use winze_redis::RedisConfig;
use winze_redis::limits::{LIST_LENGTH_MAX_DEFAULT, PUSH_AGAIN_AFTER_S_DEFAULT};
use winze_runtime::config::{ConfigPath, PublicKeySource};

pub use check::InvalidValue;

/// The most that the old mints which read flat entries made a quote over; what is over it they drop.
const FLAT_AMOUNT_MAX: u64 = 256;

/// The whole of it. Unknown keys are refused; relative paths are relative to the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeConfig {
    /// This bridge's name: at the hub it is `bridge/<name>`, and Redis keeps what it has taken under it. 1 to 32 characters
    /// out of `a-z`, `0-9` and `-`; with `[requests]` it does not begin with `mint-`, as mints are called there. Default `main`.
    #[serde(default = "default_name")]
    pub name: String,
    /// The secret key of this bridge's identity at the hub (mode 0600, made by `winze keys`).
    pub secret_key_file: ConfigPath,
    /// Where the hub is.
    pub hub: HubPeer,
    /// Address of the operator's HTTP (`/health`, `/metrics`), which belongs on loopback. Port 0 takes a free one.
    /// Default `127.0.0.1:9256`.
    #[serde(default = "default_http_listen")]
    pub http_listen: SocketAddr,
    /// This role's SQLite file: requests that wait, quote ids that Redis does not have yet, recorded answers. Made if
    /// missing.
    pub store_file: ConfigPath,
    /// The log's filter, as in `info` or `winze_bridge=debug,info`. The variable `WINZE_LOG` goes before it. Default
    /// `info`.
    #[serde(default = "default_log")]
    pub log: String,
    /// Where Redis is, who asks, and what its keys are called.
    #[serde(default)]
    pub redis: RedisConfig,
    /// Take a legacy pool's requests off the list and have a mint at the hub answer them. Default: off.
    #[serde(default)]
    pub requests: Option<RequestsConfig>,
    /// Offer pools at the hub a legacy mint, which takes its requests off a list. Default: off.
    #[serde(default)]
    pub legacy_mint: Option<LegacyMintConfig>,
}

/// Where the hub is, and how to know it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubPeer {
    /// `host:port`.
    pub address: String,
    /// The key that signs the hub's certificate: `authority = { public_key = ".." }` or `{ public_key_file = ".." }`.
    pub authority: PublicKeySource,
}

/// `[requests]`: from the list to a mint at the hub.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestsConfig {
    /// Who answers, by its peer name. Default `mint/main`.
    #[serde(default = "default_mint")]
    pub mint: String,
    /// Its identity key: `public_key = ".."` or `public_key_file = ".."`. Its answers are checked against this key,
    /// whatever the hub says.
    #[serde(flatten)]
    pub public_key: PublicKeySource,
    /// The unit of the requests, in lower case; the list may have it in either. A request for another is a dead letter.
    /// Default `hash`.
    #[serde(default = "default_unit")]
    pub unit: String,
    /// The key, 66 hexadecimal digits, that quotes are locked to whose requests name none. Default: none; such a request
    /// is a dead letter.
    #[serde(default)]
    pub default_locking_key: Option<String>,
    /// Send requests that name a keyset which this mint has not announced under its active one. Old pools ask for the
    /// keyset at their start and never again, so one that was started beside another mint names that one's. Default
    /// `false`: they are sent as they are, and a mint that does not know the keyset refuses them.
    #[serde(default)]
    pub other_keysets: bool,
    /// Requests that may wait for their answers in the store. While as many do, nothing is taken off the list. 1 to 2^40.
    /// Default 100000, about 45 MB on disk.
    #[serde(default = "default_waiting_max")]
    pub waiting_max: u64,
    /// Take new entries off the list. With `false` a bridge finishes what it has taken, asked and been answered, and leaves
    /// the list and `redis.keyset_key` to others. Default `true`.
    #[serde(default = "yes")]
    pub takes_new: bool,
    /// Keep the mint's active keyset under `redis.keyset_key`, where old pools read it. Default `true`.
    #[serde(default = "yes")]
    pub keyset_to_redis: bool,
}

/// `[legacy_mint]`: from pools at the hub to the list of a legacy mint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegacyMintConfig {
    /// Who may ask: `[[legacy_mint.pool]]`. A pool that is not listed gets nothing.
    #[serde(default)]
    pub pool: Vec<LegacyPoolConfig>,
    /// The list that the legacy mint takes from. Default `redis.requests_list`; it must be another one where
    /// `[requests]` is on as well.
    #[serde(default)]
    pub list: Option<String>,
    /// The unit that is served, in lower case. Default `hash`.
    #[serde(default = "default_unit")]
    pub unit: String,
    /// How the list's entries write the unit: old mints compare it. Default `HASH`.
    #[serde(default = "default_list_unit")]
    pub list_unit: String,
    /// What stands before `:<header hash>` in the keys where this mint writes the ids of its quotes. Default
    /// `redis.quote_key_prefix`; it must be another one where `[requests]` is on as well.
    #[serde(default)]
    pub quote_key_prefix: Option<String>,
    /// How entries are written. Default `nested` where the mint writes ids and `flat` where it does not, as old mints were.
    #[serde(default)]
    pub shape: Option<ListShape>,
    /// The most that one entry may be worth; a request for more waits with its pool. 0: any. Default 256 for `flat`
    /// entries, whose mints drop what is over it, and 0 for `nested` ones.
    #[serde(default)]
    pub list_amount_max: Option<u64>,
    /// Take new requests of pools. With `false` a bridge finishes what is open, and pools wait: so it is before another mint
    /// is put in this one's place. Default `true`.
    #[serde(default = "yes")]
    pub takes_new: bool,
    /// So long after a request has left the list without a quote's id it is pushed again, in seconds: 1 to 86400. Default 60.
    #[serde(default = "default_push_again_after_s")]
    pub push_again_after_s: u64,
    /// The mint writes a key with the id of each quote. With `false`, for the later ones that write none, a pool is
    /// answered `unknown` once its request was pushed. Default `true`.
    #[serde(default = "yes")]
    pub writes_quote_ids: bool,
    /// What the requests that are still open were pushed to, `<address>/<database>/<list>`, where that is the same mint's
    /// list under another name now. Default: none; with open requests the list may not change.
    #[serde(default)]
    pub moved_from: Option<String>,
    /// Entries that may wait in the list. While as many do, pools are put off. 1 to 2^40. Default 100000.
    #[serde(default = "default_list_length_max")]
    pub list_length_max: u64,
    /// Watch `redis.keyset_key` and announce what the mint has set there. Default `true`.
    #[serde(default = "yes")]
    pub keyset_from_redis: bool,
}

/// How an old mint wants its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListShape {
    /// `{"quote_request":{..},"blinded_messages":[]}`, as those read it that write ids.
    Nested,
    /// The fields alone, as the latest read it, which write no ids.
    Flat,
}

/// One pool: `[[legacy_mint.pool]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegacyPoolConfig {
    /// Its peer name, `pool/main`.
    pub peer: String,
    /// Its identity key: `public_key = ".."` or `public_key_file = ".."`.
    #[serde(flatten)]
    pub public_key: PublicKeySource,
}

impl LegacyMintConfig {
    /// How entries are written.
    pub fn shape(&self) -> ListShape {
        self.shape.unwrap_or(match self.writes_quote_ids {
            true => ListShape::Nested,
            false => ListShape::Flat,
        })
    }

    /// The most that one entry may be worth.
    pub fn amount_max(&self) -> u64 {
        let of_its_time = match self.shape() {
            ListShape::Nested => 0,
            ListShape::Flat => FLAT_AMOUNT_MAX,
        };
        match self.list_amount_max.unwrap_or(of_its_time) {
            0 => u64::MAX,
            most => most,
        }
    }
}

fn default_name() -> String {
    "main".to_owned()
}

fn default_http_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 9256).into()
}

fn default_log() -> String {
    "info".to_owned()
}

fn default_mint() -> String {
    "mint/main".to_owned()
}

fn default_unit() -> String {
    "hash".to_owned()
}

fn default_list_unit() -> String {
    "HASH".to_owned()
}

fn default_waiting_max() -> u64 {
    100_000
}

fn default_list_length_max() -> u64 {
    LIST_LENGTH_MAX_DEFAULT
}

fn default_push_again_after_s() -> u64 {
    PUSH_AGAIN_AFTER_S_DEFAULT
}

fn yes() -> bool {
    true
}
