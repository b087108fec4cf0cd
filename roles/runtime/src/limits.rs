//! Every limit of this crate, with its unit and its reason.

use std::time::Duration;

/// Largest configuration file that is read, in bytes. A list of thousands of peers fits; a device file or a log
/// named by mistake does not fill the memory.
pub const CONFIG_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Largest key, certificate or secret file that is read, in bytes. The longest of them, a certificate, has about 400.
pub const KEY_FILE_BYTES_MAX: u64 = 8 * 1024;

/// Connections that the operator's HTTP port serves at a time. Further ones wait in the kernel's listen queue: whoever
/// scrapes metrics has a handful, and memory stays bounded whoever else connects.
pub const HTTP_CONNECTIONS_MAX: usize = 256;

/// How long an HTTP connection may wait for a request, from a request's first byte to its answer's, and for the client
/// to take more of an answer. Then it is closed, so that neither silent clients nor those that send one byte after the
/// other can hold all of [`HTTP_CONNECTIONS_MAX`] by themselves.
pub const HTTP_IDLE_MAX: Duration = Duration::from_secs(60);

/// How long an orderly shutdown of the operator's HTTP port waits for the requests it is still serving.
pub const HTTP_DRAIN_MAX: Duration = Duration::from_secs(5);
