//! Every bound of the mining server that is not the operator's choice, with its unit and reason.
//! What an operator may want otherwise is in [`crate::config`].

use std::time::Duration;

/// Largest payload taken from a miner, in bytes. The longest message a miner has a reason to send
/// is `SetupConnection` with five strings of 255 bytes; the rest is room for `RequestExtensions`.
pub const MINER_PAYLOAD_BYTES_MAX: usize = 8 * 1024;

/// Largest payload sent to a miner, in bytes: `NewExtendedMiningJob` with both halves of a
/// coinbase at 64 KiB and a merkle path of 255 hashes.
pub const JOB_PAYLOAD_BYTES_MAX: usize = 160 * 1024;

/// Frames taken out of one read before their answers are written, so that one connection cannot
/// hold its task for long. What is left waits in the decoder, and then in the kernel.
pub const FRAMES_PER_BATCH: usize = 256;

/// Shares of one connection that may wait for their commit at a time. When it is reached the
/// connection is not read from until a commit comes back: the miner waits, nothing is dropped.
pub const SHARES_IN_FLIGHT_MAX: usize = 1_024;

/// Bytes that may wait to be written to one connection. A miner that does not read while more
/// than this is due is disconnected: its jobs would be stale when it got them.
pub const WRITE_PENDING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes due to one connection from which on it is not read from: whoever asks without reading the answers, or reads
/// them a byte at a time, holds this much of our memory and one batch's answers, and nothing of it is lost.
pub const WRITE_PENDING_READ_MAX: usize = 256 * 1024;

/// Most channels that the configuration may allow on one connection: when the tip changes, the jobs of all of them,
/// at up to [`JOB_BYTES_USUAL_MAX`] each, are written at once and must be far from what counts as a miner that does
/// not read.
pub const CHANNELS_PER_CONNECTION_MAX: usize = 1_024;

/// A job and its `SetNewPrevHash`, in bytes: a merkle path of 14 hashes (16,000 transactions), a coinbase with two
/// outputs, and the rest.
pub const JOB_BYTES_USUAL_MAX: usize = 1_024;

/// Quote notices that may wait for one connection's task. What does not fit is dropped and
/// counted, and the miner finds it over HTTP: the quote itself is on disk.
pub const NOTICES_QUEUED_MAX: usize = 4_096;

/// Quote notices written to a connection at a time. While half of [`WRITE_PENDING_BYTES_MAX`] is due, none is taken
/// out of the queue.
pub const NOTICES_PER_BATCH: usize = 1_024;

/// The longest notice and what encryption adds to it, in bytes.
pub const NOTICE_BYTES_MAX: usize = 640;

/// Shares whose mining channel is remembered, so that the notice of a quote goes to the channel
/// that found the share. Older ones are told to any channel with the same locking key.
pub const SHARE_ORIGINS_MAX: usize = 65_536;

/// How long the Noise handshake may take. Two messages and one signature; the rest is distance.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the place of a connection that never had a channel stays taken at least, from when it was accepted: what
/// bounds the handshakes that one address gets. Its places come free one after the other, spread evenly over this time.
pub const STRANGER_PLACE: Duration = Duration::from_secs(1);

/// How long after the handshake a miner may take to have a channel open. Sv2 specification 5.3.2:
/// a connection without channels should be closed.
pub const CHANNEL_OPEN_TIMEOUT_MS: u64 = 60_000;

/// How long a connection may take to hand over what is due when it is closed, or when a write
/// makes no progress at all.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(20);

/// How often a connection looks at its clocks: variable difficulty, idle time-out.
pub const TICK_INTERVAL: Duration = Duration::from_secs(1);

/// Least time between two looks at a channel's share rate, in milliseconds. `channels_sv2`
/// answers nothing before 16 s have passed.
pub const VARDIFF_INTERVAL_MS: u64 = 5_000;

