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
