use winze_messages::PeerName;
use winze_transport::PublicKey;

/// Whom to ask, and how. [`QuoteRequesterConfig::new`] has the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteRequesterConfig {
    /// The mint's peer name: `mint/main`.
    pub mint: PeerName,
    /// The mint's identity key: what its answers are verified with, whatever the hub says.
    pub mint_key: PublicKey,
    /// Requests sent and not answered, at most. Default 256.
    pub window: usize,
    /// The first time-out without any answer, in milliseconds. Default 15,000.
    pub timeout_ms: u64,
    /// To which it grows by backing off, in milliseconds; also after how long a request is sent
    /// again while others are answered. Default 300,000.
    pub timeout_max_ms: u64,
    /// The delay of a request whose temporary refusal names none, and after a `Reject`, in
    /// milliseconds; it doubles with each attempt. Default 1,000.
    pub delay_ms: u64,
    /// To which it grows, in milliseconds; also the longest delay that the mint may ask for, as
    /// `delay_ms` is the shortest.
    /// Default 3,600,000.
    pub delay_max_ms: u64,
    /// After how many `Reject`s that no waiting can cure (malformed, say) a request is parked.
    /// Default 5.
    pub rejects_max: u32,
    /// A request older than this, in milliseconds, is parked; `None`: never. Default `None`.
    pub park_after_ms: Option<u64>,
    /// How long answered requests are kept, in milliseconds; twice as long while a mint that has
    /// forgotten answers is still to be asked for some again. Default 7 days.
    pub keep_answered_ms: u64,
}

impl QuoteRequesterConfig {
    /// The defaults for a mint with this name and key.
    pub fn new(mint: PeerName, mint_key: PublicKey) -> QuoteRequesterConfig {
        QuoteRequesterConfig {
            mint,
            mint_key,
            window: 256,
            timeout_ms: 15_000,
            timeout_max_ms: 300_000,
            delay_ms: 1_000,
            delay_max_ms: 3_600_000,
            rejects_max: 5,
            park_after_ms: None,
            keep_answered_ms: 7 * 24 * 3_600_000,
        }
    }
}
