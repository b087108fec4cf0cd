//! Bounds of the run that no option sets.

use std::time::Duration;

/// From a server's start until it listens.
pub const READY: Duration = Duration::from_secs(20);

/// How long the runtime waits for its own end.
pub const SHUTDOWN: Duration = Duration::from_secs(2);

/// How long one measurement may take in all, connecting and warming up included. What takes longer has stalled.
pub const CASE: Duration = Duration::from_secs(120);

/// Messages that a sender hands over before it looks at what has come: half a bulk window would leave the receiver
/// without work.
pub const SEND_BATCH_MAX: usize = 1_024;

/// Connections that are made at a time.
pub const CONNECTING_MAX: usize = 16;

/// Ciphertext that a client hands to its socket at once, in bytes.
pub const WRITE_BATCH_BYTES: usize = 256 * 1024;

/// Frames that a client takes from one read.
pub const FRAMES_PER_TURN_MAX: usize = 4_096;

/// Rounds of a run, at most.
pub const ROUNDS_MAX: u32 = 100;

/// Seconds of one measurement, at most.
pub const SECONDS_MAX: f64 = 60.0;

/// What the relay reads at once, in bytes; a hub's connection takes as much.
pub const RELAY_BUFFER_BYTES: usize = 64 * 1024;
