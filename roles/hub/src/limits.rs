//! Every limit of the hub, with its unit and its reason: [`HubLimits`] is the operator's, the constants are fixed.
//!
//! Memory that one connection can make the hub hold: for each channel end one window of messages that wait for its
//! reader, and for each of its own refused messages the notice of it. With the defaults that is at most 256 channels of
//! 262,144 bytes, and less than 300 bytes beside for each of 1,024 messages or notices, of which a group's member's end may
//! have twice as many: its own and its group's. A message to a group counts in the window of each member that gets it, and is in memory once. Plus
//! [`CONTROL_MAX`] answers, one batch of [`WRITE_BATCH_BYTES`] under way in each direction, the transport's read buffer,
//! and one message.

use std::time::Duration;

use serde::Deserialize;
use winze_runtime::admission::AdmissionLimits;

/// What the operator may set: table `limits` of the configuration. Defaults are those of section 7 of the
/// specification. Which of them a running hub takes over is said at [`HubLimits::updated`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubLimits {
    /// Connections at a time, those under way of proving who they are included. Default 1,024. Beyond it a few are told
    /// `too-many-connections`, the rest are closed unheard.
    pub connections_max: usize,
    /// Connections at a time from one address; of IPv6 from one network of 64 bits, which is what one host has. Default 128, so that one address cannot take all of `connections_max`,
    /// and every role can run on one machine. Beyond it a connection is closed unheard.
    pub connections_per_address_max: usize,
    /// Both acts of the Noise handshake, in milliseconds. Default 5,000.
    pub handshake_timeout_ms: u64,
    /// From the end of the handshake to the end of the authentication, in milliseconds. Default 5,000.
    pub setup_timeout_ms: u64,
    /// Largest payload of a frame once its sender is authenticated, in bytes; told to the client. Default 65,536.
    pub payload_bytes_max: u32,
    /// Channels of one connection, opened and offered together; told to the client. Default 256.
    pub channels_max: u32,
    /// Channels from one opener to one peer; as many again may wait for that peer to take their last messages. Default
    /// 16, so that no opener takes all of a peer's `channels_max`.
    pub channels_per_pair_max: u32,
    /// Messages of one channel and direction that the hub holds. Default 1,024: each costs some hundred bytes beside its
    /// payload, which `window_bytes` bounds, and every half of a window costs a `Credit` each way.
    pub window_messages: u64,
    /// Bytes of payload of one channel and direction that the hub holds. Default 262,144; at least
    /// `payload_bytes_max`, or the largest message could never be sent.
    pub window_bytes: u64,
    /// Silence of a client before the hub sends `Ping`, in milliseconds; told to the client. Default 15,000.
    pub ping_interval_ms: u32,
    /// Silence of a client before the hub closes the connection, in milliseconds; told to the client. Default 45,000.
    pub idle_timeout_ms: u32,
    /// How long a client may take nothing of what is written to it before the hub closes the connection, in
    /// milliseconds; and how long it may take, at whatever pace, over the rest of a connection that has ended. Default
    /// 20,000.
    pub write_timeout_ms: u64,
    /// How long an orderly shutdown takes at most, in milliseconds: half of it for what is on the way, the rest for the
    /// clients to take the last messages. Default 5,000.
    pub shutdown_drain_ms: u64,
    /// When clients shall come back after an orderly shutdown, in milliseconds. Default 1,000.
    pub shutdown_retry_after_ms: u32,
}

impl Default for HubLimits {
    fn default() -> Self {
        HubLimits {
            connections_max: 1_024,
            connections_per_address_max: 128,
            handshake_timeout_ms: 5_000,
            setup_timeout_ms: 5_000,
            payload_bytes_max: 65_536,
            channels_max: 256,
            channels_per_pair_max: 16,
            window_messages: 1_024,
            window_bytes: 262_144,
            ping_interval_ms: 15_000,
            idle_timeout_ms: 45_000,
            write_timeout_ms: 20_000,
            shutdown_drain_ms: 5_000,
            shutdown_retry_after_ms: 1_000,
        }
    }
}

impl HubLimits {
    /// What of these the listener enforces, before a connection reaches the core.
    pub(crate) fn admission(&self) -> AdmissionLimits {
        AdmissionLimits {
            connections_max: self.connections_max.saturating_add(TURNED_AWAY_MAX),
            per_address_max: self.connections_per_address_max,
            stranger_place: Duration::from_millis(STRANGER_PLACE_MS),
        }
    }

