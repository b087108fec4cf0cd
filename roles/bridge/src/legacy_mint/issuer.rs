//! Who is asked by the pools: writes requests down, has them pushed, and answers with the ids that the old mint tells.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;
use winze_client::{QuoteIssuer, QuoteOutcome, Store, StoreError};
use winze_legacy::QuoteRequest;
use winze_messages::PeerName;
use winze_messages::families::mint_quote::{
    MintQuoteRequest, MintQuoteResponse, QuoteErrorCode, QuoteState,
};
use winze_messages::limits::AMOUNT_MAX;
use winze_transport::PublicKey;

use super::desk::{Desk, Told, Way};
use super::limits::{
    HOLD_MAX, NO_WAY_RETRY_MS, OVER_AMOUNT_RETRY_MS, RETRY_LEAST_MS, RETRY_MOST_MS,
};
use super::open::HeaderHash;
use super::rows::{self, Known, NewRow};
use super::writing::Writing;

/// The old mint, as the pools see it.
pub(super) struct Issuer {
    pub(super) desk: Arc<Desk>,
    pub(super) store: Store,
    /// In lower case.
    pub(super) unit: String,
    pub(super) writing: Writing,
    pub(super) tells_ids: bool,
    /// Whether what is new may be pushed.
    pub(super) takes_new: bool,
    /// The most that the old mint takes for one share; what is over it is not pushed.
    pub(super) amount_max: u64,
}

/// A request, and what is said of it where it is new and must not be pushed.
struct Checked {
    request: MintQuoteRequest,
    refusal: Option<(QuoteErrorCode, String)>,
}

#[async_trait]
impl QuoteIssuer for Issuer {
    async fn issue(
        &self,
        pool: &PeerName,
        _pool_key: &PublicKey,
        requests: Vec<MintQuoteRequest>,
    ) -> Vec<QuoteOutcome> {
        let deadline = Instant::now() + HOLD_MAX;
        let requests: Vec<Checked> = requests.into_iter().map(|it| self.check(it)).collect();
        let hashes = requests.iter().map(|it| it.request.header_hash).collect();
        // Before the look at the disk: what is told from here on is heard.
        let mut hold = self.desk.hold(hashes);
        let known = match self.write_down(pool, &requests).await {
            Ok(known) => known,
            Err(error) => {
                tracing::error!(%error, requests = requests.len(), "the store failed; requests are put off");
                return requests
                    .iter()
                    .map(|_| self.put_off("the bridge's store fails"))
                    .collect();
            }
        };

        let pool: Arc<str> = pool.to_string().into();
        let mut expected = Vec::new();
        {
            let now_ms = self.desk.now_ms();
            let mut inner = self.desk.lock();
            let mut room = inner.open.room(&pool);
            for (Checked { request, refusal }, known) in requests.iter().zip(&known) {
                let Known::Open { is_new } = known else {
                    continue;
                };
                // Written down when the configuration was another.
                if refusal.is_some() && !self.tells_ids {
                    continue;
                }
                let hash = request.header_hash;
                if hold.is_told(&hash) {
                    continue;
                }
                expected.push(hash);
                if inner.open.waits_ms(&hash, now_ms).is_some() {
                    continue;
                }
                match *is_new {
                    true => {
                        inner.open.add(hash, &pool, now_ms);
                        inner.fresh.insert(hash, self.entry(request));
                        inner.status.counts.taken += 1;
                    }
                    // From before the start, and there was no room then.
                    false if room == 0 => {}
                    // Not noted as pushed is not known never to have been.
                    false if self.tells_ids => {
                        inner.open.resume(hash, &pool, now_ms);
                        room -= 1;
                    }
                    false => {
                        inner.open.add(hash, &pool, now_ms);
                        room -= 1;
                    }
                }
            }
        }
        self.desk.nudge();
        let told = hold.wait(&expected, deadline).await;
        self.outcomes(requests, known, told)
    }

