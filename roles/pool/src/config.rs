//! The pool's configuration: what an operator writes in `pool.toml`.

mod check;

use std::net::SocketAddr;

use serde::Deserialize;
use winze_redis::RedisConfig;
use winze_redis::limits::{LIST_LENGTH_MAX_DEFAULT, PUSH_AGAIN_AFTER_S_DEFAULT};
use winze_runtime::config::{ConfigPath, PublicKeySource};

pub use check::{Checked, CheckedRedis, InvalidValue, Login, Source};

/// The whole of it. Unknown keys are refused; relative paths are relative to the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// This pool's name: at the hub it is `pool/<name>`. 1 to 32 characters out of `a-z`, `0-9` and `-`. Default
    /// `main`.
    #[serde(default = "default_name")]
    pub name: String,
    /// The secret key of this pool's identity at the hub (mode 0600, made by `winze keys`).
    pub secret_key_file: ConfigPath,
    /// Where the hub is.
    pub hub: HubPeer,
    /// The mint that issues the quotes.
    pub mint: MintPeer,
    /// Which way quote requests take. Default `sv2`.
    #[serde(default)]
    pub quote_path: QuotePath,
    /// Where Redis is: needed for every `quote_path` but `sv2`.
    #[serde(default)]
    pub redis: Option<RedisConfig>,
    /// How Redis is used.
    #[serde(default)]
    pub redis_path: RedisPathConfig,
    /// Where miners connect, `ip:port`. Port 0 takes a free one. Default `127.0.0.1:34255`.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Address of the HTTP port: `/health`, `/metrics`, and `/v1/quotes/{locking_key}` for miners. Plain and without
    /// authentication. Port 0 takes a free one. Default `127.0.0.1:9255`.
    #[serde(default = "default_http_listen")]
    pub http_listen: SocketAddr,
    /// The mining server's static secret key (mode 0600). Not the identity at the hub: miners know it by its
    /// certificate.
    pub static_key_file: ConfigPath,
    /// The authority's certificate for the static key.
    pub certificate_file: ConfigPath,
    /// This role's SQLite file: shares, requests that wait, quotes. Made if missing.
    pub store_file: ConfigPath,
    /// The unit of the quotes, in lower case, at most 32 characters out of `a-z`, `0-9`, `-` and `_`. Default `hash`.
    #[serde(default = "default_unit")]
    pub unit: String,
    /// The least work that earns a quote, in leading zero bits of a share's hash: 0 to 96. A share with `n` of them
    /// is worth `2^(n - minimum_zero_bits)`. No channel's target is easier. Default 32, about 4 billion hashes.
    #[serde(default = "default_minimum_zero_bits")]
    pub minimum_zero_bits: u8,
    /// Shares a minute that each channel's target is set for: 0.1 to 6000. Default 6.
    #[serde(default = "default_shares_per_minute")]
    pub shares_per_minute: f32,
    /// Quotes that may wait for the mint. While as many wait, shares are refused with `quote-backlog-full`. 1 to
    /// 2^40. Default 1000000, about 450 MB on disk.
    #[serde(default = "default_quotes_waiting_max")]
    pub quotes_waiting_max: u64,
    /// Of these, quotes of one locking key, so that one miner does not fill `quotes_waiting_max` for all. While as many
    /// wait, or are parked without an answer, its shares are refused with `miner-backlog-full`. 1 to 2^40. Default 250000.
    #[serde(default = "default_quotes_waiting_per_miner_max")]
    pub quotes_waiting_per_miner_max: u64,
    /// Miners' connections at a time, 1 to 65536, handshakes under way included. One more is closed unheard. Default
    /// 4096.
    #[serde(default = "default_connections_max")]
    pub connections_max: usize,
    /// Of these, from one address, 1 to 65536; of IPv6 from one network of 64 bits. One more is closed unheard. A
    /// connection that ends without ever having had a channel counts for a second, so this is also how many handshakes
    /// a stranger gets in a second. Default 1024: all machines behind one NAT have one address.
    #[serde(default = "default_connections_per_address_max")]
    pub connections_per_address_max: usize,
    /// Channels on one connection, 1 to 1024. In the whole pool there are 65536 at most. Default 256.
    #[serde(default = "default_channels_per_connection_max")]
    pub channels_per_connection_max: usize,
    /// A connection on which nothing was heard for so long is closed, in seconds: 10 to 86400. Default 900.
    #[serde(default = "default_idle_timeout_s")]
    pub idle_timeout_s: u64,
    /// How often jobs are made anew on the same block, in milliseconds: 100 to 600000. Default 30000.
    #[serde(default = "default_template_refresh_ms")]
    pub template_refresh_ms: u64,
    /// How long the bitcoin node may be away before shares are refused with `block-template-outdated`, in seconds: 1
    /// to 86400. The rest of the world may have found a block by then. Default 120.
    #[serde(default = "default_template_stale_after_s")]
    pub template_stale_after_s: u64,
    /// Where blocks pay, and their tag.
    #[serde(default)]
    pub coinbase: CoinbaseConfig,
    /// A bitcoin node to take templates from and to give blocks to. Without this table the pool makes a chain of
    /// its own.
    #[serde(default)]
    pub bitcoind: Option<BitcoindConfig>,
    /// The chain of the pool's own, used where no node is configured.
    #[serde(default)]
    pub builtin: BuiltinConfig,
    /// The log's filter, as in `info` or `winze_pool=debug,info`. The variable `WINZE_LOG` goes before it. Default
    /// `info`.
    #[serde(default = "default_log")]
    pub log: String,
}

