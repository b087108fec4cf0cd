//! Quotes that are learned of without the mint's word over the hub: somebody else has asked it for them, and tells.

use rusqlite::Connection;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::{MintQuoteResponse, QuoteState};

use super::held::HeldRequest;
use super::settlement::identity;
use super::{QuoteAnswers, QuoteEvent};
use crate::outbox::{self, Answered, RecordedAnswer};
use crate::store::{StoreError, in_savepoint};

/// What was learned of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnedQuote<'a> {
    /// The request's number ([`StoredRequest::sequence`](crate::outbox::StoredRequest::sequence)).
    pub sequence: u64,
    /// Its key.
    pub header_hash: &'a [u8; 32],
    /// The quote's id, 1 to 255 bytes; `None` where the request was handed to a mint that tells none
    /// ([`QuoteState::Unknown`]).
    pub quote_id: Option<&'a str>,
    /// Whoever made the quote is the mint that the request is for. Then it is asked for it again where it has forgotten its
    /// answers ([`ask_again`](crate::outbox::ask_again)). Another mint's quote, or one without an id, it is never asked for: it
    /// would make a second one.
    pub is_of_the_mint: bool,
}

/// Records such a quote in the transaction that is under way, with the effect that the mint's own answer would have: the
/// request has its answer. It is taken for what was asked for, in amount and unit: nobody has vouched for it. The mint's own
/// answer, where it comes later, changes nothing but the answer's number; one that says otherwise has the request parked, for
/// the operator to see both.
///
/// Gives what the role is to be told once it is committed; `None`, with nothing changed, where the request does not wait
/// (any more), or is asked again for the mint's own sake. [`QuoteRequester::settled_elsewhere`] is to be called then.
///
/// # Errors
/// What the store or the effect says; it is rolled back alone.
///
/// [`QuoteRequester::settled_elsewhere`]: super::QuoteRequester::settled_elsewhere
pub fn record_elsewhere(
    connection: &Connection,
    mint: &str,
    learned: &LearnedQuote<'_>,
    answers: &dyn QuoteAnswers,
    now_unix_ms: u64,
) -> Result<Option<QuoteEvent>, StoreError> {
    let after = learned.sequence.saturating_sub(1);
    let page = outbox::waiting_page(connection, mint, EXT_MINT_QUOTE, after, 1)?;
    let waiting = page.into_iter().find(|stored| {
        stored.sequence == learned.sequence
            && stored.key == learned.header_hash
            && !stored.is_asked_again
    });
    // One that cannot be read is parked by whoever would send it.
    let Some(held) = waiting.and_then(|stored| HeldRequest::read(stored).ok()) else {
        return Ok(None);
    };
    let request = held.request;
    let response = MintQuoteResponse {
        quote_id: learned.quote_id.unwrap_or_default().to_owned(),
        header_hash: request.header_hash,
        amount: request.amount,
        unit: request.unit.clone(),
        expires_at_unix_s: 0,
        state: match learned.quote_id {
            Some(_) => QuoteState::Paid,
            None => QuoteState::Unknown,
        },
    };
    let answer = RecordedAnswer {
        sequence: match learned.is_of_the_mint && learned.quote_id.is_some() {
            true => outbox::LEARNED,
            false => outbox::OF_ANOTHER,
        },
        identity: identity(&response),
    };
    in_savepoint(connection, || {
        let key = &request.header_hash;
        let (family, now) = (EXT_MINT_QUOTE, now_unix_ms);
        match outbox::mark_answered(connection, mint, family, key, &answer, now)? {
            Answered::First => {
                answers.on_response(connection, &request, &response)?;
                Ok(Some(QuoteEvent::Issued { request, response }))
            }
            Answered::Stale | Answered::Again | Answered::Otherwise => Ok(None),
        }
    })
}
