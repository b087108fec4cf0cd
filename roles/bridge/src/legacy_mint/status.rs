use winze_client::ResponderStatus;

use super::limits::UNANSWERED_MANY;

/// Where the direction from the hub to an old mint stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegacyMintStatus {
    /// Redis answered when it was last asked.
    pub redis_connected: bool,
    /// What Redis last did not do, for the operator; it stays when that is over.
    pub last_fault: Option<String>,
    /// Whether new requests of pools are taken.
    pub takes_new: bool,
    /// Entries that wait in the list, as of about a second ago.
    pub list_length: Option<u64>,
    /// The list is as long as it may be: nothing new is taken.
    pub is_list_full: bool,
    /// Requests that have no id yet.
    pub open: u64,
    /// Among them those that were never pushed.
    pub unpushed: u64,
    /// How long the oldest of them has none, in milliseconds, at most since the start.
    pub oldest_ms: Option<u64>,
    /// An id was found under one of the keys, since the start.
    pub has_seen_ids: bool,
    /// Requests that were off the list for seconds, and have no id.
    pub unanswered: u64,
    /// The keyset changed while requests were open that were pushed before: nothing is pushed again until the next start.
    pub is_held: bool,
    /// The keyset that was read from its key and announced, in hex.
    pub keyset_id: Option<String>,
    /// Why what lies under the keyset's key is not announced.
    pub keyset_problem: Option<String>,
    /// What it has done so far.
    pub counts: LegacyMintCounts,
    /// Its half towards the pools.
    pub responder: ResponderStatus,
}

/// What the direction has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegacyMintCounts {
    /// Requests that were taken and written down.
    pub taken: u64,
    /// Entries that were pushed for the first time, and entries that were pushed again.
    pub pushed: u64,
    /// See [`Self::pushed`].
    pub pushed_again: u64,
    /// Requests that were answered with the old mint's id.
    pub answered: u64,
    /// Requests that were answered with `unknown`.
    pub unknown: u64,
    /// Requests that were refused for good.
    pub refused: u64,
    /// Requests that were put off.
    pub put_off: u64,
    /// Among them those over the amount that the list takes.
    pub over_amount_max: u64,
    /// Looks that found something under a key which is no id.
    pub strange: u64,
    /// What Redis did not do.
    pub faults: u64,
    /// Keysets that were announced.
    pub keysets: u64,
}

impl LegacyMintStatus {
    /// Whether what this direction is for can be done. Without a keyset pools have nothing to ask with.
    pub fn is_ready(&self, keyset_from_redis: bool) -> bool {
        self.redis_connected
            && (self.keyset_id.is_some() || !keyset_from_redis)
            && !self.is_unheard()
    }

    /// Many requests were taken off the list, and no id ever came: whoever takes them does not read them, or tells no ids.
    pub fn is_unheard(&self) -> bool {
        !self.has_seen_ids && self.unanswered >= UNANSWERED_MANY as u64
    }
}
