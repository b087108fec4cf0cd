//! From a pool's request to a quote: check, reserve the allowance, make the quote, answer.
//!
//! # What a crash can do
//! Each step is durable before the next begins, and the requester asks again until it has an answer:
//!
//! | killed | what is on disk | when the request comes again |
//! |---|---|---|
//! | before the reservation is committed | nothing | it is new |
//! | before cdk commits the quote | a reservation | no quote is found; the reservation is given back and made anew, once |
//! | before the answer is recorded | reservation and quote | the quote is found and compared; the same id is answered, nothing is reserved |
//! | before the answer arrives | all of it | the recorded answer is sent again, without asking here |
//!
//! Batches of all pools take turns: what was found missing in cdk's store is still missing when it is made. Even without
//! that a quote cannot be doubled, because cdk's store takes each header hash once.

pub(crate) mod check;
mod outcome;
pub(crate) mod record;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use cdk::cdk_database::Error as EcashStoreError;
use cdk::mint::MintQuote;
use tokio::sync::Semaphore;
use winze_client::{QuoteIssuer, QuoteOutcome, Store, StoreError};
use winze_messages::PeerName;
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_messages::text::header_hash_to_text;
use winze_transport::PublicKey;

use self::check::{Asker, PoolRules, Refusal, Rules};
use self::outcome::{answer, busy, issued, over_allowance, refused, set_back, unavailable};
use self::record::{Made, NewQuote};
use crate::allowance::{self, Account, Verdict, Wish};
use crate::ecash::Ecash;
use crate::limits::{ISSUANCE_WAITING_MAX, TRANSACTION_QUOTES_MAX};
use crate::metrics::Metrics;

/// Double SHA-256 of a share's block header, as the hash function gives it: the idempotency key of its quote.
pub(crate) type HeaderHash = [u8; 32];

/// Where the issuer takes the time from, in Unix seconds.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Makes quotes for shares. A cheap handle.
#[derive(Clone)]
pub(crate) struct Issuer(Arc<Inner>);

struct Inner {
    rules: Rules,
    ecash: Ecash,
    store: Store,
    metrics: Metrics,
    clock: Clock,
    /// Who may wait for a turn; whoever finds it full is told `busy`.
    waiting: Arc<Semaphore>,
    turn: tokio::sync::Mutex<()>,
    /// Header hashes that have their quotes and whose reservations the next transaction may forget. At most
    /// one batch: each call takes what is there before it adds its own.
    settled: Mutex<Vec<HeaderHash>>,
}

/// What is known of a header hash in the course of a batch.
enum Known {
    /// It has a quote, from before or from now.
    Quote { quote: Box<MintQuote>, new: bool },
    /// It has none now.
    Later(QuoteOutcome),
}

type Knowledge = HashMap<HeaderHash, Known>;

