//! Every bound of this direction, its unit and its reason.

use std::time::Duration;

/// Requests without an id that are kept track of, of all pools together, some 200 bytes each. What comes beyond is put off.
/// Each pool has an equal part, so that one whose requests the mint never answers leaves the others theirs.
pub const OPEN_MAX: usize = 65_536;

/// Ids that are looked for at once, and entries that are pushed at once: what Redis does in a few milliseconds.
pub const ROUND_MAX: usize = 1_024;

/// How often an id is looked for: at first and at most after the least, and as time passes every half of what has passed,
/// up to the most.
pub const LOOK_AGAIN_LEAST_MS: u64 = 2;
/// See [`LOOK_AGAIN_LEAST_MS`].
pub const LOOK_AGAIN_MOST_MS: u64 = 5_000;

/// After so many pushes without an id the pause before the next has doubled as often as it does: a mint that refuses an entry
/// does so every time.
pub const PUSH_AGAIN_DOUBLINGS_MAX: u32 = 5;

/// How long after a push it is noted on disk, unless the id is there by then and the note is not needed. A crash before
/// has the entry pushed again at once, which its mint refuses.
pub const NOTE_PUSH_AFTER_MS: u64 = 250;

/// How long an answer is held for the id to appear. The next batch of the pool waits meanwhile.
pub const HOLD_MAX: Duration = Duration::from_secs(1);

/// The delay that a pool is told whose request has no id yet: half of how long it has none, within these bounds.
pub const RETRY_LEAST_MS: u64 = 500;
/// See [`RETRY_LEAST_MS`].
pub const RETRY_MOST_MS: u64 = 10_000;

/// The delay that a pool is told while the list is full, or Redis is away.
pub const NO_WAY_RETRY_MS: u32 = 1_000;

/// The delay that a pool is told whose request is over what the list takes: only the operator can change that.
pub const OVER_AMOUNT_RETRY_MS: u32 = 10_000;

/// So many requests that were off the list for so long without an id, while none had one yet since the start, and the bridge
/// is not ready: whoever takes them off the list does not read them, or tells no ids. Fewer may be what one crash of the old
/// mint has lost; mints write the id within milliseconds.
pub const UNANSWERED_MANY: usize = 16;
/// See [`UNANSWERED_MANY`].
pub const UNANSWERED_AFTER_MS: u64 = 5_000;

/// How long to wait after the list was found full.
pub const FULL_PAUSE: Duration = Duration::from_millis(50);

/// How long to wait after Redis has refused something, or the store failed.
pub const TROUBLE_PAUSE: Duration = Duration::from_millis(250);

/// How often the list's length and the keyset's key are read.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Rows that the next transaction looks at to forget them, at most. What does not fit waits for the next start.
pub const ANSWERED_MAX: usize = 8_192;

/// How often such a row's answer is looked for in the record. It comes there a moment after it was given, while other pools'
/// transactions go on.
pub const ANSWERED_LOOKS_MAX: u32 = 8;

/// Rows that are looked at in one transaction at the start.
pub const SWEEP_ROWS: usize = 1_024;

const _: () = assert!(LOOK_AGAIN_LEAST_MS < LOOK_AGAIN_MOST_MS);
const _: () = assert!(RETRY_LEAST_MS < RETRY_MOST_MS);