    async fn recall(&self, requests: Vec<MintQuoteRequest>) -> Vec<QuoteOutcome> {
        let asked = requests.clone();
        let found = self.store.read(move |c| {
            let known = asked.iter().map(|request| rows::find(c, request));
            known.collect::<Result<Vec<_>, _>>()
        });
        match found.await {
            Ok(known) => {
                let requests = requests.into_iter().map(|it| Checked {
                    request: it,
                    refusal: None,
                });
                self.outcomes(requests.collect(), known, HashMap::new())
            }
            Err(error) => {
                tracing::error!(%error, "the store failed; requests are put off");
                Vec::new()
            }
        }
    }
}

impl Issuer {
    fn check(&self, request: MintQuoteRequest) -> Checked {
        let refusal = if request.unit != self.unit {
            let detail = format!("this mint issues {:?} alone", self.unit);
            Some((QuoteErrorCode::UnknownUnit, detail))
        } else if request.amount == 0 {
            Some((QuoteErrorCode::AmountZero, "the amount is 0".to_owned()))
        } else if request.amount > AMOUNT_MAX {
            let detail = format!("amount {} is over {AMOUNT_MAX}", request.amount);
            Some((QuoteErrorCode::AmountTooLarge, detail))
        } else if !is_point(&request.locking_key) {
            let detail = "the locking key is not a compressed point on secp256k1".to_owned();
            Some((QuoteErrorCode::BadLockingKey, detail))
        } else if request.amount > self.amount_max {
            // Another mint at the same list may take it, so it waits, where its pool's operator sees it.
            let (amount, most) = (request.amount, self.amount_max);
            let detail =
                format!("amount {amount} is over {most}, the most that this mint's list takes");
            Some((QuoteErrorCode::Unavailable, detail))
        } else {
            None
        };
        Checked { request, refusal }
    }

    /// What is known of each request, after those that are new were written down as far as they can be pushed.
    async fn write_down(
        &self,
        pool: &PeerName,
        requests: &[Checked],
    ) -> Result<Vec<Known>, StoreError> {
        let pool = pool.to_string();
        let (room, answered) = {
            let mut inner = self.desk.lock();
            let room = match inner.way {
                Way::Open if self.takes_new => inner.open.room(&pool),
                Way::Open | Way::Full | Way::Away => 0,
            };
            (room, inner.take_answered())
        };
        let row = |it: &Checked| NewRow {
            request: it.request.clone(),
            json: it.refusal.is_none().then(|| self.entry(&it.request)),
        };
        let rows: Vec<NewRow> = requests.iter().map(row).collect();
        let forget: Vec<HeaderHash> = answered.iter().map(|it| it.hash).collect();
        let written = self.store.write_repeatable(move |c| {
            let left = rows::forget_recorded(c, &forget)?;
            Ok((left, rows::take(c, &pool, &rows, room)?))
        });
        let written = written.await;
        let mut inner = self.desk.lock();
        match written {
            Ok((left, known)) => {
                let left: HashSet<HeaderHash> = left.into_iter().collect();
                inner.put_back(answered.into_iter().filter(|it| left.contains(&it.hash)));
                Ok(known)
            }
            Err(error) => {
                inner.put_back(answered);
                Err(error)
            }
        }
    }

    fn entry(&self, request: &MintQuoteRequest) -> String {
        let entry = QuoteRequest {
            unit: request.unit.clone(),
            amount: request.amount,
            header_hash: request.header_hash,
            description: request.description.clone(),
            locking_key: Some(request.locking_key),
            keyset_id: Some(request.keyset_id.clone()),
        };
        self.writing.to_keep(&entry)
    }

