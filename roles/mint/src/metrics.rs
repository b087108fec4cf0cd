//! What an operator sees of the mint, in the OpenMetrics text format. Every name starts with `winze_mint_`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Metric;
use winze_client::{HubCounts, QuoteOutcome, ResponderStatus, Store};
use winze_messages::families::mint_quote::QuoteErrorCode;
use winze_runtime::metrics::Registry;

use crate::allowance::{Account, Used, Window};

/// A handle to all of the role's metrics; clones share them.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    issued: Counter,
    repeated: Counter,
    refused: Family<Code, Counter>,
    later: Family<Code, Counter>,
    batch_quotes: Histogram,
    allowance_left: Family<Left, Gauge<u64, AtomicU64>>,
    keyset_announcements: Counter,
    api_requests: Counter,
    api_refused: Family<Reason, Counter>,
    // What others count; taken over by `Metrics::take_over` before each look.
    hub_connected: Gauge,
    hub_connects: Counter,
    hub_connects_failed: Counter,
    pools_present: Gauge,
    under_way: Gauge,
    received: Counter,
    answers_repeated: Counter,
    unauthentic: Counter,
    malformed: Counter,
    store_failures: Counter,
    store_set_back: Gauge,
    pools_set_back: Counter,
    stores_unauthentic: Counter,
    store_commits: Counter,
    store_failing: Gauge,
    store_damage: Gauge,
    list: Option<ListMetrics>,
}

/// What is counted of the list in Redis, where one is read; clones share it.
#[derive(Clone)]
pub(crate) struct ListMetrics {
    connected: Gauge,
    faults: Counter,
    taken: Counter,
    answered: Counter,
    dead_letters: Counter,
    later: Counter,
    keys_written: Counter,
    keysets_written: Counter,
    waiting: Gauge,
    dead_letters_kept: Gauge,
}

impl ListMetrics {
    fn new(it: &mut Register) -> Self {
        Self {
            connected: it.add("redis_connected", "1 while Redis does what it is asked"),
            faults: it.add("redis_faults", "What went wrong with Redis, each attempt"),
            taken: it.add(
                "redis_requests_taken",
                "Entries handed over by the list in Redis, each time that it was",
            ),
            answered: it.add(
                "redis_requests_answered",
                "Entries of the list that have quotes, with the keys of their ids written",
            ),
            dead_letters: it.add(
                "redis_dead_letters",
                "Entries of the list that were no requests, or were refused for good",
            ),
            later: it.add(
                "redis_requests_later",
                "Entries of the list that were put off, each time that they were",
            ),
            keys_written: it.add("redis_quote_keys_written", "Keys of quote ids written"),
            keysets_written: it.add(
                "redis_keysets_written",
                "How often the keyset's key had to be written",
            ),
            waiting: it.add("redis_list_length", "Entries that wait in the list"),
            dead_letters_kept: it.add(
                "redis_dead_letters_length",
                "Entries in the list of dead letters",
            ),
        }
    }

    pub(crate) fn connected(&self, connected: bool) {
        self.connected.set(connected.into());
    }

    pub(crate) fn fault(&self) {
        self.faults.inc();
    }

    pub(crate) fn taken(&self, entries: usize) {
        self.taken.inc_by(entries as u64);
    }

    /// A batch is off the list.
    pub(crate) fn settled(&self, answered: usize, dead_letters: usize) {
        self.answered.inc_by(answered as u64);
        self.dead_letters.inc_by(dead_letters as u64);
    }

    pub(crate) fn later(&self, entries: usize) {
        self.later.inc_by(entries as u64);
    }

    pub(crate) fn keys_written(&self, keys: usize) {
        self.keys_written.inc_by(keys as u64);
    }

    pub(crate) fn keyset_written(&self) {
        self.keysets_written.inc();
    }

    pub(crate) fn lengths(&self, waiting: u64, dead_letters: u64) {
        let gauge = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        gauge(&self.waiting, waiting);
        gauge(&self.dead_letters_kept, dead_letters);
    }
}

/// Registers metrics as they are made.
struct Register(Registry);

impl Register {
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.add_made(name, help, M::default())
    }

    fn add_made<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Left {
    pool: String,
    unit: String,
    window: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Why the NUT API turned a request away.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ApiRefusal {
    /// It asked for a quote.
    NewQuote,
    /// It asked to melt.
    Melt,
    /// No such route.
    Unknown,
    /// Too many requests at once.
    Overload,
    /// Its body was too long, too slow, or broke off.
    Body,
}

impl ApiRefusal {
    fn name(self) -> &'static str {
        match self {
            ApiRefusal::NewQuote => "new-quote",
            ApiRefusal::Melt => "melt",
            ApiRefusal::Unknown => "unknown-route",
            ApiRefusal::Overload => "overload",
            ApiRefusal::Body => "body",
        }
    }
}

