//! Every bound of the mint role that is not the operator's to set, with its unit and its reason.

use std::time::Duration;

/// The largest amount of one quote, in its unit: 2^62. cdk keeps amounts as signed 64-bit integers and adds them up in SQL;
/// the next power of two would not fit.
pub const AMOUNT_MAX: u64 = winze_messages::limits::AMOUNT_MAX;

/// How many denominations a keyset has: 2^0 ..= 2^62, one for each power of two up to [`AMOUNT_MAX`].
pub const DENOMINATIONS: u32 = 63;

/// The longest description that the wire can carry, in bytes (`STR0_255`): the upper end of what may be configured.
pub const DESCRIPTION_BYTES_WIRE_MAX: usize = winze_messages::limits::TEXT_BYTES_MAX;

/// How many pools a configuration may list. Each costs a channel in the hub and some rows in the store.
pub const POOLS_MAX: usize = 256;

/// How many units one mint may issue. Each has a keyset of [`DENOMINATIONS`] keys, and is announced on every channel.
pub const UNITS_MAX: usize = 16;

/// How many quotes go into one transaction of cdk's store. It bounds how long a wallet's request waits for the
/// write lock: at the measured 6,500 quotes a second, 40 ms.
pub const TRANSACTION_QUOTES_MAX: usize = 256;

/// How many calls to the issuer may wait for their turn, over all pools. Beyond it a call is answered `busy`.
pub const ISSUANCE_WAITING_MAX: usize = 64;

/// The delay advised with `busy`, in milliseconds: about the time that the whole waiting line takes.
pub const RETRY_BUSY_MS: u32 = 1_000;

/// The delay advised with `unavailable`, in milliseconds: a store that failed is rarely back at once.
pub const RETRY_UNAVAILABLE_MS: u32 = 5_000;

/// The resolution of the allowance's windows, in seconds. Usage is summed per such bucket, so that a day
/// costs 1,441 small rows per pool and unit and not one per share.
pub const ALLOWANCE_BUCKET_S: u64 = 60;

/// The largest body of a request to the NUT API, in bytes. 1,000 inputs and 1,000 outputs, which is what cdk takes
/// at most, are below 1 MiB without witnesses.
pub const API_BODY_BYTES_MAX: usize = 2 * 1_024 * 1_024;

/// A body that has not arrived after this time is given up (status 408).
pub const API_BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// How many requests to the NUT API may be in the process, bodies included (64 × 2 MiB). Beyond it: status 503.
pub const API_REQUESTS_MAX: usize = 64;

/// How many of them work on cdk's store at once. cdk runs SQL on the thread that polls it, so each takes a
/// blocking thread; and cdk's pool has 20 SQLite connections, of which issuance needs one.
pub const API_WORKERS_MAX: usize = 8;

/// How many quotes a wallet may mint or check in one request (NUT-29). cdk looks at each on its own.
pub const NUT29_QUOTES_MAX: u64 = 100;

/// How often cdk looks in its store for a keyset rotated by another process (the operator's command).
pub const KEYSET_REFRESH_INTERVAL: Duration = Duration::from_secs(5);

/// How often the announcer compares the active keysets with what it announced last: a read of memory.
pub const KEYSET_WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How often the allowance gauges follow the clock where nothing is issued.
pub const ALLOWANCE_GAUGE_INTERVAL: Duration = Duration::from_secs(30);

/// Characters of a dead letter's reason; what is cut off is part of the entry, which is kept beside it.
pub const DEAD_LETTER_REASON_CHARS_MAX: usize = 255;

/// The pause before a batch off the list is tried again, after a fault of Redis's or a temporary refusal: at least, so that
/// neither is asked in a circle.
pub const LIST_RETRY_LEAST: Duration = Duration::from_millis(100);

/// That pause at most, whatever the issuer advises: an allowance may be hours away for the largest entry of a batch, and
/// minutes for the others.
pub const LIST_RETRY_MOST: Duration = Duration::from_secs(5);

/// How long after a start nothing new is made for the list while a pool that has answers has not told how many: a pool that is
/// away with its hub is not to stop the list for ever.
pub const LIST_POOLS_PATIENCE: Duration = Duration::from_secs(300);

/// How long an orderly shutdown waits for the pools' requests under way, as for the wallets'. What takes longer is safe to
/// cut off: it is asked for again.
pub const SHUTDOWN_DRAIN_MAX: Duration = winze_runtime::limits::HTTP_DRAIN_MAX;

const _: () = {
    assert!(AMOUNT_MAX == 1 << (DENOMINATIONS - 1));
    assert!(API_WORKERS_MAX < API_REQUESTS_MAX);
    assert!(API_WORKERS_MAX < 19);
};
