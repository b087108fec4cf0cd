//! Every bound, its unit and its reason.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Bytes of an entry that is taken. Real ones have about 300; the oldest shape brings up to 64 blinded messages of some
/// 200 bytes each. What is longer goes to the dead letters, cut.
pub const ENTRY_BYTES_MAX: usize = 64 * 1024;

/// Entries that are taken at once, and their bytes together: one answer of Redis's.
pub const TAKEN_ENTRIES_MAX: usize = 1_024;
/// See [`TAKEN_ENTRIES_MAX`].
pub const TAKEN_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a bad entry that its dead letter keeps.
pub const DEAD_LETTER_ENTRY_BYTES_MAX: usize = 4 * 1024;

/// Bytes of a quote's id that are read. Ids are UUIDs, of 36 bytes.
pub const QUOTE_ID_BYTES_MAX: usize = 255;

/// Bytes of a keyset that are read: 64 keys take about 6,000.
pub const KEYSET_BYTES_MAX: usize = 64 * 1024;

/// How long one look at a list waits for entries. It is as old as the operator's figures of an idle list get.
pub const LIST_PATIENCE: Duration = Duration::from_secs(1);

/// How often the lengths of the list and of the dead letters are asked for.
pub const LIST_LENGTHS_INTERVAL: Duration = Duration::from_secs(1);

/// How often the keyset's key is read, by who keeps it and by who goes by it.
pub const KEYSET_INTERVAL: Duration = Duration::from_secs(1);

/// Entries that a list may be set to have at most, by whoever pushes to it, and what it is set to without being told.
pub const LIST_LENGTH_MAX: RangeInclusive<u64> = 1..=1 << 40;
/// See [`LIST_LENGTH_MAX`].
pub const LIST_LENGTH_MAX_DEFAULT: u64 = 100_000;

/// After how long without a quote's id a request may be set to be pushed again, in seconds, and what that is set to without
/// being told.
pub const PUSH_AGAIN_AFTER_S: RangeInclusive<u64> = 1..=86_400;
/// See [`PUSH_AGAIN_AFTER_S`].
pub const PUSH_AGAIN_AFTER_S_DEFAULT: u64 = 60;

/// How long keys of quote ids may be set to be kept, in seconds, where it is not for ever: an hour, since who looks for them
/// may be away for a while, to ten years, which Redis can count in milliseconds.
pub const QUOTE_KEPT_S: RangeInclusive<u64> = 3_600..=10 * 365 * 86_400;

/// Bytes of the name of a list or a key.
pub const NAME_BYTES_MAX: usize = 255;

/// Keys that are read or written by one command.
pub const KEYS_PER_COMMAND_MAX: usize = 512;

/// How long a connection to Redis may take to be made, its handshake and login included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long Redis may take over one command. Where a file system is slow, an append-only file with an fsync behind each
/// command takes its time.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait before the next attempt, at first and at most: twice as long each time.
pub const RETRY_AFTER_LEAST: Duration = Duration::from_millis(50);
/// See [`RETRY_AFTER_LEAST`].
pub const RETRY_AFTER_MOST: Duration = Duration::from_secs(2);

/// How often an empty list is looked at, at first and once it has been empty for a while. (Redis's own way of waiting,
/// `BLMOVE`, hands over the whole entry, however long it is.)
pub const LOOK_AGAIN_LEAST: Duration = Duration::from_millis(2);
/// See [`LOOK_AGAIN_LEAST`].
pub const LOOK_AGAIN_MOST: Duration = Duration::from_millis(50);

const _: () = assert!(ENTRY_BYTES_MAX <= TAKEN_BYTES_MAX);
const _: () = assert!(DEAD_LETTER_ENTRY_BYTES_MAX <= ENTRY_BYTES_MAX);
