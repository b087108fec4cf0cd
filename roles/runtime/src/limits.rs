//! Every limit of this crate, with its unit and its reason.

use std::time::Duration;

/// Largest configuration file that is read, in bytes. A list of thousands of peers fits; a device file or a log
/// named by mistake does not fill the memory.
pub const CONFIG_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Largest key, certificate or secret file that is read, in bytes. The longest of them, a certificate, has about 400.
pub const KEY_FILE_BYTES_MAX: u64 = 8 * 1024;

/// Connections that the operator's HTTP port serves at a time. One more waits in the kernel's listen queue: whoever
/// scrapes metrics has a handful, and memory stays bounded whoever else connects.
pub const HTTP_CONNECTIONS_MAX: usize = 256;

/// A connection on the operator's HTTP port on which nothing is read or written for this long is closed, so that
/// silent clients cannot hold all of [`HTTP_CONNECTIONS_MAX`].
pub const HTTP_IDLE_MAX: Duration = Duration::from_secs(60);

/// How long an orderly shutdown of the operator's HTTP port waits for the requests it is still serving.
pub const HTTP_DRAIN_MAX: Duration = Duration::from_secs(5);
