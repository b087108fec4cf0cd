use crate::outbox::SetBack;

/// Where a requester stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequesterStatus {
    /// Whether the mint is there and has accepted the channel.
    pub peer_present: bool,
    /// Whether it has told how far its store has come: until then nothing is asked.
    pub peer_known: bool,
    /// Requests on disk without an answer, those under way included.
    pub waiting: u64,
    /// Requests sent whose answer has not come.
    pub in_flight: u64,
    /// Requests that only the operator can bring back.
    pub parked: u64,
    /// How long ago the oldest waiting request was made, in milliseconds; `None` where none waits.
    pub oldest_age_ms: Option<u64>,
    /// This store was set back, and the operator has not acknowledged it.
    pub set_back: Option<SetBack>,
    /// The mint's store was, likewise.
    pub peer_set_back: Option<SetBack>,
    /// What it has done so far.
    pub counts: RequesterCounts,
}

/// What a requester has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequesterCounts {
    /// Messages sent, again or for the first time.
    pub sent: u64,
    /// Of these, those sent again.
    pub sent_again: u64,
    /// Quotes recorded.
    pub issued: u64,
    /// Final refusals recorded.
    pub refused: u64,
    /// Temporary refusals.
    pub put_off: u64,
    /// `Reject`s of the hub.
    pub rejected: u64,
    /// Time-outs without progress.
    pub timeouts: u64,
    /// Answers that do not verify: altered, invented, or sealed with an unknown key.
    pub unauthentic: u64,
    /// Answers to requests that are not waiting, and announcements that are old.
    pub stale: u64,
    /// Answers that were recorded already, to requests that were asked again because the mint's
    /// store was set back, or whose answers were learned of elsewhere before.
    pub answered_again: u64,
    /// Answers of the mint's own hand that cannot be: malformed, not to what was asked, or another
    /// than before.
    pub nonsense: u64,
    /// Effects that could not be recorded.
    pub store_failures: u64,
}
