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

/// Bytes of a page in a new file; an older one keeps its own. Rows are added side by side, many to a transaction, and what is
/// counted for each page (its place in the cache, two writes to the log) is counted less often where pages are large. What a
/// transaction of a single row costs is the fsync.
pub const STORE_PAGE_BYTES: i64 = 16_384;

/// After about how many bytes the write-ahead log is copied into the database; after twice as many whatever else happens. Keys are hashes, so each row changes
/// pages all over an index: the more rows a copy covers, the fewer pages each of them costs. It is also how much a
/// start after a crash reads again as a rule.
pub const STORE_CHECKPOINT_BYTES: i64 = 64 * 1_024 * 1_024;

/// Pages that the store's writer keeps in memory at most, in KiB; what a small file does not have takes none. With fewer than
/// one transaction changes SQLite writes them out and reads them back in the midst of it; with fewer than the index of
/// keys has (of ten million requests 160 MiB), every new key costs a read.
pub const STORE_WRITER_CACHE_KIB: i64 = 256 * 1_024;

/// Slices of an index of keys: what is new in it is merged a slice at a time. Of an index over ten million keys a slice has some
/// 600 pages, so that one merge takes milliseconds. A power of two.
pub const KEY_INDEX_SLICES: u32 = 64;

/// New entries that are kept in memory, of all slices: up to 18 MiB. With each that is added beyond, the slice that was merged
/// longest ago is: it has twice as many as the others on average, and the more it has, the fewer pages of it each of them
/// changes.
pub const KEY_INDEX_NEW_MAX: usize = KEY_INDEX_SLICES as usize * 4_096;

/// Bits of the filter for each hash: of hashes that are not there half a percent are looked for all the same.
pub const KEY_FILTER_BITS_PER_HASH: usize = 12;

/// Hashes of one slice for which a filter has room, at least and at most: over ten million keys all filters together take 22
/// MiB, and never more than 96. Beyond it more keys are looked for that are not there.
pub const KEY_FILTER_HASHES_MIN: usize = 8_192;
/// See [`KEY_FILTER_HASHES_MIN`].
pub const KEY_FILTER_HASHES_MAX: usize = 1 << 20;

const _: () = assert!(KEY_INDEX_SLICES.is_power_of_two());

/// Longest key of a request in bytes: the widest of any family (session, round, attempt, sender)
/// stays below.
pub const KEY_BYTES_MAX: usize = 128;

/// Longest body of a request or answer in bytes: what fits a frame of the hub's default length
/// would; the families' own bounds are far less.
pub const BODY_BYTES_MAX: usize = 65_536;

/// Rows whose checksums are made together; a processor's lanes take sixteen at a time.
pub const ROWS_HASHED_TOGETHER_MAX: usize = 64;

/// What is hashed of such rows is copied for that: once it has so many bytes no further row is waited for.
pub const BYTES_HASHED_TOGETHER_MAX: usize = 65_536;

const _: () = assert!(STORE_BATCH_JOBS_MAX <= STORE_WRITES_WAITING_MAX);

/// Topics (units, say) whose announcements are taken from one peer in one family: far more than a
/// mint has, and what a peer can make us keep. Announcements of further ones have no effect.
pub const ANNOUNCED_TOPICS_MAX: usize = 256;

/// Rejects of one channel that may wait for its owner; more become one event that says so. Four
/// times what a hub of default window holds of one channel; a requester's window is far below.
pub const REJECTS_WAITING_MAX: usize = 4_096;

/// Hub messages of our own that may wait to be written; beyond, the connection ends, since the hub
/// makes us answer and does not read. Far more than the channels that a hub allows.
pub const CONTROL_WAITING_MAX: usize = 4_096;

/// The longest payload that is taken before authentication, in bytes: nothing on the way in is
/// longer (specification, section 7).
pub const SETUP_PAYLOAD_BYTES_MAX: usize = 4_096;

/// The shortest interval between pings in milliseconds that a hub can impose.
pub const PING_INTERVAL_MS_MIN: u64 = 10;

/// The shortest silence in milliseconds after which a connection is given up, whatever the hub
/// says.
pub const IDLE_TIMEOUT_MS_MIN: u64 = 100;

/// The pause before a channel that was refused or closed is opened again, in milliseconds; it
/// doubles with each refusal up to the second figure. An operator who changes the hub's list
/// waits no longer than that.
pub const REOPEN_DELAY_MS_MIN: u64 = 500;
/// See [`REOPEN_DELAY_MS_MIN`].
pub const REOPEN_DELAY_MS_MAX: u64 = 30_000;

/// Frames that are taken from one read before the core may do something else.
pub const FRAMES_PER_TURN_MAX: usize = 1_024;

/// Encrypted bytes that are made ready before they are written; what is due beyond them waits as
/// frames, so that control messages can still go first.
pub const WRITE_BATCH_BYTES: usize = 64 * 1024;

/// The longest pause in milliseconds that the hub can ask for, so that a mistake of its operator's
/// does not keep a peer away for days.
pub const RETRY_AFTER_MS_MAX: u64 = 600_000;

