//! What the operator has given up, as the role is to know it.

use rusqlite::Connection;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::hub::detail;
use winze_messages::families::mint_quote::{MintQuoteError, MintQuoteRequest, QuoteErrorCode};

use super::{QuoteAnswers, QuoteEvent};
use crate::limits::DISCARDED_PER_STEP;
use crate::outbox::{self, Discarded};
use crate::store::{StoreError, in_savepoint};

/// Has the role take note of requests that the operator has given up, and says which of them it is to
/// be told of once that is committed. One of which it cannot take note is left for the next time.
pub(super) fn take_note(
    connection: &Connection,
    answers: &dyn QuoteAnswers,
) -> Result<Vec<QuoteEvent>, StoreError> {
    let mut events = Vec::new();
    for discarded in outbox::discarded_page(connection, EXT_MINT_QUOTE, DISCARDED_PER_STEP)? {
        let noted = in_savepoint(connection, || {
            // One that cannot be read was never anything to the role.
            let mut event = None;
            if let Some((request, error)) = read(&discarded)
                && answers.on_withdrawal(connection, &request, &error)?
            {
                event = Some(QuoteEvent::Withdrawn { request, error });
            }
            outbox::forget_discarded(connection, &discarded)?;
            Ok(event)
        });
        match noted {
            Ok(event) => events.extend(event),
            Err(error) => {
                tracing::error!(%error, "the role cannot take note of a request that was given up");
            }
        }
    }
    Ok(events)
}

fn read(discarded: &Discarded) -> Option<(MintQuoteRequest, MintQuoteError)> {
    if discarded.msg_type != MintQuoteRequest::MSG_TYPE {
        return None;
    }
    let request = MintQuoteRequest::decode_body(&discarded.body).ok()?;
    let error = MintQuoteError {
        header_hash: request.header_hash,
        error_code: QuoteErrorCode::Withdrawn.to_u32(),
        error_message: detail(format!(
            "given up by the pool's operator; before that: {}",
            discarded.error
        )),
        retry_after_ms: 0,
    };
    Some((request, error))
}