/// Least time between two new targets of a channel, in milliseconds. Each comes with a job, and so pushes one out of
/// the [`PAST_JOBS_MAX`]: a proxy whose miners come all at once sends many `UpdateChannel`, and the shares that are on
/// their way must not be for a forgotten job. The specification allows the delay (5.3.7).
pub const RETARGET_INTERVAL_MS: u64 = 1_000;

/// Jobs under one previous block that still accept shares, per channel, beside the active one.
/// At one template every 30 s this is four minutes; a share is late by seconds.
pub const PAST_JOBS_MAX: usize = 8;

/// Templates kept to build a found block from: those that [`PAST_JOBS_MAX`] jobs and the active one
/// can refer to, and one more that may be on its way.
pub const TEMPLATES_KEPT: usize = PAST_JOBS_MAX + 2;

/// Bytes of the extranonce that name this run of the pool. Random at each start, so that work handed
/// out before a restart cannot come back as new work.
pub const EXTRANONCE_RUN_BYTES: usize = 8;

/// Bytes of the extranonce that an extended channel rolls.
pub const EXTRANONCE_ROLLED_BYTES: usize = 8;

/// Bytes of the whole extranonce: run, two bytes of channel index, rolled. All channels have the
/// same, as Sv2 specification 5.2.3 wants of channels of one group.
pub const EXTRANONCE_BYTES: usize = EXTRANONCE_RUN_BYTES + 2 + EXTRANONCE_ROLLED_BYTES;

/// Channels that may be open at a time in the whole pool: what the two index bytes can tell apart.
pub const CHANNELS_MAX: u32 = 1 << 16;

/// Longest tag that the pool may put into its coinbase, in bytes. The input script of a coinbase has
/// 100 bytes (consensus): height 8, `Sv2/` and separators 7, push of the extranonce 19.
pub const COINBASE_TAG_BYTES_MAX: usize = 32;

/// Longest that a template's start time may lie back before the same block is handed out again with
/// a later one, in seconds. `channels_sv2` takes times up to 2 h after it; miners stamp shares with
/// their clock.
pub const TIP_RESTAMP_S: u32 = 3_600;

/// Greatest amount of one quote: 2^62. The mint's store holds signed 64-bit numbers.
pub const QUOTE_AMOUNT_BITS_MAX: u32 = 62;

/// Longest worker name, in bytes: a `STR0_255` less the key in hex and the dot.
pub const WORKER_BYTES_MAX: usize = 255 - 66 - 1;

/// Quotes in one page of `GET /v1/quotes/{locking_key}`, when not asked for otherwise.
pub const QUOTES_PAGE_DEFAULT: u32 = 100;

/// Most quotes in one page, whatever is asked for.
pub const QUOTES_PAGE_MAX: u32 = 1_000;

/// Pages of quotes that are read at a time; further ones wait their turn. The store has one reader, and the requests
/// to the mint are read by it too: however many ask for pages, it is behind no more than these.
pub const QUOTE_PAGES_READ_MAX: usize = 4;

/// Requests that are read, pushed to the list in Redis and noted at a time: 512 entries are some 150 KB, and one command.
pub const REDIS_PUSH_MAX: usize = 512;

/// Keys of quote ids that are looked at at a time.
pub const REDIS_LOOK_MAX: usize = 512;

/// Entries in the list from which on nothing is pushed again, in number: what is missing there is probably not lost but
/// waits, and pushing it once more would only make the list longer.
pub const REDIS_AGAIN_LIST_MAX: u64 = 1_024;

/// The largest amount of a quote that a mint of the Redis era makes, in its unit; more it drops and logs, and nobody hears.
/// (vnprc/cdk, until 2025-09-25; Redis was given up before.)
pub const OLD_MINT_AMOUNT_MAX: u64 = 256;

/// How long at most until a request is pushed again, in milliseconds: each time it is twice as long as the time before.
/// Where that is less than `push_again_after_s`, it is as long as that.
pub const REDIS_PUSH_AGAIN_MS_MAX: u64 = 3_600_000;

