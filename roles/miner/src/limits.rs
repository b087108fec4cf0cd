//! Every bound of the miner: its unit, and why it is what it is.

use std::time::Duration;

/// Largest payload taken from a pool, in bytes. The largest message a pool sends is
/// `NewExtendedMiningJob`: two `B0_64K` coinbase halves and 255 merkle nodes stay under it.
pub const PAYLOAD_BYTES_MAX: usize = 160 * 1024;

/// Frames taken from the connection in one turn, so that a busy pool cannot starve submission.
pub const FRAMES_PER_TURN_MAX: usize = 64;

/// Time for TCP connect, Noise handshake, `SetupConnection` and extension negotiation, each.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Time one batch of outgoing messages may take to be accepted by the socket.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A submit that has no answer for this long means a dead connection: Sv2 mining connections
/// carry no ping, so an unanswered share is the only sign of a pool that vanished silently.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Time that a stopped miner waits for the answers to what it submitted.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Submits without an answer per channel. Beyond it found shares wait in the finder's queue.
pub const SUBMITS_IN_FLIGHT_MAX: usize = 128;

/// Shares found and not yet submitted. A full queue blocks the finder threads.
pub const FOUND_QUEUE_MAX: usize = 64;

/// Events not yet taken by the owner. A full queue holds the session back, and with it the pool.
pub const EVENTS_QUEUE_MAX: usize = 256;

/// Future jobs kept per channel; the oldest is dropped. The reference server keeps as many.
pub const FUTURE_JOBS_MAX: usize = 16;

/// Finder threads of one miner.
pub const THREADS_MAX: usize = 64;

/// Nonces one thread takes at a time. At demonstration speeds (about 1 MH/s) this is a few
/// milliseconds, which is how fast threads notice a new job or a stop.
pub const CHUNK_NONCES: u32 = 1 << 12;

/// First and longest wait before the pool is dialled again.
pub const RECONNECT_WAIT_MIN: Duration = Duration::from_millis(100);
/// See [`RECONNECT_WAIT_MIN`].
pub const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// Messages that may arrive while an answer to `OpenMiningChannel` is awaited; more is a pool that
/// does not answer.
pub const MESSAGES_BEFORE_OPEN_MAX: usize = 64;
