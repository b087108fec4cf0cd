//! What is to be recorded about a request, and how.

use std::sync::Arc;

use rusqlite::Connection;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteResponse, QuoteErrorCode, QuoteState,
};
use winze_messages::{EXT_MINT_QUOTE, request_digest, request_digests};

use super::held::HeldRequest;
use super::{QuoteAnswers, QuoteEvent};
use crate::outbox::{
    self, Answered, AttemptNote, Backlog, Checksum, Late, Marking, RecordedAnswer,
};
use crate::store::{StoreError, in_savepoint};

/// A change of the outbox that goes with an effect in the role's own tables.
pub(super) enum Settlement {
    /// With the answer's number.
    Issued(Arc<HeldRequest>, MintQuoteResponse, u64),
    /// Likewise.
    Refused(Arc<HeldRequest>, MintQuoteError, u64),
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
    /// It is what was on disk already.
    Again,
    /// It is not what was on disk already: that stays, and the request is parked.
    Contradicted,
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
    let mut reached = 0;
    let together = together(
        connection,
        mint,
        &settlements,
        answers,
        now_unix_ms,
        &mut reached,
    );
    let recorded = match together {
        Ok(recorded) => recorded,
        Err(error) if connection.is_autocommit() => return Err(error),
        Err(error) => {
            let failed = (reached, error);
            one_by_one(connection, mint, &settlements, failed, answers, now_unix_ms)
        }
    };
    // Then what was recorded before is gone, and what is written from here on would be committed alone.
    if connection.is_autocommit() {
        return Err(StoreError::RolledBack {
            cause: "the transaction ended while answers were recorded".to_owned(),
        });
    }
    let settlements: Vec<_> = settlements.into_iter().zip(recorded).collect();
    let is_on_disk =
        |recorded: &Recorded| !matches!(recorded, Recorded::Stale | Recorded::Failed(_));
    let numbers = settlements
        .iter()
        .filter(|(_, recorded)| is_on_disk(recorded));
    if let Some(answers) = numbers
        .filter_map(|(settlement, _)| settlement.answer())
        .max()
    {
        outbox::note_answers(connection, &mint.name, EXT_MINT_QUOTE, answers)?;
    }
    Ok(RecordedBatch {
        settlements,
        backlog: outbox::backlog(connection, &mint.name, EXT_MINT_QUOTE)?,
    })
}

/// All of them, or none: SQLite keeps what each page was before every savepoint, so one for each would cost more than
/// what is recorded. `reached` is the place of the one that failed, or their number where none did.
fn together(
    connection: &Connection,
    mint: &Mint,
    settlements: &[Settlement],
    answers: &dyn QuoteAnswers,
    now_unix_ms: u64,
    reached: &mut usize,
) -> Result<Vec<Recorded>, StoreError> {
    in_savepoint(connection, || {
        let mut marking = Marking::new(connection, &mint.name, EXT_MINT_QUOTE, now_unix_ms)?;
        let to_mark = ToMark::of_all(settlements, &marking);
        let mut recorded = Vec::with_capacity(settlements.len());
        for (place, (settlement, to_mark)) in settlements.iter().zip(to_mark).enumerate() {
            *reached = place;
            recorded.push(settlement.record(connection, mint, &mut marking, to_mark, answers)?);
        }
        // What fails from here on is no settlement's fault.
        *reached = settlements.len();
        marking.finish()?;
        Ok(recorded)
    })
}

/// Where one of them has failed, or all of them together: the one is rolled back alone, and not tried again now.
fn one_by_one(
    connection: &Connection,
    mint: &Mint,
    settlements: &[Settlement],
    failed: (usize, StoreError),
    answers: &dyn QuoteAnswers,
    now_unix_ms: u64,
) -> Vec<Recorded> {
    let (failed, error) = failed;
    let mut recorded = Vec::with_capacity(settlements.len());
    for (place, settlement) in settlements.iter().enumerate() {
        if place == failed {
            recorded.push(Recorded::Failed(error.clone()));
            continue;
        }
        let alone = in_savepoint(connection, || {
            let mut marking = Marking::new(connection, &mint.name, EXT_MINT_QUOTE, now_unix_ms)?;
            let recorded = settlement.record(connection, mint, &mut marking, None, answers)?;
            marking.finish()?;
            Ok(recorded)
        });
        recorded.push(alone.unwrap_or_else(Recorded::Failed));
    }
    recorded
}

