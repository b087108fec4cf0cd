use winze_messages::PeerName;
use winze_transport::PublicKey;

/// Whom to answer, and how. [`QuoteResponderConfig::new`] has the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteResponderConfig {
    /// The pools that are served, each with its identity key. One name with two keys is a pool
    /// that changes its key: both are taken.
    pub pools: Vec<(PeerName, PublicKey)>,
    /// Requests handed to the issuer at once, at most. Default 1,024.
    pub batch_max: usize,
    /// Requests of all pools that are with the issuer, at most; what comes beyond is answered
    /// with `busy`. Default 4,096.
    pub under_way_max: usize,
    /// The delay that goes with `busy`, `unavailable` and `bad-authenticator`, in milliseconds.
    /// Default 1,000.
    pub retry_after_ms: u32,
    /// Channels that all pools together may hold. Default 64.
    pub channels_max: usize,
}

impl QuoteResponderConfig {
    /// The defaults for these pools.
    pub fn new(pools: Vec<(PeerName, PublicKey)>) -> QuoteResponderConfig {
        QuoteResponderConfig {
            pools,
            batch_max: 1_024,
            under_way_max: 4_096,
            retry_after_ms: 1_000,
            channels_max: 64,
        }
    }
}
