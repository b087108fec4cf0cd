//! What is to be recorded about a request, and how.

use std::sync::Arc;

use rusqlite::Connection;
use winze_messages::families::mint_quote::{KeysetAnnouncement, MintQuoteError, MintQuoteResponse};
use winze_messages::{EXT_MINT_QUOTE, families::mint_quote::QuoteErrorCode};

use super::held::HeldRequest;
use super::{QuoteAnswers, QuoteEvent};
use crate::outbox::{self, AttemptNote, Backlog};
use crate::store::{StoreError, in_savepoint};

/// A change of the outbox that goes with an effect in the role's own tables.
pub(super) enum Settlement {
    Issued(Arc<HeldRequest>, MintQuoteResponse),
    Refused(Arc<HeldRequest>, MintQuoteError),
    /// Put aside for the operator, without a word of the mint's.
    Parked {
        sequence: u64,
        key: Vec<u8>,
        /// That it was sent, where nothing on disk says so.
        note: Option<AttemptNote>,
        error: String,
    },
    Keyset {
        serial: u64,
        keyset: KeysetAnnouncement,
    },
}

/// What became of a settlement.
pub(super) enum Recorded {
    /// It is on disk.
    Done,
    /// There was nothing to settle (any more).
    Stale,
    /// It was rolled back.
    Failed(StoreError),
}

/// Settlements that were handed to the store together, and what became of each.
pub struct RecordedBatch {
    pub(super) settlements: Vec<(Settlement, Recorded)>,
    pub(super) backlog: Backlog,
}

/// Whose word a settlement is.
#[derive(Clone)]
pub(super) struct Mint {
    /// Its peer name, by which the outbox knows it.
    pub(super) name: String,
    /// Name and key together. Serial numbers of announcements are a key's: who holds another one
    /// counts from 1.
    pub(super) announcer: String,
}

/// Records all of `settlements` in the transaction that is under way: one that fails is rolled
/// back alone.
pub(super) fn record_all(
    connection: &Connection,
    mint: &Mint,
    settlements: Vec<Settlement>,
    answers: &dyn QuoteAnswers,
    now_unix_ms: u64,
) -> Result<RecordedBatch, StoreError> {
    let settlements = settlements
        .into_iter()
        .map(|settlement| {
            let outcome = in_savepoint(connection, || {
                settlement.record(connection, mint, answers, now_unix_ms)
            });
            let recorded = match outcome {
                Ok(true) => Recorded::Done,
                Ok(false) => Recorded::Stale,
                Err(error) => Recorded::Failed(error),
            };
            (settlement, recorded)
        })
        .collect();
    Ok(RecordedBatch {
        settlements,
        backlog: outbox::backlog(connection, &mint.name, EXT_MINT_QUOTE)?,
    })
}

impl Settlement {
    /// Which request it is about.
    pub(super) fn sequence(&self) -> Option<u64> {
        match self {
            Settlement::Issued(request, _) | Settlement::Refused(request, _) => {
                Some(request.sequence)
            }
            Settlement::Parked { sequence, .. } => Some(*sequence),
            Settlement::Keyset { .. } => None,
        }
    }

    /// False where there is nothing to settle.
    fn record(
        &self,
        connection: &Connection,
        mint: &Mint,
        answers: &dyn QuoteAnswers,
        now_unix_ms: u64,
    ) -> Result<bool, StoreError> {
        let Mint {
            name: mint,
            announcer,
        } = mint;
        match self {
            Settlement::Issued(held, response) => {
                let key = &held.request.header_hash;
                if !outbox::mark_answered(connection, mint, EXT_MINT_QUOTE, key, now_unix_ms)? {
                    return Ok(false);
                }
                let effect = answers.on_response(connection, &held.request, response);
                if !crate::sabotage::is_broken(crate::sabotage::Rule::EffectWithRemoval) {
                    effect?;
                }
            }
            Settlement::Refused(held, error) => {
                let key = &held.request.header_hash;
                let reason = refusal_text(error);
                note(connection, mint, held.take_note_of_sending().as_ref())?;
                if !outbox::park(connection, mint, EXT_MINT_QUOTE, key, &reason, now_unix_ms)? {
                    return Ok(false);
                }
                answers.on_refusal(connection, &held.request, error)?;
            }
            Settlement::Parked {
                key,
                note: sending,
                error,
                ..
            } => {
                note(connection, mint, sending.as_ref())?;
                return outbox::park(connection, mint, EXT_MINT_QUOTE, key, error, now_unix_ms);
            }
            Settlement::Keyset { serial, keyset } => {
                let unit = &keyset.unit;
                let family = EXT_MINT_QUOTE;
                if !outbox::admit_announcement(connection, announcer, family, unit, *serial)? {
                    return Ok(false);
                }
                answers.on_keyset(connection, keyset)?;
            }
        }
        Ok(true)
    }

    /// What to tell the role once it is on disk.
    pub(super) fn into_event(self) -> Option<QuoteEvent> {
        match self {
            Settlement::Issued(held, response) => Some(QuoteEvent::Issued {
                request: held.request.clone(),
                response,
            }),
            Settlement::Refused(held, error) => Some(QuoteEvent::Refused {
                request: held.request.clone(),
                error,
            }),
            Settlement::Parked { .. } => None,
            Settlement::Keyset { keyset, .. } => Some(QuoteEvent::Keyset(keyset)),
        }
    }
}

fn note(connection: &Connection, mint: &str, note: Option<&AttemptNote>) -> Result<(), StoreError> {
    match note {
        Some(note) => outbox::note_attempt(connection, mint, EXT_MINT_QUOTE, note),
        None => Ok(()),
    }
}

/// For the operator: the code's name, and what the mint says.
pub(super) fn refusal_text(error: &MintQuoteError) -> String {
    match QuoteErrorCode::from_u32(error.error_code) {
        Some(code) => format!("{code}: {}", error.error_message),
        None => format!("code {}: {}", error.error_code, error.error_message),
    }
}
