//! Requests off a list in Redis, beside those of the hub: for pools of the Redis era, and for pools that use it as the way
//! round.
//!
//! The list is one requester more to the [`Issuer`], with an allowance of its own. It is served in the order in which it
//! was pushed, in batches: what Redis hands over stays in its second list until each entry of the batch has its quote, and
//! the key of the quote's id is written, or is a dead letter with its reason.
//!
//! | killed | when the mint comes back |
//! |---|---|
//! | before cdk commits | the batch is handed over again, and made |
//! | before the keys are written, or the batch is settled | it is handed over again; the quotes are found in cdk's store by their header hashes, and the keys written again |
//!
//! An entry that cannot be served at present (an allowance that is used up, a store that fails) keeps its batch in the
//! second list: the others of the batch are served, what is behind it waits, and all of the batch is tried again after a pause.
//!
//! While a pool knows of more answers than the mint's store holds, what has no quote counts as such an entry: that pool may
//! push here, too, what it has answers to, and a list does not say who has pushed. So it is for some minutes after a start,
//! until each pool that has answers has told how many ([`Caution`]).

mod batch;
mod caution;
mod config;
mod keyset;
mod link;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use cdk::nuts::{CurrencyUnit, Id};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};
use winze_client::{Identity, QuoteIssuer, QuoteOutcome};
use winze_legacy::ListRules;
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_redis::limits::{LIST_LENGTHS_INTERVAL, LIST_PATIENCE, TAKEN_ENTRIES_MAX};
use winze_redis::{Handover, Intake, KeysetKey, LinkPart, Redis, RedisConfig, RedisFault, Taken};
use winze_runtime::clock;

use self::batch::Batch;
pub(crate) use self::caution::Caution;
pub use self::config::RedisRequestsConfig;
pub(crate) use self::link::Link;
use crate::config::canonical;
use crate::ecash::Ecash;
use crate::issuance::Issuer;
use crate::limits::{LIST_RETRY_LEAST, LIST_RETRY_MOST, SHUTDOWN_DRAIN_MAX};
use crate::metrics::ListMetrics;

/// What the reading of the list starts with.
#[derive(Clone)]
pub(crate) struct ListSettings {
    redis: Redis,
    names: RedisConfig,
    taker: String,
    /// See [`Self::owned_by`].
    owner: String,
    unit: CurrencyUnit,
    rules: ListRules,
    keyset_to_redis: bool,
}

impl ListSettings {
    /// `name` is the mint's own; Redis keeps what it has handed over in `<list>:taken:mint-<name>`.
    ///
    /// # Errors
    /// The default locking key is none.
    pub(crate) fn new(
        redis: Redis,
        names: RedisConfig,
        name: &str,
        config: &RedisRequestsConfig,
    ) -> Result<Self, String> {
        Ok(Self {
            redis,
            names,
            taker: format!("mint-{name}"),
            owner: format!("mint/{name}"),
            rules: ListRules {
                unit: config.unit.clone(),
                default_locking_key: config.locking_key()?,
                other_keysets: config.other_keysets,
            },
            unit: canonical(&config.unit),
            keyset_to_redis: config.keyset_to_redis,
        })
    }

    /// Takes as this mint alone: another one of the same name is refused what is taken and not settled.
    pub(crate) fn owned_by(self, identity: &Identity) -> Self {
        let key = hex::encode(identity.public_key().as_bytes());
        Self {
            owner: format!("{} {key}", identity.peer()),
            ..self
        }
    }

    /// The server.
    pub(crate) fn redis(&self) -> &Redis {
        &self.redis
    }
}

/// The list being read. Dropping it leaves off wherever it is.
pub(crate) struct ListReading {
    stop: watch::Sender<bool>,
    taking: JoinHandle<()>,
    _keyset: JoinSet<()>,
    link: Link,
}

