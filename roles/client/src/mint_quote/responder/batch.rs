//! A batch of requests of one pool, without IO: looked up, decided, recorded, and only then
//! answered.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::hub::detail;
use winze_messages::families::mint_quote::{
    MintQuoteError, MintQuoteRequest, MintQuoteResponse, QuoteErrorCode, QuoteState,
};
use winze_transport::PublicKey;

use super::asked::{Pool, Request};
use super::{QuoteOutcome, ResponderCounts};
use crate::answers::{
    self, Answer, Asked, Decision, Finding, Found, NumberedAnswer, RecordEnd, Recording,
};
use crate::limits::STORE_NUMBER_MAX;
use crate::sabotage::{Rule, is_broken};
use crate::store::StoreError;

/// Requests that are answered together. Its steps, in their order:
/// [`looked_up`](Self::looked_up) with what [`look_up`](Self::look_up) found,
/// [`decided`](Self::decided) or [`busy`](Self::busy) for each of [`to_decide`](Self::to_decide),
/// [`recorded`](Self::recorded) with what became of [`recording_wanted`](Self::recording_wanted).
pub struct QuoteBatch {
    pool: Arc<Pool>,
    requests: Arc<Vec<Request>>,
    found: Vec<Found>,
    /// Where the record ended when they were looked up.
    looked_up_at: Option<RecordEnd>,
    /// The requests that are to be decided, by header hash: where a batch holds a hash twice, the
    /// first one decides, and the others find its answer in the record.
    new: HashMap<[u8; 32], usize>,
    /// By place in `requests`; what is to be recorded is taken out for that.
    verdicts: Vec<Option<Verdict>>,
    retry_after_ms: u32,
    /// The pool has told how far its store has come, and that was compared.
    is_pool_known: bool,
    /// New effects may be made for this pool.
    may_issue: bool,
    /// A request has a higher number than any that the record knows to be answered.
    numbers_rise: bool,
}

/// New requests of a batch, for the issuer.
pub struct ToDecide {
    /// Under which of the pool's keys they came.
    pub pool_key: PublicKey,
    /// One for each header hash.
    pub requests: Vec<MintQuoteRequest>,
    /// Whether quotes may be made. If not, only what was issued already may be told: the record
    /// here was set back.
    pub may_issue: bool,
    places: Vec<usize>,
}

/// A batch's requests, to be looked up in the record.
pub struct LookUp {
    pool: Arc<Pool>,
    requests: Arc<Vec<Request>>,
}

/// What the record says about a batch.
pub struct LookedUp {
    found: Vec<Found>,
    end: RecordEnd,
    is_set_back: bool,
    /// The highest request number that was ever answered.
    answered: u64,
}

/// What was decided, to be recorded in one transaction.
pub struct AnswersWanted {
    pool: Arc<Pool>,
    requests: Arc<Vec<Request>>,
    /// By place in `requests`.
    decisions: Vec<Option<Decision>>,
    looked_up_at: Option<RecordEnd>,
}

/// The final answer to each request of a batch, where it has one.
pub type RecordedAnswers = Vec<Option<NumberedAnswer>>;

/// An answer that is ready to be sealed.
pub struct Reply {
    pub(super) answer: Answer,
    /// 0 where it is not final.
    pub(super) sequence: u64,
    pub(super) request_digest: [u8; 32],
    pub(super) key_index: usize,
}

/// What is to be done about a new request.
enum Verdict {
    Record(Decision),
    Later(Answer),
}

impl LookUp {
    /// What the record says about each request, and whether it was set back; on the connection that writes.
    pub fn find(&self, connection: &Connection) -> Result<LookedUp, StoreError> {
        let pool = &self.pool.text;
        let mut finding = Finding::new(connection)?;
        let found = self.requests.iter();
        let found = found.map(|request| finding.find(&self.pool.asked(request), request.by_key));
        Ok(LookedUp {
            found: found.collect::<Result<_, _>>()?,
            end: RecordEnd::read(connection)?,
            is_set_back: answers::set_back(connection, EXT_MINT_QUOTE, pool)?
                .is_some_and(|set_back| set_back.is_open()),
            answered: answers::numbers(connection, EXT_MINT_QUOTE, pool)?.requests,
        })
    }
}