/// What is written down of a quote that was issued.
struct ToMark {
    answer: RecordedAnswer,
    /// Of [`Marking::checksums`].
    checksum: Checksum,
}

impl ToMark {
    fn of(
        held: &HeldRequest,
        response: &MintQuoteResponse,
        sequence: u64,
        marking: &Marking<'_>,
    ) -> ToMark {
        let answer = RecordedAnswer {
            sequence,
            identity: identity(response),
        };
        let checksum = marking.checksum(&held.checksum, &answer);
        ToMark { answer, checksum }
    }

    /// [`Self::of`] of all that are quotes, at their places: all of them are hashed together.
    fn of_all(settlements: &[Settlement], marking: &Marking<'_>) -> Vec<Option<ToMark>> {
        let issued = || {
            settlements
                .iter()
                .filter_map(|settlement| match settlement {
                    Settlement::Issued(held, response, sequence) => {
                        Some((held, response, *sequence))
                    }
                    _ => None,
                })
        };
        let identities = identities(issued().map(|(_, response, _)| response));
        let answers = issued().zip(identities);
        let answers =
            answers.map(|((_, _, sequence), identity)| RecordedAnswer { sequence, identity });
        let answers: Vec<_> = answers.collect();
        let requests = issued().map(|(held, ..)| &held.checksum);
        let checksums = marking.checksums(requests.zip(&answers));
        let to_mark = answers.into_iter().zip(checksums);
        let mut to_mark = to_mark.map(|(answer, checksum)| ToMark { answer, checksum });
        let each = settlements.iter().map(|settlement| match settlement {
            Settlement::Issued(..) => to_mark.next(),
            _ => None,
        });
        each.collect()
    }
}

impl Settlement {
    /// Which request it is about.
    pub(super) fn sequence(&self) -> Option<u64> {
        match self {
            Settlement::Issued(request, ..) | Settlement::Refused(request, ..) => {
                Some(request.sequence)
            }
            Settlement::Parked { sequence, .. } => Some(*sequence),
            Settlement::Keyset { .. } => None,
        }
    }

    /// The header hash of the request that the mint has answered.
    pub(super) fn request(&self) -> Option<&[u8; 32]> {
        match self {
            Settlement::Issued(held, ..) | Settlement::Refused(held, ..) => {
                Some(&held.request.header_hash)
            }
            Settlement::Parked { .. } | Settlement::Keyset { .. } => None,
        }
    }

    /// The number of the mint's answer.
    fn answer(&self) -> Option<u64> {
        match self {
            Settlement::Issued(.., answer) | Settlement::Refused(.., answer) => Some(*answer),
            Settlement::Parked { .. } | Settlement::Keyset { .. } => None,
        }
    }