impl Metrics {
    /// `reads_list`: those of a list in Redis are among them.
    pub(crate) fn new(reads_list: bool) -> Self {
        let mut it = Register(winze_runtime::metrics::registry("mint"));
        let inner = Inner {
            issued: it.add("quotes_issued", "Quotes made for shares"),
            repeated: it.add(
                "quotes_repeated",
                "Requests given to the issuer whose quote was in the ecash store already",
            ),
            refused: it.add("quotes_refused", "Requests refused for good, by error code"),
            later: it.add("quotes_later", "Requests told to come again, by error code"),
            batch_quotes: it.add_made(
                "batch_quotes",
                "Quotes made in one transaction of the ecash store",
                Histogram::new((0..9).map(|exponent| f64::from(1 << exponent))),
            ),
            allowance_left: it.add(
                "allowance_left",
                "What a pool may still have issued in this window, in the unit",
            ),
            keyset_announcements: it.add(
                "keyset_announcements",
                "Active keysets announced, at the start and at each change",
            ),
            api_requests: it.add("api_requests", "Requests that the NUT API worked on"),
            api_refused: it.add(
                "api_refused",
                "Requests that the NUT API turned away, by reason",
            ),
            hub_connected: it.add("hub_connected", "1 while authenticated at the hub"),
            hub_connects: it.add("hub_connects", "Connections to the hub"),
            hub_connects_failed: it.add(
                "hub_connects_failed",
                "Attempts to connect to the hub that failed",
            ),
            pools_present: it.add("pools_present", "Channels whose pool is there"),
            under_way: it.add("requests_under_way", "Requests that are with the issuer"),
            received: it.add("requests_received", "Requests received"),
            answers_repeated: it.add(
                "answers_repeated",
                "Requests answered from the record, without the issuer",
            ),
            unauthentic: it.add(
                "requests_unauthentic",
                "Requests whose authenticator does not verify",
            ),
            malformed: it.add("requests_malformed", "Messages that are no request"),
            store_failures: it.add(
                "answers_store_failures",
                "Answers that could not be looked up or recorded",
            ),
            store_set_back: it.add(
                "store_set_back",
                "Pools that know of answers which the store does not hold, and get no new quotes until the operator \
                 says so; /health names them",
            ),
            pools_set_back: it.add(
                "pools_set_back",
                "How often a pool was found to have forgotten requests that were answered here",
            ),
            stores_unauthentic: it.add(
                "stores_unauthentic",
                "Words about a pool's store that the pool did not say, or that nobody asked for",
            ),
            store_commits: it.add("store_commits", "Transactions of the role's own store"),
            store_failing: it.add(
                "store_failing",
                "1 while nothing can be written down, as on a full disk; /health says why",
            ),
            store_damage: it.add(
                "store_damage",
                "1 where the role's own store was found damaged at the start; /health says how",
            ),
            list: reads_list.then(|| ListMetrics::new(&mut it)),
            registry: it.0,
        };
        Self(Arc::new(inner))
    }

    /// All of them, as text.
    pub(crate) fn text(&self) -> String {
        winze_runtime::metrics::text(&self.0.registry)
    }

    /// Counts the outcomes of a call to the issuer, `new` of which are quotes made by it.
    pub(crate) fn outcomes(&self, outcomes: &[QuoteOutcome], new: usize) {
        let mut issued = 0u64;
        for outcome in outcomes {
            match outcome {
                QuoteOutcome::Issued(_) => issued += 1,
                QuoteOutcome::Refused { code, .. } => {
                    self.0.refused.get_or_create(&Code::of(code)).inc();
                }
                QuoteOutcome::Later { code, .. } => {
                    self.0.later.get_or_create(&Code::of(code)).inc();
                }
            }
        }
        let new = new as u64;
        self.0.issued.inc_by(new);
        self.0.repeated.inc_by(issued.saturating_sub(new));
    }

    pub(crate) fn batch(&self, quotes: usize) {
        self.0.batch_quotes.observe(quotes as f64);
    }

    pub(crate) fn show_allowance(&self, account: &Account, used: &Used, now_s: u64) {
        for window in [Window::Hour, Window::Day] {
            self.0
                .allowance_left
                .get_or_create(&Left {
                    pool: account.pool.clone(),
                    unit: account.unit.clone(),
                    window: window.name(),
                })
                .set(used.left(window, account.caps, now_s));
        }
    }

    /// Takes over what the hub client, the responder and the store have counted.
    pub(crate) fn take_over(
        &self,
        connected: bool,
        hub: HubCounts,
        responder: ResponderStatus,
        store: &Store,
    ) {
        let inner = &self.0;
        let gauge = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        let counter =
            |counter: &Counter, value: u64| counter.inner().store(value, Ordering::Relaxed);
        gauge(&inner.hub_connected, u64::from(connected));
        counter(&inner.hub_connects, hub.connects);
        counter(&inner.hub_connects_failed, hub.connects_failed);
        gauge(&inner.pools_present, responder.pools_present);
        gauge(&inner.under_way, responder.under_way);
        counter(&inner.received, responder.counts.received);
        counter(&inner.answers_repeated, responder.counts.repeated);
        counter(&inner.unauthentic, responder.counts.unauthentic);
        counter(&inner.malformed, responder.counts.malformed);
        counter(&inner.store_failures, responder.counts.store_failures);
        gauge(&inner.store_set_back, responder.pools_ahead);
        counter(&inner.pools_set_back, responder.counts.pools_set_back);
        counter(
            &inner.stores_unauthentic,
            responder.counts.stores_unauthentic,
        );
        counter(&inner.store_commits, store.counts().commits);
        gauge(&inner.store_failing, u64::from(store.trouble().is_some()));
        gauge(&inner.store_damage, u64::from(store.damage().is_some()));
    }

    /// Those of a list in Redis, where one is read.
    pub(crate) fn list(&self) -> Option<&ListMetrics> {
        self.0.list.as_ref()
    }

    pub(crate) fn keyset_announced(&self) {
        self.0.keyset_announcements.inc();
    }

    pub(crate) fn api_request(&self) {
        self.0.api_requests.inc();
    }

    pub(crate) fn api_refused(&self, reason: ApiRefusal) {
        let reason = Reason {
            reason: reason.name(),
        };
        self.0.api_refused.get_or_create(&reason).inc();
    }
}

impl Code {
    fn of(code: &QuoteErrorCode) -> Self {
        Self { code: code.name() }
    }
}
