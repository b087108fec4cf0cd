//! Every bound of this crate that no configuration sets, with its unit and its reason.

/// Writes that may wait for the store's writer; a caller beyond that waits to hand its own in.
/// A few of the largest batches, so that the writer always has the next one at hand.
pub const STORE_WRITES_WAITING_MAX: usize = 4_096;

/// Reads that may wait for the store's reader; a caller beyond that waits.
pub const STORE_READS_WAITING_MAX: usize = 256;

/// Writes in one transaction. An fsync costs as much as hundreds of small writes; more than this
/// would only make the first in the batch wait.
pub const STORE_BATCH_JOBS_MAX: usize = 1_024;

/// How long SQLite waits, in milliseconds, for a lock that a backup tool holds on the file.
pub const STORE_BUSY_TIMEOUT_MS: u64 = 5_000;

/// Compiled statements kept per connection.
pub const STORE_STATEMENTS_CACHED_MAX: usize = 128;

/// To how many bytes the write-ahead log is cut back once it was copied into the database.
pub const STORE_WAL_BYTES_KEPT_MAX: i64 = 64 * 1024 * 1024;

/// Longest key of a request in bytes: the widest of any family (session, round, attempt, sender)
/// stays below.
pub const KEY_BYTES_MAX: usize = 128;

/// Longest body of a request or answer in bytes: what fits a frame of the hub's default length
/// would; the families' own bounds are far less.
pub const BODY_BYTES_MAX: usize = 65_536;

const _: () = assert!(STORE_BATCH_JOBS_MAX <= STORE_WRITES_WAITING_MAX);
