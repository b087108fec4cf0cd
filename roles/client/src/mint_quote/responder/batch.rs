//! A batch of requests of one pool: looked up, issued, recorded, and only then answered.

use std::collections::HashMap;
use std::sync::Arc;

use winze_messages::families::hub::detail;
use winze_messages::families::mint_quote::{
    MintQuoteError, MintQuoteRequest, MintQuoteResponse, QuoteErrorCode,
};
use winze_runtime::clock::now_unix_ms;

use super::QuoteOutcome;
use super::asked::{Pool, Request};
use super::shared::Shared;
use crate::answers::{self, Answer, Decision, Found, NumberedAnswer};
use crate::store::StoreError;

/// An answer that is ready to be sealed.
pub(super) struct Reply {
    pub(super) answer: Answer,
    /// 0 where it is not final.
    pub(super) sequence: u64,
    pub(super) request_digest: [u8; 32],
    pub(super) key_index: usize,
}

/// Answers every one of `requests`, in their order.
pub(super) async fn answer(
    shared: &Shared,
    pool: &Arc<Pool>,
    requests: Vec<Request>,
) -> Vec<Reply> {
    let requests = Arc::new(requests);
    let found = match look_up(shared, pool, &requests).await {
        Ok(found) => found,
        Err(error) => return all_unavailable(shared, &requests, &error),
    };
    let new = first_of_each_header_hash(&requests, &found);
    let verdicts = issue(shared, pool, &requests, &new).await;
    let recorded = match record(shared, pool, &requests, found, &new, &verdicts).await {
        Ok(recorded) => recorded,
        Err(error) => return all_unavailable(shared, &requests, &error),
    };

    let mut replies = Vec::with_capacity(requests.len());
    for (request, recorded) in requests.iter().zip(recorded) {
        let verdict = new
            .get(&request.request.header_hash)
            .and_then(|first| verdicts.get(first));
        let (answer, sequence) = match (recorded, verdict) {
            (Some(numbered), _) => (numbered.answer, numbered.sequence),
            (None, Some(Verdict::Later(answer))) => (answer.clone(), 0),
            (None, _) => (unavailable(shared, &request.request.header_hash), 0),
        };
        if sequence == 0 {
            shared.count(|counts| counts.put_off += 1);
        }
        replies.push(Reply {
            answer,
            sequence,
            request_digest: request.digest,
            key_index: request.key_index,
        });
    }
    replies
}

/// What is to be done about a new request.
enum Verdict {
    Record(Decision),
    Later(Answer),
}

async fn look_up(
    shared: &Shared,
    pool: &Arc<Pool>,
    requests: &Arc<Vec<Request>>,
) -> Result<Vec<Found>, StoreError> {
    let (pool, requests) = (Arc::clone(pool), Arc::clone(requests));
    shared
        .store
        .read(move |connection| {
            requests
                .iter()
                .map(|request| answers::find(connection, &pool.asked(request)))
                .collect()
        })
        .await
}

/// The requests that are to be issued, by header hash: where a batch holds a hash twice, the first
/// one decides, and the others find its answer in the record.
fn first_of_each_header_hash(requests: &[Request], found: &[Found]) -> HashMap<[u8; 32], usize> {
    let mut new = HashMap::new();
    for (index, (request, found)) in requests.iter().zip(found).enumerate() {
        if *found == Found::Nothing {
            new.entry(request.request.header_hash).or_insert(index);
        }
    }
    new
}

/// Has the issuer decide, for each key that the pool uses: the verdicts by place in `requests`.
async fn issue(
    shared: &Shared,
    pool: &Pool,
    requests: &[Request],
    new: &HashMap<[u8; 32], usize>,
) -> HashMap<usize, Verdict> {
    let mut verdicts = HashMap::new();
    for (key_index, (public_key, _)) in pool.keys.iter().enumerate() {
        let mut places: Vec<usize> = new
            .values()
            .copied()
            .filter(|place| {
                requests
                    .get(*place)
                    .is_some_and(|r| r.key_index == key_index)
            })
            .collect();
        if places.is_empty() {
            continue;
        }
        places.sort_unstable();
        let batch: Vec<MintQuoteRequest> = places
            .iter()
            .filter_map(|place| requests.get(*place))
            .map(|request| request.request.clone())
            .collect();
        let permits = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let Ok(_permits) = shared.under_way.try_acquire_many(permits) else {
            for (place, request) in places.into_iter().zip(&batch) {
                let busy = temporary(
                    &request.header_hash,
                    QuoteErrorCode::Busy,
                    "too many requests are under way",
                    shared.config.retry_after_ms,
                );
                verdicts.insert(place, Verdict::Later(busy));
            }
            continue;
        };
        shared.count(|counts| counts.batches += 1);
        let outcomes = shared
            .issuer
            .issue(&pool.name, public_key, batch.clone())
            .await;
        if outcomes.len() != batch.len() {
            tracing::error!(
                asked = batch.len(),
                decided = outcomes.len(),
                "the issuer did not decide about every request"
            );
        }
        for ((place, request), outcome) in places.into_iter().zip(&batch).zip(outcomes) {
            verdicts.insert(place, verdict(shared, request, outcome));
        }
    }
    verdicts
}