    fn outcomes(
        &self,
        requests: Vec<Checked>,
        known: Vec<Known>,
        mut told: HashMap<HeaderHash, Told>,
    ) -> Vec<QuoteOutcome> {
        let now_ms = self.desk.now_ms();
        let mut inner = self.desk.lock();
        let mut outcomes = Vec::with_capacity(requests.len());
        let mut answered = Vec::new();
        for (Checked { request, refusal }, known) in requests.into_iter().zip(known) {
            let hash = request.header_hash;
            let outcome = match (known, told.remove(&hash)) {
                (Known::Id(id), _) | (Known::Open { .. }, Some(Told::Id(id))) => {
                    answered.push(hash);
                    inner.status.counts.answered += 1;
                    response(request, id, QuoteState::Paid)
                }
                (Known::Open { .. }, Some(Told::Pushed)) => {
                    answered.push(hash);
                    inner.status.counts.unknown += 1;
                    response(request, String::new(), QuoteState::Unknown)
                }
                (Known::Open { .. }, None) => {
                    inner.status.counts.put_off += 1;
                    let waits_ms = inner.open.waits_ms(&hash, now_ms).unwrap_or_default();
                    QuoteOutcome::Later {
                        code: QuoteErrorCode::Unavailable,
                        message: "the mint has not told its id yet".to_owned(),
                        retry_after_ms: retry_after_ms(waits_ms),
                    }
                }
                (Known::Conflict, _) => {
                    inner.status.counts.refused += 1;
                    QuoteOutcome::Refused {
                        code: QuoteErrorCode::Conflict,
                        message:
                            "this header hash was used with another amount, unit or locking key"
                                .to_owned(),
                    }
                }
                (Known::Nothing, _) => match refusal {
                    Some((code, message)) if !code.is_final() => {
                        inner.status.counts.put_off += 1;
                        inner.status.counts.over_amount_max += 1;
                        QuoteOutcome::Later {
                            code,
                            message,
                            retry_after_ms: OVER_AMOUNT_RETRY_MS,
                        }
                    }
                    Some((code, message)) => {
                        inner.status.counts.refused += 1;
                        QuoteOutcome::Refused { code, message }
                    }
                    None => {
                        inner.status.counts.put_off += 1;
                        match self.takes_new {
                            true => no_way(inner.way),
                            false => QuoteOutcome::Later {
                                code: QuoteErrorCode::Unavailable,
                                message: "the mint takes nothing new at present".to_owned(),
                                retry_after_ms: NO_WAY_RETRY_MS,
                            },
                        }
                    }
                },
            };
            outcomes.push(outcome);
        }
        inner.note_answered(answered);
        outcomes
    }

    fn put_off(&self, message: &str) -> QuoteOutcome {
        self.desk.count(|counts| counts.put_off += 1);
        QuoteOutcome::Later {
            code: QuoteErrorCode::Unavailable,
            message: message.to_owned(),
            retry_after_ms: NO_WAY_RETRY_MS,
        }
    }
}

fn no_way(way: Way) -> QuoteOutcome {
    let (code, message) = match way {
        Way::Away => (QuoteErrorCode::Unavailable, "the mint's queue is away"),
        Way::Full => (QuoteErrorCode::Busy, "the mint's queue is full"),
        Way::Open => (QuoteErrorCode::Busy, "too many requests have no id yet"),
    };
    QuoteOutcome::Later {
        code,
        message: message.to_owned(),
        retry_after_ms: NO_WAY_RETRY_MS,
    }
}

/// The longer it waits already, the later it is asked for again.
fn retry_after_ms(waits_ms: u64) -> u32 {
    let ms = (waits_ms / 2).clamp(RETRY_LEAST_MS, RETRY_MOST_MS);
    u32::try_from(ms).unwrap_or(u32::MAX)
}

fn response(request: MintQuoteRequest, quote_id: String, state: QuoteState) -> QuoteOutcome {
    QuoteOutcome::Issued(MintQuoteResponse {
        quote_id,
        header_hash: request.header_hash,
        amount: request.amount,
        unit: request.unit,
        // Old mints tell nobody.
        expires_at_unix_s: 0,
        state,
    })
}

fn is_point(key: &[u8; 33]) -> bool {
    let (sign, x) = key.split_at(1);
    let x = <[u8; 32]>::try_from(x).ok();
    matches!(sign, [2 | 3]) && x.is_some_and(|x| PublicKey::from_bytes(x).is_ok())
}