impl AnswersWanted {
    /// Records it in the transaction that is under way.
    pub fn record(
        self,
        connection: &Connection,
        now_unix_ms: u64,
    ) -> Result<RecordedAnswers, StoreError> {
        if !is_broken(Rule::RecordBeforeAnswer) {
            return self.record_all(connection, now_unix_ms);
        }
        connection.execute_batch("SAVEPOINT unrecorded")?;
        let answers = self.record_all(connection, now_unix_ms)?;
        connection.execute_batch("ROLLBACK TO unrecorded")?;
        Ok(answers)
    }

    fn record_all(
        mut self,
        connection: &Connection,
        now_unix_ms: u64,
    ) -> Result<RecordedAnswers, StoreError> {
        let mut recorded = Vec::with_capacity(self.requests.len());
        let pool = &self.pool;
        let mut recording = Recording::new(connection, EXT_MINT_QUOTE, &pool.text, now_unix_ms)?;
        // Where nobody has recorded anything meanwhile, what was looked up is still so: by far the most requests are new,
        // and not looked up again.
        let is_current = self.looked_up_at == Some(RecordEnd::read(connection)?);
        let mut decisions = std::mem::take(&mut self.decisions);
        decisions.resize_with(self.requests.len(), || None);
        let mut foreseen = Vec::new().into_iter();
        let mut answered = 0;
        for (place, request) in self.requests.iter().enumerate() {
            let by_key = request.by_key;
            let asked = pool.asked(request);
            if is_current && decisions[place].is_some() && foreseen.len() == 0 {
                let decided = self.decided_from(place, &decisions);
                foreseen = recording.foresee(decided)?.into_iter();
            }
            let answer = match decisions[place].take() {
                // Decided is what was not found, and of each key one request: the others find its answer in the record.
                Some(decision) if is_current => {
                    Some(recording.record_new(&asked, by_key, decision, foreseen.next())?)
                }
                decision => recording.record(&asked, by_key, decision, || conflict(request))?,
            };
            if answer.is_some() {
                answered = answered.max(request.number);
            }
            recorded.push(answer);
        }
        recording.finish()?;
        if answered > 0 {
            answers::note_requests(connection, EXT_MINT_QUOTE, &self.pool.text, answered)?;
        }
        Ok(recorded)
    }

    /// The requests from `place` on that are decided.
    fn decided_from<'a>(
        &'a self,
        place: usize,
        decisions: &'a [Option<Decision>],
    ) -> impl Iterator<Item = (Asked<'a>, &'a Decision)> {
        let left = self.requests.iter().zip(decisions).skip(place);
        left.filter_map(|(request, decision)| Some((self.pool.asked(request), decision.as_ref()?)))
    }
}

impl QuoteBatch {
    pub(super) fn new(
        pool: Arc<Pool>,
        requests: Vec<Request>,
        is_pool_known: bool,
        retry_after_ms: u32,
    ) -> QuoteBatch {
        QuoteBatch {
            pool,
            requests: Arc::new(requests),
            found: Vec::new(),
            looked_up_at: None,
            new: HashMap::new(),
            verdicts: Vec::new(),
            retry_after_ms,
            is_pool_known,
            may_issue: false,
            numbers_rise: false,
        }
    }

    /// Whose requests they are.
    pub fn pool(&self) -> &winze_messages::PeerName {
        &self.pool.name
    }

    /// The first step.
    pub fn look_up(&self) -> LookUp {
        LookUp {
            pool: Arc::clone(&self.pool),
            requests: Arc::clone(&self.requests),
        }
    }