impl Issuer {
    pub(crate) fn new(
        rules: Rules,
        ecash: Ecash,
        store: Store,
        metrics: Metrics,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Inner {
            rules,
            ecash,
            store,
            metrics,
            clock,
            waiting: Arc::new(Semaphore::new(ISSUANCE_WAITING_MAX)),
            turn: tokio::sync::Mutex::new(()),
            settled: Mutex::new(Vec::new()),
        }))
    }

    /// What is left of an hour's allowance now.
    #[cfg(test)]
    pub(crate) async fn left_in_hour(
        &self,
        pool: &'static str,
        unit: &'static str,
        caps: allowance::Caps,
    ) -> u64 {
        let used = self
            .0
            .store
            .read(move |conn| allowance::used(conn, pool, unit))
            .await;
        used.expect("a readable store")
            .left(allowance::Window::Hour, caps, (self.0.clock)())
    }

    /// Issues, or refuses, each of `requests` off the list in Redis, as [`QuoteIssuer::issue`] does for a pool; several of
    /// them may have one header hash.
    pub(crate) async fn issue_for_list(
        &self,
        requests: Vec<MintQuoteRequest>,
    ) -> Vec<QuoteOutcome> {
        self.issue_in_turn(Asker::List, requests).await
    }

    async fn issue_in_turn(
        &self,
        asker: Asker,
        requests: Vec<MintQuoteRequest>,
    ) -> Vec<QuoteOutcome> {
        let count = requests.len();
        let Ok(place) = Arc::clone(&self.0.waiting).try_acquire_owned() else {
            let outcomes = vec![busy(); count];
            self.0.metrics.outcomes(&outcomes, 0);
            return outcomes;
        };
        let issuer = self.clone();
        // A task of its own: a caller that gives up must not stop it between two steps.
        let task = tokio::spawn(async move {
            let _place = place;
            issuer.issue_batch(&asker, &requests).await
        });
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, ?asker, "issuing a batch failed");
            vec![unavailable(); count]
        })
    }

    async fn issue_batch(&self, asker: &Asker, requests: &[MintQuoteRequest]) -> Vec<QuoteOutcome> {
        let inner = &*self.0;
        let pool = inner.rules.of(asker);
        let keysets = inner.ecash.keysets();
        let checked: Vec<Result<NewQuote, Refusal>> = requests
            .iter()
            .map(|request| check::check(&inner.rules, pool, &keysets, request))
            .collect();
        let good: Vec<&NewQuote> = checked.iter().filter_map(|it| it.as_ref().ok()).collect();

        let mut knowledge = Knowledge::new();
        if let Some(pool) = pool {
            for part in good.chunks(TRANSACTION_QUOTES_MAX) {
                let _turn = inner.turn.lock().await;
                self.settle(pool, part, &mut knowledge).await;
            }
        }
        let earlier = self.find_refused(requests, &checked).await;
        let outcomes: Vec<QuoteOutcome> = requests
            .iter()
            .zip(&checked)
            .map(|(request, checked)| match (checked, &earlier) {
                (Ok(quote), _) => answer(quote, knowledge.get(&quote.header_hash)),
                (Err(refusal), Ok(earlier)) => match earlier.get(&request.header_hash) {
                    Some(quote) if record::is_what_was_asked(quote, request) => {
                        issued(quote, request)
                    }
                    _ => refused(refusal),
                },
                (Err(_), Err(_)) => unavailable(),
            })
            .collect();
        let new = knowledge
            .values()
            .filter(|known| matches!(known, Known::Quote { new: true, .. }))
            .count();
        inner.metrics.outcomes(&outcomes, new);
        outcomes
    }

    /// The quotes of requests that are refused by the rules. They may be from before the rules were changed, by a mint
    /// that was killed before it answered; what exists is not refused.
    async fn find_refused(
        &self,
        requests: &[MintQuoteRequest],
        checked: &[Result<NewQuote, Refusal>],
    ) -> Result<HashMap<HeaderHash, MintQuote>, EcashStoreError> {
        let refused = requests.iter().zip(checked).filter(|it| it.1.is_err());
        let hashes: Vec<HeaderHash> = refused.map(|(request, _)| request.header_hash).collect();
        Ok(self.find_all(hashes).await?.into_iter().collect())
    }

    /// What cdk's store has for each of `requests`; nothing is made.
    async fn recall_batch(&self, requests: &[MintQuoteRequest]) -> Vec<QuoteOutcome> {
        let hashes = requests.iter().map(|request| request.header_hash).collect();
        let found = match self.find_all(hashes).await {
            Ok(found) => found.into_iter().collect::<HashMap<_, _>>(),
            Err(error) => {
                tracing::error!(%error, "the ecash store cannot be read");
                HashMap::new()
            }
        };
        let outcome = |request: &MintQuoteRequest| match found.get(&request.header_hash) {
            Some(quote) if record::is_what_was_asked(quote, request) => issued(quote, request),
            Some(_) => refused(&Refusal::Conflict),
            None => set_back(),
        };
        let outcomes: Vec<QuoteOutcome> = requests.iter().map(outcome).collect();
        self.0.metrics.outcomes(&outcomes, 0);
        outcomes
    }

    /// Those of the header hashes that have quotes, with them.
    async fn find_all(
        &self,
        hashes: Vec<HeaderHash>,
    ) -> Result<Vec<(HeaderHash, MintQuote)>, EcashStoreError> {
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        let store = self.0.ecash.quote_store();
        on_blocking_thread(async move {
            let mut found = Vec::new();
            for header_hash in hashes {
                if let Some(quote) = record::find(&store, &header_hash).await? {
                    found.push((header_hash, quote));
                }
            }
            Ok(found)
        })
        .await
    }

    /// Sees to it that everything there is to know about `quotes` is in `knowledge`.
    async fn settle(&self, pool: &PoolRules, quotes: &[&NewQuote], knowledge: &mut Knowledge) {
        let mut missing: BTreeMap<HeaderHash, NewQuote> = BTreeMap::new();
        for quote in quotes {
            // The first of several with one header hash makes the quote; the others are compared with it.
            if !knowledge.contains_key(&quote.header_hash) {
                missing
                    .entry(quote.header_hash)
                    .or_insert_with(|| (*quote).clone());
            }
        }
        if let Err(error) = self.look_up(&mut missing, knowledge).await {
            tracing::error!(%error, "the ecash store cannot be read");
            return later_all(missing, knowledge);
        }
        match self.reserve(pool, missing, knowledge).await {
            Ok(reserved) => self.make(reserved, knowledge).await,
            Err((error, missing)) => {
                tracing::error!(%error, "allowance cannot be reserved");
                later_all(missing, knowledge);
            }
        }
    }

    /// Moves those of `missing` that have quotes to `knowledge`.
    async fn look_up(
        &self,
        missing: &mut BTreeMap<HeaderHash, NewQuote>,
        knowledge: &mut Knowledge,
    ) -> Result<(), EcashStoreError> {
        let hashes = missing.keys().copied().collect();
        for (header_hash, quote) in self.find_all(hashes).await? {
            missing.remove(&header_hash);
            knowledge.insert(header_hash, Known::quote(quote, false));
        }
        Ok(())
    }

    /// Reserves allowance for `missing`: those that got it come back, the others are told to come later.
    async fn reserve(
        &self,
        pool: &PoolRules,
        missing: BTreeMap<HeaderHash, NewQuote>,
        knowledge: &mut Knowledge,
    ) -> Result<Vec<NewQuote>, (StoreError, BTreeMap<HeaderHash, NewQuote>)> {
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let mut by_unit: BTreeMap<String, Vec<Wish>> = BTreeMap::new();
        for quote in missing.values() {
            by_unit
                .entry(quote.unit.to_string())
                .or_default()
                .push((quote.header_hash, quote.amount));
        }
        let accounts: Vec<(Account, Vec<Wish>)> = by_unit
            .into_iter()
            .filter_map(|(unit, wishes)| Some((pool.account(unit)?, wishes)))
            .collect();
        let now_s = (self.0.clock)();
        let settled = std::mem::take(
            &mut *self
                .0
                .settled
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let written = self
            .0
            .store
            .write(move |conn| {
                let mut verdicts = Vec::new();
                let mut left = Vec::new();
                for (account, wishes) in &accounts {
                    let given = allowance::reserve(conn, account, wishes, &settled, now_s)?;
                    verdicts.extend(wishes.iter().map(|(hash, _)| *hash).zip(given));
                    let used = allowance::used(conn, &account.pool, &account.unit)?;
                    left.push((account.clone(), used));
                }
                Ok((verdicts, left))
            })
            .await;
        let (verdicts, left) = match written {
            Ok(written) => written,
            Err(error) => return Err((error, missing)),
        };
        for (account, used) in &left {
            self.0.metrics.show_allowance(account, used, now_s);
        }
        let mut missing = missing;
        let mut reserved = Vec::with_capacity(missing.len());
        for (header_hash, verdict) in verdicts {
            let Some(quote) = missing.remove(&header_hash) else {
                continue;
            };
            match verdict {
                Verdict::Reserved => reserved.push(quote),
                Verdict::Exceeded {
                    window,
                    retry_after_s,
                } => {
                    let later = over_allowance(pool, &quote, window, retry_after_s);
                    knowledge.insert(header_hash, Known::Later(later));
                }
            }
        }
        // A unit without an account cannot have passed the checks; nothing is issued for it all the same.
        later_all(missing, knowledge);
        Ok(reserved)
    }

    /// Makes the quotes, all in one transaction where nothing is wrong with any.
    async fn make(&self, quotes: Vec<NewQuote>, knowledge: &mut Knowledge) {
        if quotes.is_empty() {
            return;
        }
        let store = self.0.ecash.quote_store();
        let made = on_blocking_thread(async move { Ok(record::create_all(&store, quotes).await) });
        let made = match made.await {
            Ok(made) => made,
            Err(error) => {
                tracing::error!(%error, "quotes cannot be made");
                return;
            }
        };
        if !made.is_empty() {
            self.0.metrics.batch(made.len());
        }
        let mut settled = self
            .0
            .settled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for Made {
            header_hash,
            quote,
            new,
        } in made
        {
            match quote {
                Ok(quote) => {
                    settled.push(header_hash);
                    knowledge.insert(header_hash, Known::quote(quote, new));
                }
                Err(error) => {
                    let header_hash_hex = header_hash_to_text(&header_hash);
                    tracing::error!(%error, header_hash_hex, "a quote cannot be made");
                    knowledge.insert(header_hash, Known::Later(unavailable()));
                }
            }
        }
    }
}

