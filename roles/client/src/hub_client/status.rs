/// How the connection to the hub is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubStatus {
    /// Where it is.
    pub state: HubState,
    /// Why the last connection or attempt ended; `None` before any has.
    pub last_error: Option<String>,
}

/// The states of the connection to the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubState {
    /// Dialling, or between the handshake and `Authenticate.Success`.
    Connecting,
    /// Authenticated.
    Connected,
    /// Waiting to dial again.
    Waiting {
        /// How long from when this was said, in milliseconds.
        retry_in_ms: u64,
    },
    /// Shut down.
    Stopped,
}

impl HubStatus {
    /// Whether messages can travel.
    pub fn is_connected(&self) -> bool {
        self.state == HubState::Connected
    }
}

/// What a client has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubCounts {
    /// Connections that were authenticated.
    pub connects: u64,
    /// Dials, handshakes and set-ups that failed.
    pub connects_failed: u64,
    /// Frames sent, of every kind.
    pub frames_sent: u64,
    /// Frames received, of every kind.
    pub frames_received: u64,
    /// `Reject`s that the hub sent.
    pub rejects: u64,
    /// Messages that were ignored: of an unknown extension, or of a channel that is gone.
    pub ignored: u64,
    /// Channels that were offered and refused.
    pub offers_refused: u64,
}