    /// These limits with what may change while the hub runs taken from `wanted`, and the keys of what may not and
    /// differs: clients were told those, or channels have windows of that size.
    pub fn updated(&self, wanted: &HubLimits) -> (HubLimits, Vec<&'static str>) {
        let updated = HubLimits {
            payload_bytes_max: self.payload_bytes_max,
            channels_max: self.channels_max,
            window_messages: self.window_messages,
            window_bytes: self.window_bytes,
            ping_interval_ms: self.ping_interval_ms,
            idle_timeout_ms: self.idle_timeout_ms,
            ..wanted.clone()
        };
        let fixed = [
            (
                "payload_bytes_max",
                self.payload_bytes_max == wanted.payload_bytes_max,
            ),
            ("channels_max", self.channels_max == wanted.channels_max),
            (
                "window_messages",
                self.window_messages == wanted.window_messages,
            ),
            ("window_bytes", self.window_bytes == wanted.window_bytes),
            (
                "ping_interval_ms",
                self.ping_interval_ms == wanted.ping_interval_ms,
            ),
            (
                "idle_timeout_ms",
                self.idle_timeout_ms == wanted.idle_timeout_ms,
            ),
        ];
        let differ = fixed.iter().filter(|(_, same)| !same);
        (updated, differ.map(|(key, _)| *key).collect())
    }

    /// All that is wrong with these limits, as key and reason; nothing when they fit together.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let positive = [
            ("connections_max", self.connections_max as u64),
            (
                "connections_per_address_max",
                self.connections_per_address_max as u64,
            ),
            ("handshake_timeout_ms", self.handshake_timeout_ms),
            ("setup_timeout_ms", self.setup_timeout_ms),
            ("channels_max", u64::from(self.channels_max)),
            (
                "channels_per_pair_max",
                u64::from(self.channels_per_pair_max),
            ),
            ("window_messages", self.window_messages),
            ("ping_interval_ms", u64::from(self.ping_interval_ms)),
            ("write_timeout_ms", self.write_timeout_ms),
            ("shutdown_drain_ms", self.shutdown_drain_ms),
        ];
        let zero = positive.iter().filter(|(_, value)| *value == 0);
        problems.extend(zero.map(|(key, _)| (*key, "must be at least 1".to_owned())));
        let durations = [
            ("handshake_timeout_ms", self.handshake_timeout_ms),
            ("setup_timeout_ms", self.setup_timeout_ms),
            ("write_timeout_ms", self.write_timeout_ms),
            ("shutdown_drain_ms", self.shutdown_drain_ms),
        ];
        let long = durations
            .iter()
            .filter(|(_, value)| *value > DURATION_MS_MAX);
        problems.extend(long.map(|(key, value)| {
            let reason = format!("{value} is more than {DURATION_MS_MAX}, a day");
            (*key, reason)
        }));
        let payload = self.payload_bytes_max as usize;
        if !(PAYLOAD_BYTES_BEFORE_AUTHENTICATION..=winze_transport::PAYLOAD_BYTES_MAX)
            .contains(&payload)
        {
            problems.push((
                "payload_bytes_max",
                format!(
                    "must be {PAYLOAD_BYTES_BEFORE_AUTHENTICATION} to {}, is {payload}",
                    winze_transport::PAYLOAD_BYTES_MAX
                ),
            ));
        }
        if self.window_bytes < u64::from(self.payload_bytes_max) {
            problems.push((
                "window_bytes",
                format!(
                    "{} is less than payload_bytes_max, {}: the largest message could never be sent",
                    self.window_bytes, self.payload_bytes_max
                ),
            ));
        }
        if self.idle_timeout_ms <= self.ping_interval_ms {
            problems.push((
                "idle_timeout_ms",
                format!(
                    "{} is not more than ping_interval_ms, {}: a quiet client would be closed unasked",
                    self.idle_timeout_ms, self.ping_interval_ms
                ),
            ));
        }
        problems
    }
}

/// Longest time-out that may be set, in milliseconds: a day. What is longer is a mistake, and far longer would not fit
/// the clock.
pub const DURATION_MS_MAX: u64 = 86_400_000;

/// Largest payload of a frame whose sender is not yet authenticated, in bytes (specification, section 1). The longest
/// message of the steps, `SetupConnection` with every text full, has 1,291.
pub const PAYLOAD_BYTES_BEFORE_AUTHENTICATION: usize = 4_096;

