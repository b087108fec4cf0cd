//! The words in which a pool is answered.

use cdk::mint::MintQuote;
use cdk::nuts::MintQuoteState;
use winze_client::QuoteOutcome;
use winze_messages::families::mint_quote::{
    MintQuoteRequest, MintQuoteResponse, QuoteErrorCode, QuoteState,
};

use super::check::{PoolRules, Refusal};
use super::record::NewQuote;
use super::{HeaderHash, Known};
use crate::allowance::Window;
use crate::limits::{RETRY_BUSY_MS, RETRY_UNAVAILABLE_MS};

/// The answer to a request for `asked`, by what is known of its header hash.
pub(super) fn answer(asked: &NewQuote, known: Option<&Known>) -> QuoteOutcome {
    match known {
        Some(Known::Quote { quote, .. }) if !asked.is(quote) => refused(&Refusal::Conflict),
        Some(Known::Quote { quote, .. }) => issued_to(quote, asked.header_hash, asked.amount),
        Some(Known::Later(outcome)) => outcome.clone(),
        None => unavailable(),
    }
}

/// The answer to a request whose quote exists.
pub(super) fn issued(quote: &MintQuote, request: &MintQuoteRequest) -> QuoteOutcome {
    issued_to(quote, request.header_hash, request.amount)
}

fn issued_to(quote: &MintQuote, header_hash: HeaderHash, amount: u64) -> QuoteOutcome {
    QuoteOutcome::Issued(MintQuoteResponse {
        quote_id: quote.id.to_string(),
        header_hash,
        amount,
        unit: quote.unit.to_string(),
        expires_at_unix_s: quote.expiry,
        state: match quote.state() {
            MintQuoteState::Unpaid => QuoteState::Unpaid,
            MintQuoteState::Paid => QuoteState::Paid,
            MintQuoteState::Issued => QuoteState::Issued,
        },
    })
}

pub(super) fn refused(refusal: &Refusal) -> QuoteOutcome {
    QuoteOutcome::Refused {
        code: refusal.code(),
        message: refusal.to_string(),
    }
}

pub(super) fn over_allowance(
    pool: &PoolRules,
    quote: &NewQuote,
    window: Window,
    retry_after_s: u64,
) -> QuoteOutcome {
    let unit = quote.unit.to_string();
    let cap = pool.caps.get(&unit).map_or(0, |caps| window.cap(*caps));
    QuoteOutcome::Later {
        code: QuoteErrorCode::Allowance,
        message: format!(
            "amount {} would exceed this pool's allowance of {cap} {unit} per {}",
            quote.amount,
            window.name()
        ),
        retry_after_ms: u32::try_from(retry_after_s.saturating_mul(1_000)).unwrap_or(u32::MAX),
    }
}

pub(super) fn busy() -> QuoteOutcome {
    QuoteOutcome::Later {
        code: QuoteErrorCode::Busy,
        message: "more requests wait than this mint lets wait".to_owned(),
        retry_after_ms: RETRY_BUSY_MS,
    }
}

pub(super) fn unavailable() -> QuoteOutcome {
    QuoteOutcome::Later {
        code: QuoteErrorCode::Unavailable,
        message: "this mint's store did not answer; the request may be sent again".to_owned(),
        retry_after_ms: RETRY_UNAVAILABLE_MS,
    }
}

/// To whoever asks for something new where nothing new may be made.
pub(super) fn set_back() -> QuoteOutcome {
    QuoteOutcome::Later {
        code: QuoteErrorCode::Unavailable,
        message: "this mint's store was set back, and its operator has yet to accept that"
            .to_owned(),
        retry_after_ms: RETRY_UNAVAILABLE_MS,
    }
}