impl ListReading {
    /// Starts to take; Redis need not be there. Nothing new is made while `caution` has a reason.
    pub(crate) fn start(
        settings: ListSettings,
        issuer: Issuer,
        ecash: Ecash,
        metrics: ListMetrics,
        caution: Caution,
    ) -> Self {
        let link = Link::new(metrics.clone(), settings.keyset_to_redis);
        let mut keyset = JoinSet::new();
        if settings.keyset_to_redis {
            let key = KeysetKey::new(&settings.redis, &settings.names.keyset_key);
            let (ecash, unit) = (ecash.clone(), settings.unit.clone());
            keyset.spawn(keyset::run(ecash, unit, key, link.clone(), metrics.clone()));
        }
        let maker = Maker { issuer, caution };
        let taker = Taker::new(settings, maker, ecash, metrics, link.clone());
        let (stop, stopping) = watch::channel(false);
        Self {
            stop,
            taking: tokio::spawn(taker.run(stopping)),
            _keyset: keyset,
            link,
        }
    }

    /// How it gets on with Redis.
    pub(crate) fn link(&self) -> Link {
        self.link.clone()
    }

    /// Takes no more, and finishes the batch under way, for a few seconds.
    pub(crate) async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let ended = tokio::time::timeout(SHUTDOWN_DRAIN_MAX, &mut self.taking).await;
        if ended.is_err() {
            tracing::warn!("a batch off the list is still under way; it will be handed over again");
        }
    }
}

impl Drop for ListReading {
    fn drop(&mut self) {
        self.taking.abort();
    }
}

/// Makes quotes, or finds them.
struct Maker {
    issuer: Issuer,
    caution: Caution,
}

/// Takes from the list until it is stopped.
struct Taker {
    intake: Intake,
    handover: Handover,
    quote_kept_s: u64,
    unit: CurrencyUnit,
    rules: ListRules,
    maker: Maker,
    ecash: Ecash,
    metrics: ListMetrics,
    link: Link,
    lengths_at: Option<Instant>,
}