/// Payload of all frames before authentication, in bytes (specification, section 1), those that are ignored included.
pub const PAYLOAD_BYTES_BEFORE_AUTHENTICATION_TOTAL: usize = 16_384;
const _: () =
    assert!(PAYLOAD_BYTES_BEFORE_AUTHENTICATION <= PAYLOAD_BYTES_BEFORE_AUTHENTICATION_TOTAL);

/// Frames before authentication (specification, section 1), those that are ignored included. The steps need three; a
/// frame without payload counts in no bytes, and costs a decryption.
pub const FRAMES_BEFORE_AUTHENTICATION_MAX: usize = 64;

/// Answers that wait for one client (specification, section 7). Overflow: the connection is closed with
/// `control-overflow`. Only a client's own requests come here, so nobody but itself can bring it to this bound.
pub const CONTROL_MAX: usize = 1_024;

/// Groups in the configuration. Each opener can have as many channels to one as `channels_per_pair_max` says, those of all
/// extensions and labels together; this bounds what reading the list again costs.
pub const GROUPS_MAX: usize = 64;

/// Members of one group. A message to the group is copied to each of them at once, so this bounds what one message can
/// cost; and a group with all of them and the channel to it fit into the default of `channels_max`.
pub const GROUP_MEMBERS_MAX: usize = 128;

/// Takeovers of one identity within [`TAKEOVER_WINDOW_MS`] before a further one is refused. A process that crashes
/// and comes back needs one; two instances that fight need one for each round.
pub const TAKEOVERS_MAX: usize = 5;

/// How long a takeover counts, in milliseconds.
pub const TAKEOVER_WINDOW_MS: u64 = 60_000;

/// When a connection that was replaced should come back, in milliseconds: late, because if it is a second instance it
/// should not come back at all.
pub const REPLACED_RETRY_AFTER_MS: u32 = 10_000;

/// When a client that found the hub full should come back, in milliseconds.
pub const FULL_RETRY_AFTER_MS: u32 = 5_000;

/// How long the place of a client that did a handshake and did not prove who it is stays taken at least, from when it was
/// accepted, in milliseconds. A handshake costs the hub far more than its client, so one address gets no more of them
/// than `connections_per_address_max` in this time, and after the first so many they come evenly spread over it.
pub const STRANGER_PLACE_MS: u64 = 1_000;

/// Connections beyond `connections_max` that get as far as being told so. Each costs a handshake; further ones are
/// closed unheard.
pub const TURNED_AWAY_MAX: usize = 16;

/// Frames that are taken from one client before the others have their turn.
pub const READ_BATCH_FRAMES: usize = 256;

/// What is taken from the core and encrypted at a time, in bytes on the wire. One message more may come with it.
pub const WRITE_BATCH_BYTES: usize = 64 * 1024;

/// Empty queues of messages that are kept for the next channels on which messages wait; more are freed. Enough for those
/// that come with one look at the sockets; with [`SPARE_QUEUE_MESSAGES_MAX`] in each, 5 MiB.
pub const SPARE_QUEUES_MAX: usize = 128;

/// Messages that there is room for in a queue that is kept: as many as a window of the default holds.
pub const SPARE_QUEUE_MESSAGES_MAX: usize = 1_024;

/// How often deadlines are looked at, in milliseconds: the precision of every time-out of the core.
pub const TICK_MS: u64 = 50;

/// How long nothing may have been on the way before an orderly shutdown takes it that nothing comes any more, in
/// milliseconds. Longer than an answer takes whose request has just been delivered: a mint's commit.
pub const DRAIN_QUIET_MS: u64 = 200;

/// How long a closed connection is still read, and what comes thrown away, in milliseconds. Closing a socket with unread
/// bytes in it resets it, and the client may then never see the `Close`.
pub const LINGER_MS: u64 = 1_000;

/// How much is thrown away in that time at most, in bytes.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Lines that one source (a listed peer, all strangers together, the listener) may write to the log in
/// [`LOG_INTERVAL_MS`]. Overflow: counted, and said in one line when the interval is over.
pub const LOG_LINES_MAX: u32 = 20;

/// The interval of [`LOG_LINES_MAX`], in milliseconds.
pub const LOG_INTERVAL_MS: u64 = 60_000;

/// How long the listener rests after the operating system refused it a connection (no file handle is left), in
/// milliseconds.
pub const ACCEPT_RETRY_MS: u64 = 100;