    /// What the record says.
    pub fn looked_up(&mut self, looked_up: LookedUp) {
        let LookedUp {
            found,
            end,
            is_set_back,
            answered,
        } = looked_up;
        let is_safe = self.is_pool_known && !is_set_back;
        self.may_issue = is_safe || is_broken(Rule::NothingNewWhenSetBack);
        let answerable = self.requests.iter().zip(&found);
        self.numbers_rise = answerable
            .filter(|(_, found)| matches!(found, Found::Given(_)))
            .any(|(request, _)| request.number.min(STORE_NUMBER_MAX) > answered);
        for (index, (request, found)) in self.requests.iter().zip(&found).enumerate() {
            if *found == Found::Nothing && self.is_pool_known {
                self.new.entry(request.request.header_hash).or_insert(index);
            }
        }
        self.found = found;
        self.looked_up_at = Some(end);
    }

    /// The new requests, for each key that the pool uses.
    pub fn to_decide(&self) -> Vec<ToDecide> {
        let mut all = Vec::new();
        for (key_index, (public_key, _)) in self.pool.keys.iter().enumerate() {
            let mut places: Vec<usize> = self
                .new
                .values()
                .copied()
                .filter(|place| {
                    self.requests
                        .get(*place)
                        .is_some_and(|r| r.key_index == key_index)
                })
                .collect();
            if places.is_empty() {
                continue;
            }
            places.sort_unstable();
            all.push(ToDecide {
                pool_key: *public_key,
                requests: places
                    .iter()
                    .filter_map(|place| self.requests.get(*place))
                    .map(|request| request.request.clone())
                    .collect(),
                may_issue: self.may_issue,
                places,
            });
        }
        all
    }

    /// Too many requests are with the issuer already.
    pub fn busy(&mut self, asked: ToDecide) {
        let retry_after_ms = self.retry_after_ms;
        self.judge(asked.places, |_, request| {
            Verdict::Later(temporary(
                &request.header_hash,
                QuoteErrorCode::Busy,
                "too many requests are under way",
                retry_after_ms,
            ))
        });
    }

    /// What the issuer's own record has of them, in their order, where nothing
    /// [may be issued](ToDecide::may_issue); an outcome that is missing is put off.
    pub fn recalled(&mut self, asked: ToDecide, outcomes: Vec<QuoteOutcome>) {
        let mut outcomes = outcomes.into_iter();
        self.judge(asked.places, |batch, request| match outcomes.next() {
            Some(outcome) => batch.verdict(request, outcome),
            None => Verdict::Later(batch.unavailable(&request.header_hash)),
        });
    }

    /// What the issuer made of them, in their order.
    pub fn decided(&mut self, asked: ToDecide, outcomes: Vec<QuoteOutcome>) {
        if outcomes.len() != asked.places.len() {
            tracing::error!(
                asked = asked.places.len(),
                decided = outcomes.len(),
                "the issuer did not decide about every request"
            );
        }
        self.recalled(asked, outcomes);
    }

    fn judge(
        &mut self,
        places: Vec<usize>,
        mut verdict: impl FnMut(&QuoteBatch, &MintQuoteRequest) -> Verdict,
    ) {
        self.verdicts.resize_with(self.requests.len(), || None);
        for place in places {
            let judged = self.requests.get(place);
            let judged = judged.map(|request| verdict(self, &request.request));
            if let Some(slot) = self.verdicts.get_mut(place) {
                *slot = judged;
            }
        }
    }

    fn verdict(&self, request: &MintQuoteRequest, outcome: QuoteOutcome) -> Verdict {
        let hash = &request.header_hash;
        match outcome {
            QuoteOutcome::Issued(response) => match effect(request, &response) {
                Ok(answer) => Verdict::Record(Decision::Effect(answer)),
                Err(error) => {
                    tracing::error!(error, "the issuer's quote cannot be told");
                    Verdict::Later(self.unavailable(hash))
                }
            },
            QuoteOutcome::Refused { code, message } if code.is_final() => {
                Verdict::Record(Decision::Refusal(error(hash, code, &message, 0)))
            }
            QuoteOutcome::Refused { code, message } => {
                Verdict::Later(temporary(hash, code, &message, self.retry_after_ms))
            }
            QuoteOutcome::Later {
                code,
                message,
                retry_after_ms,
            } => Verdict::Later(temporary(hash, code, &message, retry_after_ms)),
        }
    }