impl Taker {
    fn new(
        settings: ListSettings,
        maker: Maker,
        ecash: Ecash,
        metrics: ListMetrics,
        link: Link,
    ) -> Self {
        let ListSettings { redis, names, .. } = &settings;
        let (list, dead_letters) = (&names.requests_list, &names.dead_letters_list);
        Self {
            intake: Intake::new(redis, list, dead_letters, &settings.taker)
                .owned_by(settings.owner.clone(), Vec::new()),
            handover: Handover::new(redis, list, &names.quote_key_prefix),
            quote_kept_s: names.quote_kept_s,
            unit: settings.unit,
            rules: settings.rules,
            maker,
            ecash,
            metrics,
            link,
            lengths_at: None,
        }
    }

    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut fault_pause = LIST_RETRY_LEAST;
        loop {
            // Whoever waits for entries, or for Redis, may stop at once; a batch is finished.
            let taken = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => return,
                taken = self.take() => taken,
            };
            let outcome = match taken {
                Ok(taken) if taken.is_empty() => Ok(Duration::ZERO),
                Ok(taken) => self.deal_with(taken).await,
                Err(fault) => Err(fault),
            };
            self.link.note(LinkPart::List, outcome.as_ref().map(|_| ()));
            let pause = match &outcome {
                Ok(pause) => {
                    fault_pause = LIST_RETRY_LEAST;
                    *pause
                }
                Err(_) => {
                    let pause = fault_pause;
                    fault_pause = (fault_pause * 2).min(LIST_RETRY_MOST);
                    pause
                }
            };
            if pause > Duration::ZERO {
                tokio::select! {
                    _ = stopping.wait_for(|stop| *stop) => return,
                    () = sleep(pause) => {}
                }
            }
        }
    }

    /// The next entries; none where none come for a while.
    async fn take(&mut self) -> Result<Vec<Taken>, RedisFault> {
        if self
            .lengths_at
            .is_none_or(|at| at.elapsed() >= LIST_LENGTHS_INTERVAL)
        {
            let (waiting, dead_letters) = self.intake.lengths().await?;
            self.metrics.lengths(waiting, dead_letters);
            self.lengths_at = Some(Instant::now());
            self.link.note(LinkPart::List, Ok(()));
        }
        self.intake.take(TAKEN_ENTRIES_MAX, LIST_PATIENCE).await
    }

    /// Serves a batch and settles it, if it can be. How long to wait before the next.
    async fn deal_with(&mut self, taken: Vec<Taken>) -> Result<Duration, RedisFault> {
        self.metrics.taken(taken.len());
        let Some(batch) = self.decide(taken).await else {
            self.link.waits(Some("no keyset is active"));
            return Ok(LIST_RETRY_MOST);
        };
        self.handover
            .set_quote_ids(&batch.quote_ids, self.quote_kept_s)
            .await?;
        self.metrics.keys_written(batch.quote_ids.len());
        if let Some(later) = batch.later {
            self.link.waits(Some(&later.reason));
            self.metrics.later(later.entries);
            return Ok(later.retry_after.clamp(LIST_RETRY_LEAST, LIST_RETRY_MOST));
        }
        self.link.waits(None);
        if let Some(first) = batch.dead_letters.first() {
            let (entries, reason) = (batch.dead_letters.len(), &first.reason);
            tracing::warn!(entries, reason, "entries of the list are dead letters");
        }
        if self.intake.settle(&batch.dead_letters).await? {
            let dead_letters = batch.dead_letters.len();
            self.metrics
                .settled(batch.entries - dead_letters, dead_letters);
        }
        Ok(Duration::ZERO)
    }

    /// Has the issuer decide about each entry; nothing where it could not, for want of an active keyset.
    async fn decide(&self, taken: Vec<Taken>) -> Option<Batch> {
        let active_keyset = self.ecash.active_keyset(&self.unit)?.id.to_bytes();
        let keysets: HashSet<(CurrencyUnit, Id)> = match self.rules.other_keysets {
            true => self.ecash.keysets(),
            false => HashSet::new(),
        };
        let known = |id: &[u8]| {
            Id::from_bytes(id).is_ok_and(|id| keysets.contains(&(self.unit.clone(), id)))
        };
        let unix_ms = clock::now_unix_ms();
        let mut batch = Batch::of(taken.len());
        let mut requests = Vec::with_capacity(taken.len());
        let mut entries = Vec::with_capacity(taken.len());
        for taken in taken {
            match asked(&self.rules, &taken, &active_keyset, known) {
                Ok(request) => {
                    requests.push(request);
                    entries.push(taken);
                }
                Err(reason) => batch.put_aside(taken, &reason, unix_ms),
            }
        }
        if requests.is_empty() {
            return Some(batch);
        }
        let outcomes = self.maker.make(requests).await;
        batch.decided(entries, outcomes, unix_ms);
        Some(batch)
    }
}

/// What `taken` asks for, or why it asks nothing that can be served.
fn asked(
    rules: &ListRules,
    taken: &Taken,
    active_keyset: &[u8],
    known: impl Fn(&[u8]) -> bool,
) -> Result<MintQuoteRequest, String> {
    let entry = taken.entry().map_err(|error| error.to_string())?;
    let asked = rules.read(entry, active_keyset, known);
    asked
        .map(|asked| asked.request)
        .map_err(|error| error.to_string())
}

impl Maker {
    /// One outcome for each of `requests`, in their order.
    async fn make(&self, requests: Vec<MintQuoteRequest>) -> Vec<QuoteOutcome> {
        let Some(reason) = self.caution.reason().await else {
            return self.issuer.issue_for_list(requests).await;
        };
        let mut outcomes = self.issuer.recall(requests).await;
        for outcome in &mut outcomes {
            if let QuoteOutcome::Later { message, .. } = outcome {
                message.clone_from(&reason);
            }
        }
        outcomes
    }
}
