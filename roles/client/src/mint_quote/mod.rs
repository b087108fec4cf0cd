//! Delivery for the mint-quote family (specification, sections 5 and 6).

mod exchange;
mod requester;
mod responder;

pub use exchange::{Exchanged, FarStore, StoreExchange, StoreNumbers};
pub use requester::{
    HousekeepingWanted, LearnedQuote, NumbersFound, NumbersWanted, PageWanted, QuoteAnswers,
    QuoteEvent, QuoteRequester, QuoteRequesterConfig, QuoteRequesterCore, RecordedBatch,
    RecordingWanted, RequesterCounts, RequesterStatus, record_elsewhere,
};
pub use responder::{
    AnswersWanted, Comparison, LookUp, LookedUp, QuoteBatch, QuoteIssuer, QuoteOutcome,
    QuoteResponder, QuoteResponderConfig, RecordedAnswers, Reply, ResponderChannelCore,
    ResponderCounts, ResponderStatus, ToDecide,
};

/// A request over a share, for tests.
#[cfg(test)]
fn request_over(share: u8) -> winze_messages::families::mint_quote::MintQuoteRequest {
    winze_messages::families::mint_quote::MintQuoteRequest {
        amount: 8,
        unit: "hash".to_owned(),
        header_hash: [share; 32],
        description: None,
        locking_key: [2; 33],
        keyset_id: vec![0; 8],
    }
}