/// Which way quote requests take. Whichever it is, a share becomes one quote: the mint goes by its header hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuotePath {
    /// Over the hub.
    #[default]
    Sv2,
    /// Over a list in Redis; the hub is not dialled.
    Redis,
    /// Both at once; the answer that comes first counts.
    Both,
    /// Over the hub, and while the hub or the mint behind it is away, over Redis as well.
    Fallback,
}

impl QuotePath {
    /// The hub is dialled.
    pub fn dials_hub(self) -> bool {
        self != QuotePath::Redis
    }

    /// Redis is dialled.
    pub fn dials_redis(self) -> bool {
        self != QuotePath::Sv2
    }

    /// As the configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            QuotePath::Sv2 => "sv2",
            QuotePath::Redis => "redis",
            QuotePath::Both => "both",
            QuotePath::Fallback => "fallback",
        }
    }
}

/// How Redis is used, where it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisPathConfig {
    /// How the list writes the unit: `unit`, in whichever case. Default `unit` in upper case.
    pub list_unit: Option<String>,
    /// A request without a quote so long after it was pushed is pushed again, in seconds: 1 to 86400; then after twice as long
    /// each time, up to an hour. Default 60.
    pub push_again_after_s: u64,
    /// Entries that the list may have, whoever pushed them: 1 to 2^40. While as many are there, requests wait in the
    /// store. Default 100000.
    pub list_length_max: u64,
    /// The largest amount that is pushed, 0 for any; shares of more wait, or go over the hub alone. Default 256 where
    /// `writes_quote_ids` is false, and otherwise 0: the mints that tell no ids refuse more without a word.
    pub list_amount_max: Option<u64>,
    /// Whether the mint writes the ids of its quotes into Redis. Where it does not, with `quote_path = "redis"` alone, a
    /// share is done with once it is pushed: it has no quote that the pool knows of. Default true.
    pub writes_quote_ids: bool,
    /// With `quote_path = "fallback"`, how long the hub or the mint behind it must have been away before Redis is used, in
    /// milliseconds: 0 to 3600000. Default 3000.
    pub fallback_after_ms: u64,
}

