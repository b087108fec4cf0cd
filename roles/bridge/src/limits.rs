//! Every bound of the bridge that is not the operator's to set, with its unit and its reason. Those of the direction to
//! a legacy mint are beside it.

use std::time::Duration;

/// Requests that are sent and not answered: one to two batches off the list, so that an answer's way takes nothing from the
/// rate.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 4_096;

/// Bytes of payload that may wait on a channel of ours for us, or at the hub for the other end: of 300 for a request,
/// enough for [`REQUESTS_IN_FLIGHT_MAX`].
pub const CHANNEL_WINDOW_BYTES: u64 = 2 * 1024 * 1024;

/// While as many requests wait as may, how often they are looked at.
pub const WAITING_LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The pause after the store, or Redis with the connection up, has failed: at first and at most, twice as long each time.
pub const RETRY_LEAST: Duration = Duration::from_millis(50);
/// See [`RETRY_LEAST`].
pub const RETRY_MOST: Duration = Duration::from_secs(2);

/// Quote ids, or refusals, that are read from the store and written to Redis at once.
pub const TOLD_AT_ONCE_MAX: usize = 2_048;

/// Quotes that are kept after Redis was told of them, of some 120 bytes: a share that is pushed again, since Redis has lost
/// its key or the key's time is over, has it written again. A pool pushes again within minutes.
pub const QUOTE_IDS_KEPT_MAX: i64 = 262_144;

/// Refused requests that stay parked, of some 450 bytes, for the operator to send again: of more than these, those that were
/// refused first are given up once their dead letters are in Redis. Beyond that, and `waiting_max`, nothing is taken.
pub const PARKED_KEPT_MAX: u64 = 65_536;

/// Requests that were given up and are not deleted yet: the requester deletes some 1,000 a second.
pub const LET_GO_MAX: u64 = 4_096;

/// Keysets of the mint that are remembered: the one that is active and those before it.
pub const KEYSETS_KEPT_MAX: usize = 32;

/// The largest `waiting_max`, in requests.
pub const WAITING_MAX_MOST: u64 = 1 << 40;

/// Pools that may be listed under `legacy_mint.pool`.
pub const POOLS_MAX: usize = 256;

/// How long each step of an orderly shutdown may take. What is cut off is safe: it is on a disk, or in Redis's second list.
pub const SHUTDOWN_DRAIN_MAX: Duration = winze_runtime::limits::HTTP_DRAIN_MAX;