    /// What is to be recorded; `None` where each request was answered before. Nothing is for a pool
    /// that has not told how far its store has come: a number that is given now would hide from the
    /// comparison how many the record has forgotten.
    pub fn recording_wanted(&mut self) -> Option<AnswersWanted> {
        let is_given = |found: &Found| matches!(found, Found::Given(_));
        let is_answered = self.found.iter().all(is_given) && !self.numbers_rise;
        if is_answered || !self.is_pool_known {
            return None;
        }
        let decision = |verdict: &mut Option<Verdict>| match verdict.take() {
            Some(Verdict::Record(decision)) => Some(decision),
            later => {
                *verdict = later;
                None
            }
        };
        let decisions = self.verdicts.iter_mut().map(decision).collect();
        Some(AnswersWanted {
            pool: Arc::clone(&self.pool),
            requests: Arc::clone(&self.requests),
            decisions,
            looked_up_at: self.looked_up_at,
        })
    }

    /// The last step, once what was wanted is on disk: the answers to every request, in their
    /// order. `recorded` is `None` where nothing was wanted.
    pub fn recorded(
        self,
        recorded: Option<RecordedAnswers>,
        counts: &mut ResponderCounts,
    ) -> Vec<Reply> {
        self.count(recorded.as_ref(), counts);
        let recorded = recorded.unwrap_or_else(|| {
            let given = |found: &Found| match found {
                Found::Given(numbered) => Some(numbered.clone()),
                Found::Nothing | Found::Effect(_) | Found::Conflict => None,
            };
            self.found.iter().map(given).collect()
        });
        let mut replies = Vec::with_capacity(self.requests.len());
        for (request, recorded) in self.requests.iter().zip(recorded) {
            let hash = &request.request.header_hash;
            let verdict = self
                .new
                .get(hash)
                .and_then(|first| self.verdicts.get(*first)?.as_ref());
            let (answer, sequence) = match (recorded, verdict) {
                (Some(numbered), _) => (numbered.answer, numbered.sequence),
                (None, Some(Verdict::Later(answer))) => (answer.clone(), 0),
                (None, _) => (self.unavailable(hash), 0),
            };
            counts.put_off += u64::from(sequence == 0);
            replies.push(request.reply(answer, sequence));
        }
        replies
    }

    fn count(&self, recorded: Option<&RecordedAnswers>, counts: &mut ResponderCounts) {
        let again = |found: &&Found| matches!(found, Found::Given(_) | Found::Effect(_));
        counts.repeated += self.found.iter().filter(again).count() as u64;
        for (found, recorded) in self.found.iter().zip(recorded.into_iter().flatten()) {
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
    }

    /// The last step, where the store failed: everything is put off.
    pub fn store_failed(self, error: &StoreError, counts: &mut ResponderCounts) -> Vec<Reply> {
        let requests = self.requests.len();
        tracing::error!(%error, requests, "the store failed; requests are put off");
        counts.store_failures += 1;
        counts.put_off += requests as u64;
        self.requests
            .iter()
            .map(|request| request.reply(self.unavailable(&request.request.header_hash), 0))
            .collect()
    }

    fn unavailable(&self, header_hash: &[u8; 32]) -> Answer {
        temporary(
            header_hash,
            QuoteErrorCode::Unavailable,
            "the mint cannot issue at present",
            self.retry_after_ms,
        )
    }
}

impl Request {
    fn reply(&self, answer: Answer, sequence: u64) -> Reply {
        Reply {
            answer,
            sequence,
            request_digest: self.digest,
            key_index: self.key_index,
        }
    }
}

fn effect(request: &MintQuoteRequest, response: &MintQuoteResponse) -> Result<Answer, String> {
    if response.header_hash != request.header_hash
        || response.amount != request.amount
        || response.unit != request.unit
    {
        return Err("it is over something else than what was asked for".to_owned());
    }
    if (response.state == QuoteState::Unknown) != response.quote_id.is_empty() {
        return Err("it has an id and is unknown, or neither".to_owned());
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

fn conflict(request: &Request) -> Answer {
    error(
        &request.request.header_hash,
        QuoteErrorCode::Conflict,
        "this header hash was used with another amount, unit or locking key",
        0,
    )
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

#[cfg(test)]
mod tests;