#[async_trait]
impl QuoteIssuer for Issuer {
    async fn issue(
        &self,
        _: &PeerName,
        pool_key: &PublicKey,
        requests: Vec<MintQuoteRequest>,
    ) -> Vec<QuoteOutcome> {
        self.issue_in_turn(Asker::Key(*pool_key), requests).await
    }

    async fn recall(&self, requests: Vec<MintQuoteRequest>) -> Vec<QuoteOutcome> {
        self.recall_batch(&requests).await
    }
}

impl Known {
    fn quote(quote: MintQuote, new: bool) -> Self {
        Known::Quote {
            quote: Box::new(quote),
            new,
        }
    }
}

impl PoolRules {
    pub(crate) fn account(&self, unit: String) -> Option<Account> {
        Some(Account {
            pool: self.name.to_string(),
            caps: *self.caps.get(&unit)?,
            unit,
        })
    }
}

/// cdk runs SQL, the wait for SQLite's write lock included, on the thread that polls it; this keeps it off the
/// runtime's own few threads.
async fn on_blocking_thread<T: Send + 'static>(
    work: impl Future<Output = Result<T, EcashStoreError>> + Send + 'static,
) -> Result<T, EcashStoreError> {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(work))
        .await
        .unwrap_or_else(|error| Err(EcashStoreError::Internal(error.to_string())))
}

fn later_all(quotes: BTreeMap<HeaderHash, NewQuote>, knowledge: &mut Knowledge) {
    for header_hash in quotes.into_keys() {
        knowledge.insert(header_hash, Known::Later(unavailable()));
    }
}

#[cfg(test)]
mod tests;
