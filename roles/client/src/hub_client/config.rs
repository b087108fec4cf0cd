use winze_messages::EXT_MINT_QUOTE;
use winze_transport::PublicKey;

/// [`HubClientConfig::window_messages`] where nothing else is set: what the hub holds by default.
pub const WINDOW_MESSAGES_DEFAULT: u64 = 1_024;

/// [`HubClientConfig::window_bytes`] where nothing else is set: what the hub holds by default.
pub const WINDOW_BYTES_DEFAULT: u64 = 262_144;

/// How to reach the hub, and how patient to be with it. [`HubClientConfig::new`] has the
/// defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubClientConfig {
    /// False: the hub is never dialled, and nobody hears of this client. Default `true`.
    pub is_dialled: bool,
    /// `host:port`; the host is looked up at every dial.
    pub address: String,
    /// Who signs the hub's certificate.
    pub authority: PublicKey,
    /// The families to negotiate beside the hub's own, without the channel bit. Default: mint
    /// quotes.
    pub extensions: Vec<u16>,
    /// TCP connect and handshake together, in milliseconds. Default 10,000.
    pub connect_timeout_ms: u64,
    /// Everything between the handshake and `Authenticate.Success`, in milliseconds. Default
    /// 10,000.
    pub setup_timeout_ms: u64,
    /// How long the hub may take nothing of what waits to be written, in milliseconds. Default
    /// 20,000.
    pub write_timeout_ms: u64,
    /// The pause before the second dial, in milliseconds; each further one is up to twice as long.
    /// Default 200.
    pub backoff_min_ms: u64,
    /// The longest such pause, in milliseconds. Default 5,000.
    pub backoff_max_ms: u64,
    /// The shortest pause after another instance took this identity, in milliseconds: long, so
    /// that two instances do not fight. Default 30,000.
    pub replaced_backoff_ms: u64,
    /// The longest payload that is taken from the hub, in bytes, whatever it says that it sends.
    /// Default 65,536.
    pub payload_bytes_max: usize,
    /// Messages that may wait on a channel for their taker. Default [`WINDOW_MESSAGES_DEFAULT`].
    pub window_messages: u64,
    /// Payload bytes that may wait on a channel for their taker; at least one largest payload is
    /// granted. Default [`WINDOW_BYTES_DEFAULT`].
    pub window_bytes: u64,
    /// Messages of one channel that may wait to be written. Default 256.
    pub unsent_messages_max: usize,
}

impl HubClientConfig {
    /// The defaults for a hub at `address` whose certificate `authority` has signed.
    pub fn new(address: impl Into<String>, authority: PublicKey) -> HubClientConfig {
        HubClientConfig {
            is_dialled: true,
            address: address.into(),
            authority,
            extensions: vec![EXT_MINT_QUOTE],
            connect_timeout_ms: 10_000,
            setup_timeout_ms: 10_000,
            write_timeout_ms: 20_000,
            backoff_min_ms: 200,
            backoff_max_ms: 5_000,
            replaced_backoff_ms: 30_000,
            payload_bytes_max: 65_536,
            window_messages: WINDOW_MESSAGES_DEFAULT,
            window_bytes: WINDOW_BYTES_DEFAULT,
            unsent_messages_max: 256,
        }
    }
}