/// How often a request is pushed before it counts as one of which no quote comes: some eleven hours, and as many dead letters
/// where each is refused.
pub const REDIS_PUSHES_MAX: u32 = 16;

/// How long to wait before the list is tried again when it is full, or Redis refuses, in milliseconds.
pub const REDIS_PUSH_PAUSE_MS: u64 = 200;

/// How often the keys of quote ids are looked at, in milliseconds: right after a push, and when nothing has come for a
/// while. Each time up to [`REDIS_LOOK_MAX`] of them, in turn.
pub const REDIS_LOOK_PAUSE_MS: (u64, u64) = (20, 250);

/// How long the pool waits before it tries again what its own store has refused, in milliseconds.
pub const REDIS_STORE_PAUSE_MS: u64 = 1_000;

/// How long until it is looked again whether the hub is away, in milliseconds.
pub const REDIS_TICK_MS: u64 = 100;

/// Longest answer taken from a bitcoin node, in bytes: a template with 4 MB of block as hex, and the
/// JSON around each transaction.
pub const NODE_RESPONSE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long one call to a bitcoin node may take, in seconds.
pub const NODE_TIMEOUT_S: u64 = 30;

/// Bounds of the wait after a failed call to a bitcoin node; it doubles from one to the other.
pub const NODE_BACKOFF: (Duration, Duration) =
    (Duration::from_millis(500), Duration::from_secs(15));

/// How old a found block may get while its node does not answer: a node that is upgraded or replays its chain is back
/// by then, and no other block may have been found. After that it is given up and logged as lost.
pub const BLOCK_SUBMIT_MAX: Duration = Duration::from_secs(3_600);

/// Longest wait between two attempts to hand over a found block. Shorter than [`NODE_BACKOFF`]'s: each second counts
/// against the rest of the world.
pub const BLOCK_RETRY_MAX: Duration = Duration::from_secs(2);

/// Age of the newest template, in refresh intervals, beyond which `/health` says not ready: a source that answers is at
/// most one behind, and one that is slow for once not three.
pub const TEMPLATE_REFRESHES_READY: u32 = 3;

/// Least such age: where templates are refreshed several times in a second, a busy machine is no fault of the source.
pub const TEMPLATE_AGE_READY_LEAST: Duration = Duration::from_secs(10);

/// Found blocks that may wait for their submission. More at a time means a chain without difficulty
/// (regtest); the rest is dropped and counted, the shares stay.
pub const BLOCKS_QUEUED_MAX: usize = 64;

/// Found blocks on disk that the node has not judged, of at most 4 MB each. Further ones are offered all the same, and
/// lost if the pool dies meanwhile.
pub const BLOCKS_KEPT_MAX: usize = BLOCKS_QUEUED_MAX;

/// Notes about found blocks that may wait for the disk: of each block that it was found, and that it is settled. What
/// does not fit is not written down, and logged.
pub const BLOCK_NOTES_QUEUED_MAX: usize = 2 * BLOCKS_QUEUED_MAX;

const _: () = {
    assert!(
        EXTRANONCE_BYTES <= 32,
        "Sv2 specification 5.1.2: an extranonce is a B0_32"
    );
    assert!(8 + 7 + COINBASE_TAG_BYTES_MAX + 1 + EXTRANONCE_BYTES <= 100);
    assert!(QUOTES_PAGE_DEFAULT <= QUOTES_PAGE_MAX);
    assert!(SHARES_IN_FLIGHT_MAX >= FRAMES_PER_BATCH);
    assert!(CHANNELS_PER_CONNECTION_MAX * JOB_BYTES_USUAL_MAX * 4 <= WRITE_PENDING_BYTES_MAX);
    assert!(NOTICES_PER_BATCH * NOTICE_BYTES_MAX * 4 <= WRITE_PENDING_BYTES_MAX);
    assert!(TIP_RESTAMP_S < 2 * 3_600);
};