fn verdict(shared: &Shared, request: &MintQuoteRequest, outcome: QuoteOutcome) -> Verdict {
    let hash = &request.header_hash;
    match outcome {
        QuoteOutcome::Issued(response) => match effect(request, &response) {
            Ok(answer) => Verdict::Record(Decision::Effect(answer)),
            Err(error) => {
                tracing::error!(error, "the issuer's quote cannot be told");
                Verdict::Later(unavailable(shared, hash))
            }
        },
        QuoteOutcome::Refused { code, message } if code.is_final() => {
            Verdict::Record(Decision::Refusal(error(hash, code, &message, 0)))
        }
        QuoteOutcome::Refused { code, message } => Verdict::Later(temporary(
            hash,
            code,
            &message,
            shared.config.retry_after_ms,
        )),
        QuoteOutcome::Later {
            code,
            message,
            retry_after_ms,
        } => Verdict::Later(temporary(hash, code, &message, retry_after_ms)),
    }
}

/// Records what was decided, all in one transaction, and gives the answer for each request that has
/// a final one.
async fn record(
    shared: &Shared,
    pool: &Arc<Pool>,
    requests: &Arc<Vec<Request>>,
    found: Vec<Found>,
    new: &HashMap<[u8; 32], usize>,
    verdicts: &HashMap<usize, Verdict>,
) -> Result<Vec<Option<NumberedAnswer>>, StoreError> {
    let repeated = found
        .iter()
        .filter(|found| matches!(found, Found::Given(_) | Found::Effect(_)))
        .count() as u64;
    if found.iter().all(|found| matches!(found, Found::Given(_))) {
        shared.count(|counts| counts.repeated += repeated);
        return Ok(found.into_iter().map(into_given).collect());
    }
    let mut decisions: HashMap<usize, Decision> = verdicts
        .iter()
        .filter_map(|(place, verdict)| match verdict {
            Verdict::Record(decision) => Some((*place, decision.clone())),
            Verdict::Later(_) => None,
        })
        .collect();
    debug_assert!(
        verdicts
            .keys()
            .all(|place| new.values().any(|n| n == place))
    );
    let (pool, requests) = (Arc::clone(pool), Arc::clone(requests));
    let now_unix_ms = now_unix_ms();
    let recorded = shared
        .store
        .write(move |connection| {
            let mut recorded = Vec::with_capacity(requests.len());
            for (place, request) in requests.iter().enumerate() {
                let conflict = || {
                    error(
                        &request.request.header_hash,
                        QuoteErrorCode::Conflict,
                        "this header hash was used with another amount, unit or locking key",
                        0,
                    )
                };
                recorded.push(answers::record(
                    connection,
                    &pool.asked(request),
                    decisions.remove(&place),
                    conflict,
                    now_unix_ms,
                )?);
            }
            Ok(recorded)
        })
        .await?;
    shared.count(|counts| {
        counts.repeated += repeated;
        for (found, recorded) in found.iter().zip(&recorded) {
            match (found, recorded) {
                (Found::Nothing | Found::Conflict, Some(numbered)) => {
                    match numbered.answer.msg_type {
                        MintQuoteResponse::MSG_TYPE => counts.issued += 1,
                        _ => counts.refused += 1,
                    }
                }
                (Found::Given(_) | Found::Effect(_), _) | (_, None) => {}
            }
        }
    });
    Ok(recorded)
}

fn into_given(found: Found) -> Option<NumberedAnswer> {
    match found {
        Found::Given(numbered) => Some(numbered),
        Found::Nothing | Found::Effect(_) | Found::Conflict => None,
    }
}

fn effect(request: &MintQuoteRequest, response: &MintQuoteResponse) -> Result<Answer, String> {
    if response.header_hash != request.header_hash
        || response.amount != request.amount
        || response.unit != request.unit
    {
        return Err("it is over something else than what was asked for".to_owned());
    }
    let mut body = Vec::new();
    response
        .encode_body(&mut body)
        .map_err(|error| error.to_string())?;
    Ok(Answer {
        msg_type: MintQuoteResponse::MSG_TYPE,
        body,
    })
}

/// A temporary refusal. A final code would have the pool give up a request that nothing is recorded
/// about, so it becomes `unavailable`.
pub(super) fn temporary(
    header_hash: &[u8; 32],
    code: QuoteErrorCode,
    message: &str,
    retry_after_ms: u32,
) -> Answer {
    let code = match code.is_final() {
        true => QuoteErrorCode::Unavailable,
        false => code,
    };
    error(header_hash, code, message, retry_after_ms)
}

fn unavailable(shared: &Shared, header_hash: &[u8; 32]) -> Answer {
    temporary(
        header_hash,
        QuoteErrorCode::Unavailable,
        "the mint cannot issue at present",
        shared.config.retry_after_ms,
    )
}

fn all_unavailable(shared: &Shared, requests: &[Request], error: &StoreError) -> Vec<Reply> {
    tracing::error!(%error, requests = requests.len(), "the store failed; requests are put off");
    shared.count(|counts| {
        counts.store_failures += 1;
        counts.put_off += requests.len() as u64;
    });
    requests
        .iter()
        .map(|request| Reply {
            answer: unavailable(shared, &request.request.header_hash),
            sequence: 0,
            request_digest: request.digest,
            key_index: request.key_index,
        })
        .collect()
}

fn error(
    header_hash: &[u8; 32],
    code: QuoteErrorCode,
    message: &str,
    retry_after_ms: u32,
) -> Answer {
    let message = MintQuoteError {
        header_hash: *header_hash,
        error_code: code.to_u32(),
        error_message: detail(message),
        retry_after_ms,
    };
    let mut body = Vec::new();
    message
        .encode_body(&mut body)
        .expect("every field but the message has a fixed size, and that was cut");
    Answer {
        msg_type: MintQuoteError::MSG_TYPE,
        body,
    }
}