impl Default for RedisPathConfig {
    fn default() -> RedisPathConfig {
        RedisPathConfig {
            list_unit: None,
            push_again_after_s: PUSH_AGAIN_AFTER_S_DEFAULT,
            list_length_max: LIST_LENGTH_MAX_DEFAULT,
            list_amount_max: None,
            writes_quote_ids: true,
            fallback_after_ms: 3_000,
        }
    }
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

/// The mint, and how to know it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MintPeer {
    /// Its peer name, or that of a bridge to an old mint (`bridge/<name>`). Default `mint/main`.
    #[serde(default = "default_mint")]
    pub peer: String,
    /// Its identity key: `public_key = ".."` or `public_key_file = ".."`. Its answers are checked against this key,
    /// whatever the hub says.
    #[serde(flatten)]
    pub public_key: PublicKeySource,
}

/// The coinbase of the pool's blocks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoinbaseConfig {
    /// Where blocks pay, as an address of `network`. With a bitcoin node either this or `payout_script` is needed;
    /// without one, blocks are nobody's and pay to anyone (OP_TRUE) unless told otherwise.
    #[serde(default)]
    pub payout_address: Option<String>,
    /// Where blocks pay, as an output script in hex.
    #[serde(default)]
    pub payout_script: Option<String>,
    /// The network of `payout_address`: `bitcoin`, `testnet`, `testnet4`, `signet` or `regtest`. Default `bitcoin`.
    #[serde(default)]
    pub network: Option<String>,
    /// Stands in the coinbase between `Sv2/` and `//`: up to 32 printable ASCII characters. Default `winze`.
    #[serde(default)]
    pub tag: Option<String>,
}

/// A bitcoin node's RPC port, and how it lets us in: `cookie_file`, or `user` and `password_file`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitcoindConfig {
    /// `host:port` of the RPC port: plain HTTP, so on this machine or in a private network.
    pub address: String,
    /// The node's cookie file.
    #[serde(default)]
    pub cookie_file: Option<ConfigPath>,
    /// `rpcuser`.
    #[serde(default)]
    pub user: Option<String>,
    /// File with `rpcpassword`, mode 0600.
    #[serde(default)]
    pub password_file: Option<ConfigPath>,
    /// How often the node is asked for its tip, in milliseconds: 50 to 60000. Default 500.
    #[serde(default = "default_poll_ms")]
    pub poll_ms: u64,
}

/// The chain of the pool's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltinConfig {
    /// Its target in compact form, eight hex digits as `getblocktemplate` has them. Default `1b00ffff`, about 2^48
    /// hashes a block.
    #[serde(default = "default_nbits")]
    pub nbits: String,
    /// How long a block stays the tip when none is found, in milliseconds: 100 to 86400000. Default 600000.
    #[serde(default = "default_block_interval_ms")]
    pub block_interval_ms: u64,
}

impl Default for BuiltinConfig {
    fn default() -> BuiltinConfig {
        BuiltinConfig {
            nbits: default_nbits(),
            block_interval_ms: default_block_interval_ms(),
        }
    }
}

fn default_name() -> String {
    "main".to_owned()
}

fn default_mint() -> String {
    "mint/main".to_owned()
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 34255))
}

fn default_http_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9255))
}

fn default_unit() -> String {
    "hash".to_owned()
}

fn default_minimum_zero_bits() -> u8 {
    32
}

fn default_shares_per_minute() -> f32 {
    6.0
}

fn default_quotes_waiting_max() -> u64 {
    1_000_000
}

fn default_quotes_waiting_per_miner_max() -> u64 {
    250_000
}

fn default_connections_max() -> usize {
    4_096
}

fn default_connections_per_address_max() -> usize {
    1_024
}

fn default_channels_per_connection_max() -> usize {
    256
}

fn default_idle_timeout_s() -> u64 {
    900
}

fn default_template_refresh_ms() -> u64 {
    30_000
}

fn default_template_stale_after_s() -> u64 {
    120
}

fn default_poll_ms() -> u64 {
    500
}

fn default_nbits() -> String {
    "1b00ffff".to_owned()
}

fn default_block_interval_ms() -> u64 {
    600_000
}

fn default_log() -> String {
    "info".to_owned()
}