    fn record(
        &self,
        connection: &Connection,
        mint: &Mint,
        marking: &mut Marking<'_>,
        to_mark: Option<ToMark>,
        answers: &dyn QuoteAnswers,
    ) -> Result<Recorded, StoreError> {
        let now_unix_ms = marking.now_unix_ms();
        let Mint {
            name: mint,
            announcer,
        } = mint;
        let family = EXT_MINT_QUOTE;
        let park = |key: &[u8], reason: &str| {
            Ok::<_, StoreError>(
                match outbox::park(connection, mint, family, key, reason, now_unix_ms)? {
                    true => Recorded::Done,
                    false => Recorded::Stale,
                },
            )
        };
        let late = |key: &[u8], answer: Option<&RecordedAnswer>, says: &str| {
            let error =
                format!("a quote was told of elsewhere, which stays, and the mint says: {says}");
            let now = now_unix_ms;
            let late = outbox::late_answer(connection, mint, family, key, answer, &error, now)?;
            Ok::<_, StoreError>(match late {
                Late::Nothing => Recorded::Stale,
                Late::Same => Recorded::Again,
                Late::Otherwise => Recorded::Contradicted,
            })
        };
        match self {
            Settlement::Issued(held, response, sequence) => {
                let key = &held.request.header_hash;
                let ToMark { answer, checksum } =
                    to_mark.unwrap_or_else(|| ToMark::of(held, response, *sequence, marking));
                match marking.mark(held.sequence, key, &answer, &checksum)? {
                    Answered::Stale => {
                        let says = format!("the quote {}", response.quote_id);
                        return late(key, Some(&answer), &says);
                    }
                    Answered::Again => return Ok(Recorded::Again),
                    Answered::Otherwise => {
                        park(key, &otherwise(&format!("the quote {}", response.quote_id)))?;
                        return Ok(Recorded::Contradicted);
                    }
                    Answered::First => {}
                }
                let effect = answers.on_response(connection, &held.request, response);
                if !crate::sabotage::is_broken(crate::sabotage::Rule::EffectWithRemoval) {
                    effect?;
                }
                Ok(Recorded::Done)
            }
            Settlement::Refused(held, error, _) => {
                let key = &held.request.header_hash;
                let reason = refusal_text(error);
                note(connection, mint, held.note_of_sending().as_ref())?;
                if held.is_asked_again {
                    park(key, &otherwise(&reason))?;
                    return Ok(Recorded::Contradicted);
                }
                match park(key, &reason)? {
                    Recorded::Done => {
                        answers.on_refusal(connection, &held.request, error)?;
                        Ok(Recorded::Done)
                    }
                    _ => late(key, None, &reason),
                }
            }
            Settlement::Parked {
                key,
                note: sending,
                error,
                ..
            } => {
                note(connection, mint, sending.as_ref())?;
                park(key, error)
            }
            Settlement::Keyset { serial, keyset } => {
                let unit = &keyset.unit;
                if !outbox::admit_announcement(connection, announcer, family, unit, *serial)? {
                    return Ok(Recorded::Stale);
                }
                answers.on_keyset(connection, keyset)?;
                Ok(Recorded::Done)
            }
        }
    }

    /// What to tell the role once it is on disk.
    pub(super) fn into_event(self) -> Option<QuoteEvent> {
        match self {
            Settlement::Issued(held, response, _) => Some(QuoteEvent::Issued {
                request: HeldRequest::into_request(held),
                response,
            }),
            Settlement::Refused(held, error, _) => Some(QuoteEvent::Refused {
                request: HeldRequest::into_request(held),
                error,
            }),
            Settlement::Parked { .. } => None,
            Settlement::Keyset { keyset, .. } => Some(QuoteEvent::Keyset(keyset)),
        }
    }
}

/// Two answers with one identity are one quote. When it expires and whether it was redeemed since
/// may change.
pub(super) fn identity(response: &MintQuoteResponse) -> [u8; 32] {
    let body = kept(response);
    request_digest(EXT_MINT_QUOTE, MintQuoteResponse::MSG_TYPE, &body)
}

/// [`identity`] of many, in their order.
fn identities<'r>(responses: impl Iterator<Item = &'r MintQuoteResponse>) -> Vec<[u8; 32]> {
    let bodies: Vec<Vec<u8>> = responses.map(kept).collect();
    let bodies = bodies
        .iter()
        .map(|body| (MintQuoteResponse::MSG_TYPE, body.as_slice()));
    request_digests(EXT_MINT_QUOTE, &bodies.collect::<Vec<_>>())
}

/// What must not change about a quote.
fn kept(response: &MintQuoteResponse) -> Vec<u8> {
    let kept = MintQuoteResponse {
        expires_at_unix_s: 0,
        state: QuoteState::Unpaid,
        ..response.clone()
    };
    let mut body = Vec::new();
    // What was decoded can be encoded.
    let _ = kept.encode_body(&mut body);
    body
}

/// For the operator.
fn otherwise(now: &str) -> String {
    format!("the mint gave it a quote before, which stays, and answers now otherwise: {now}")
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

#[cfg(test)]
mod tests;
