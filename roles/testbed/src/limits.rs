//! Every bound of the testbed, with its unit and reason.

use std::time::Duration;

/// From the start of a role's process to its ready line. A fresh mint derives 63 keys and writes two stores; on two
/// busy cores that is a second or two.
pub const READY_WITHIN: Duration = Duration::from_secs(30);

/// From the ready lines until every role says that it can do its work: connections, authentication, keyset.
pub const HEALTHY_WITHIN: Duration = Duration::from_secs(30);

/// An orderly shutdown may drain connections and stores for this long, then the process is killed.
pub const TERMINATE_WITHIN: Duration = Duration::from_secs(15);

/// `winze keys init` makes a dozen files.
pub const KEYS_WITHIN: Duration = Duration::from_secs(20);

/// A bitcoin node on regtest: from its start until it answers calls.
pub const NODE_WITHIN: Duration = Duration::from_secs(60);

/// One HTTP request on loopback, in seconds. The slowest makes a mint sign ecash while its store is busy.
pub const HTTP_TIMEOUT_S: u64 = 10;

/// How long whoever asks for quotes in a test's own process waits for the next event: longer than anything there takes, on
/// a loaded machine too.
pub const ASKER_PATIENCE: Duration = Duration::from_secs(60);

/// Events that it keeps until the test asks for them. More than any test has requests.
pub const ASKER_EVENTS_MAX: usize = 10_000;

/// Between two looks at a condition that nobody announces (a file, a port, an HTTP answer).
pub const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Between two looks at the pool's list of quotes while a share waits for its quote. The mining connection tells of
/// quotes as they come; the list is for those that it missed.
pub const LIST_INTERVAL: Duration = Duration::from_millis(500);

/// After a failed redemption: the mint is away, and whoever started it knows.
pub const REDEEM_RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Quotes asked of the pool in one page of its list.
pub const LIST_PAGE_QUOTES: u32 = 500;

/// Lines of a log that are shown with an error.
pub const LOG_TAIL_LINES: usize = 40;

/// Bytes of a log that are read for that.
pub const LOG_TAIL_BYTES: u64 = 64 * 1024;

/// Largest HTTP answer taken, in bytes: a page of quotes, or all metrics.
pub const HTTP_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest amount of one quote is two to this power: the mint's store holds signed 64-bit numbers.
pub const AMOUNT_BITS_MAX: u32 = 62;

/// Miners of one crew: each has a wallet, a connection and at least one thread.
pub const MINERS_MAX: usize = 64;

/// After a run of chaos, each step until every quote is redeemed: a backlog of a minute, on two busy cores.
pub const CHAOS_SETTLE_WITHIN: Duration = Duration::from_secs(180);

/// A stand-in of the Redis era that is told to end: it waits for one answer of Redis, or for one entry more.
pub const LEGACY_ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Keys of quote ids that a stand-in asks for with one command.
pub const LEGACY_KEYS_PER_LOOK: usize = 1_000;

/// How long the old mint's store waits for whoever reads it.
pub const LEGACY_STORE_TIMEOUT: Duration = Duration::from_secs(5);
