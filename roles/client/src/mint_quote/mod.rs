//! Delivery for the mint-quote family (specification, sections 5 and 6).

mod requester;
mod responder;

pub use requester::{
    QuoteAnswers, QuoteEvent, QuoteRequester, QuoteRequesterConfig, RequesterCounts,
    RequesterStatus,
};
pub use responder::{
    QuoteIssuer, QuoteOutcome, QuoteResponder, QuoteResponderConfig, ResponderCounts,
    ResponderStatus,
};