/// For how long a connection must have been authenticated, in milliseconds, to count as a success:
/// one that is closed at once must not reset the back-off.
pub const STABLE_AFTER_MS: u64 = 5_000;

/// What a shutdown waits, in milliseconds, for the last messages to be written.
pub const SHUTDOWN_FLUSH_MS: u64 = 1_000;

/// Requests that a requester holds in memory, in windows: those under way, and beside them those
/// that were put off, so that these do not block the others.
pub const HELD_WINDOWS: usize = 4;

/// Requests that were sent and then settled elsewhere, whose own answers are still listened for: 4,096 are about 2 MB, and
/// more than are on their way at a time. Beyond that the first of them are forgotten, and their answers are stale.
pub const LATE_ANSWERS_MAX: usize = 4_096;

/// Requests that one time-out without progress sends again, at most: enough to find out whether the
/// peer is there, little enough not to bury one that is only slow.
pub const RESEND_PER_TIMEOUT_MAX: usize = 16;

/// Requests that are sealed together, before it is known whether the channel takes them all: as many
/// as a processor with the widest registers hashes at a time.
pub const SEALED_AHEAD_MAX: usize = 16;

/// Answers that may wait to be recorded; beyond, they stay with the channel, whose credit bounds
/// them.
pub const SETTLEMENTS_WAITING_MAX: usize = 4_096;

/// Batches of requests that were settled elsewhere and of which the requester has not taken note; whoever settles more waits.
pub const SETTLED_ELSEWHERE_QUEUED_MAX: usize = 4;

/// Events that are taken off a channel at once.
pub const EVENTS_PER_TURN_MAX: usize = 256;

/// How often a requester looks after its outbox, in milliseconds: the age of what its status says.
pub const HOUSEKEEPING_MS: u64 = 1_000;

/// After how many milliseconds without an answer it is noted on disk that a request was sent, for the operator to
/// read. Of what is answered sooner nobody has to know.
pub const NOTED_AFTER_MS: u64 = 500;

/// After `Reconnect` from the hub: how long answers that are on their way are waited for before we reconnect by
/// ourselves, in milliseconds. A hub that goes says `Close` before that.
pub const RECONNECT_WITHIN_MS: u64 = 5_000;

/// Answered requests that are deleted in one transaction, at most, so that this does not hold up the
/// writers.
pub const ANSWERED_DELETED_PER_STEP: usize = 1_000;

/// For how long one housekeeping goes on deleting, step after step, in milliseconds: while there is so much to delete, it is what
/// the role adds, and the file would grow without end.
pub const ANSWERED_DELETED_MS_MAX: u64 = 800;

const _: () = assert!(ANSWERED_DELETED_MS_MAX < HOUSEKEEPING_MS);

/// Members of a group that the hub may name (specification, section 7). As many again that are gone may be held by
/// their owners.
pub const GROUP_MEMBERS_MAX: usize = 128;

/// Runs of messages to one member of a group alone, between messages to all, of which a record is kept for what may yet be
/// rejected: four times what a hub of default window holds of one channel. Of what is older a reject does not say which it was.
pub const DIRECT_RUNS_KEPT_MAX: usize = 4_096;

/// Channels of one family that a peer may have accepted at a time, whatever their labels: so one
/// peer cannot take the places of the others.
pub const CHANNELS_PER_PEER_MAX: usize = 4;

/// Requests that an operator's command releases or gives up in one transaction, so that a running
/// role has its turn in between.
pub const OPERATOR_ROWS_PER_STEP: usize = 1_000;

/// Requests that the operator gave up of which one housekeeping takes note, at most.
pub const DISCARDED_PER_STEP: usize = 1_000;

/// How long an answer to a StoreQuery is waited for before it is sent again, in milliseconds: at
/// first, and at most (specification, section 7). Nothing new is asked or issued meanwhile, so a
/// query that was lost must not cost long.
pub const STORE_QUERY_DELAY_MS_MIN: u64 = 1_000;
/// See [`STORE_QUERY_DELAY_MS_MIN`].
pub const STORE_QUERY_DELAY_MS_MAX: u64 = 60_000;

/// The highest number of a request or answer that a peer is believed: what the id of a row can hold beside the peer, with
/// room to go on counting. Nobody gets there by counting.
pub const STORE_NUMBER_MAX: u64 = 1 << 47;

/// Answers that are looked at for each one that is to be found among them, in one step: they lie in the order of the
/// requests, and neither time nor number of an answer has an index, as each would cost as much as the answer.
pub const ANSWERS_LOOKED_AT_PER_ROW: usize = 32;

/// Likewise for each one that may be deleted: twice each second, while nothing is due, on the thread that writes.
pub const ANSWERS_SWEPT_PER_ROW: usize = 4;

/// Answered requests that one housekeeping has asked again after a mint's store was set back, and
/// how many requests may wait for more to be added: what is old must not keep new work out.
pub const ASKED_AGAIN_PER_STEP: usize = 500;
/// See [`ASKED_AGAIN_PER_STEP`].
pub const ASKED_AGAIN_WAITING_MAX: u64 = 1_000;
