/// Where a responder stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponderStatus {
    /// Channels whose pool is there.
    pub pools_present: u64,
    /// Requests that are with the issuer.
    pub under_way: u64,
    /// Pools that know of answers which the record does not hold.
    pub pools_ahead: u64,
    /// What it has done so far.
    pub counts: ResponderCounts,
}

/// What a responder has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponderCounts {
    /// Requests received, and messages that are none.
    pub received: u64,
    /// Quotes issued and recorded.
    pub issued: u64,
    /// Final refusals, conflicts included.
    pub refused: u64,
    /// Temporary refusals.
    pub put_off: u64,
    /// Requests that were answered from the record.
    pub repeated: u64,
    /// Requests whose authenticator does not verify.
    pub unauthentic: u64,
    /// What is said about stores under an authenticator that does not verify, or that nobody asked.
    pub stores_unauthentic: u64,
    /// How often a pool was found to know of answers which the record does not hold.
    pub set_back: u64,
    /// How often a pool was found to have forgotten requests that were answered here.
    pub pools_set_back: u64,
    /// Messages that are no request.
    pub malformed: u64,
    /// Batches handed to the issuer.
    pub batches: u64,
    /// Answers that could not be looked up or recorded.
    pub store_failures: u64,
}
