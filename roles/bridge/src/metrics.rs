//! What an operator sees of the bridge, in the OpenMetrics text format. Every name starts with `winze_bridge_`. A direction
//! that is off has none.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Metric;
use winze_client::{HubCounts, Store};
use winze_runtime::metrics::Registry;

use crate::legacy_mint::LegacyMintStatus;
use crate::requests::RequestsStatus;

/// All of them. What others count is taken over before each look.
pub(crate) struct Metrics {
    registry: Registry,
    hub_connected: Gauge,
    hub_connects: Counter,
    hub_connects_failed: Counter,
    store_commits: Counter,
    store_failing: Gauge,
    store_damage: Gauge,
    requests: Option<RequestsMetrics>,
    legacy_mint: Option<LegacyMintMetrics>,
}

struct RequestsMetrics {
    redis_connected: Gauge,
    redis_faults: Counter,
    taken: Counter,
    enqueued: Counter,
    repeated: Counter,
    dead_letters: Counter,
    issued: Counter,
    unknown: Counter,
    refused: Counter,
    keys_written: Counter,
    keysets_written: Counter,
    store_failures: Counter,
    list_length: Gauge,
    dead_letters_length: Gauge,
    untold: Gauge,
    waiting: Gauge,
    parked: Gauge,
    oldest_ms: Gauge,
    mint_present: Gauge,
    unauthentic: Counter,
    store_set_back: Gauge,
    mint_store_set_back: Gauge,
}

struct LegacyMintMetrics {
    redis_connected: Gauge,
    redis_faults: Counter,
    taken: Counter,
    pushed: Counter,
    pushed_again: Counter,
    answered: Counter,
    unknown: Counter,
    refused: Counter,
    put_off: Counter,
    over_amount_max: Counter,
    strange: Counter,
    keysets: Counter,
    list_length: Gauge,
    open: Gauge,
    unpushed: Gauge,
    unanswered: Gauge,
    open_oldest_ms: Gauge,
    pools_present: Gauge,
    under_way: Gauge,
    received: Counter,
    unauthentic: Counter,
    store_set_back: Gauge,
}

/// Registers metrics as they are made.
struct Register(Registry);

impl Register {
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }
}

fn gauge(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

fn counter(counter: &Counter, value: u64) {
    counter.inner().store(value, Ordering::Relaxed);
}

impl Metrics {
    /// With those of the directions that are on.
    pub(crate) fn new(has_requests: bool, has_legacy_mint: bool) -> Metrics {
        let mut it = Register(winze_runtime::metrics::registry("bridge"));
        Metrics {
            hub_connected: it.add("hub_connected", "1 while authenticated at the hub"),
            hub_connects: it.add("hub_connects", "Connections to the hub"),
            hub_connects_failed: it.add(
                "hub_connects_failed",
                "Attempts to connect to the hub that failed",
            ),
            store_commits: it.add("store_commits", "Transactions of the store"),
            store_failing: it.add(
                "store_failing",
                "1 while nothing can be written down, as on a full disk; /health says why",
            ),
            store_damage: it.add(
                "store_damage",
                "1 where the store was found damaged at the start; /health says how",
            ),
            requests: has_requests.then(|| RequestsMetrics::new(&mut it)),
            legacy_mint: has_legacy_mint.then(|| LegacyMintMetrics::new(&mut it)),
            registry: it.0,
        }
    }

    /// All of them as text, with what the parts have counted until now.
    pub(crate) fn text(
        &self,
        is_connected: bool,
        hub: HubCounts,
        store: &Store,
        requests: Option<&RequestsStatus>,
        legacy_mint: Option<&LegacyMintStatus>,
    ) -> String {
        gauge(&self.hub_connected, is_connected.into());
        counter(&self.hub_connects, hub.connects);
        counter(&self.hub_connects_failed, hub.connects_failed);
        counter(&self.store_commits, store.counts().commits);
        gauge(&self.store_failing, store.trouble().is_some().into());
        gauge(&self.store_damage, store.damage().is_some().into());
        if let (Some(metrics), Some(status)) = (&self.requests, requests) {
            metrics.take_over(status);
        }
        if let (Some(metrics), Some(status)) = (&self.legacy_mint, legacy_mint) {
            metrics.take_over(status);
        }
        winze_runtime::metrics::text(&self.registry)
    }
}

impl RequestsMetrics {
    fn new(it: &mut Register) -> RequestsMetrics {
        RequestsMetrics {
            redis_connected: it.add(
                "redis_connected",
                "1 while Redis does what the direction from the list asks of it",
            ),
            redis_faults: it.add("redis_faults", "What went wrong with Redis, each attempt"),
            taken: it.add(
                "entries_taken",
                "Entries handed over by the list, each time that they were",
            ),
            enqueued: it.add("requests_enqueued", "Entries that became requests"),
            repeated: it.add("requests_repeated", "Entries that were requests already"),
            dead_letters: it.add(
                "dead_letters",
                "Entries that were no requests, and requests that were refused for good",
            ),
            issued: it.add("quotes_issued", "Quotes recorded"),
            unknown: it.add(
                "quotes_unknown",
                "Requests answered for good without an id: the mint is another bridge's",
            ),
            refused: it.add("quotes_refused", "Final refusals of the mint"),
            keys_written: it.add("quote_keys_written", "Keys of quote ids written"),
            keysets_written: it.add(
                "keysets_written",
                "How often the keyset's key had to be written",
            ),
            store_failures: it.add(
                "requests_store_failures",
                "Batches that could not be written down, or read",
            ),
            list_length: it.add("list_length", "Entries that wait in the list"),
            dead_letters_length: it.add(
                "dead_letters_length",
                "Entries in the list of dead letters",
            ),
            untold: it.add(
                "answers_untold",
                "Quote ids and refusals that Redis is still to be told",
            ),
            waiting: it.add("quotes_waiting", "Requests without an answer"),
            parked: it.add(
                "quotes_parked",
                "Requests that only the operator can bring back",
            ),
            oldest_ms: it.add(
                "quotes_oldest_ms",
                "Age of the oldest request without an answer, in milliseconds",
            ),
            mint_present: it.add("mint_present", "1 while the mint is there"),
            unauthentic: it.add(
                "answers_unauthentic",
                "Answers whose authenticator does not verify",
            ),
            store_set_back: it.add(
                "store_set_back",
                "1 where the store was set back, until `winze outbox acknowledge`; /health says by how much",
            ),
            mint_store_set_back: it.add(
                "mint_store_set_back",
                "1 where the mint's store was set back, until `winze outbox acknowledge`",
            ),
        }
    }

    fn take_over(&self, status: &RequestsStatus) {
        gauge(&self.redis_connected, status.redis.is_well.into());
        counter(&self.redis_faults, status.redis.faults);
        counter(&self.taken, status.taken);
        counter(&self.enqueued, status.enqueued);
        counter(&self.repeated, status.repeated);
        counter(&self.dead_letters, status.dead_letters);
        counter(&self.issued, status.issued);
        counter(&self.unknown, status.unknown);
        counter(&self.refused, status.refused);
        counter(&self.keys_written, status.keys_written);
        counter(&self.keysets_written, status.keysets_written);
        counter(&self.store_failures, status.store_failures);
        gauge(&self.list_length, status.list_length);
        gauge(&self.dead_letters_length, status.dead_letters_length);
        gauge(&self.untold, status.untold);
        let requester = &status.requester;
        gauge(&self.waiting, requester.waiting);
        gauge(&self.parked, requester.parked);
        gauge(&self.oldest_ms, requester.oldest_age_ms.unwrap_or(0));
        gauge(&self.mint_present, requester.peer_present.into());
        counter(&self.unauthentic, requester.counts.unauthentic);
        gauge(&self.store_set_back, requester.set_back.is_some().into());
        gauge(
            &self.mint_store_set_back,
            requester.peer_set_back.is_some().into(),
        );
    }
}

impl LegacyMintMetrics {
    fn new(it: &mut Register) -> LegacyMintMetrics {
        LegacyMintMetrics {
            redis_connected: it.add(
                "legacy_redis_connected",
                "1 while Redis does what the direction to the legacy mint asks of it",
            ),
            redis_faults: it.add(
                "legacy_redis_faults",
                "What went wrong with Redis on the way to the legacy mint, each attempt",
            ),
            taken: it.add(
                "legacy_requests_taken",
                "Requests of pools that were written down for the legacy mint",
            ),
            pushed: it.add("legacy_pushed", "Entries pushed for the first time"),
            pushed_again: it.add("legacy_pushed_again", "Entries pushed again"),
            answered: it.add(
                "legacy_answered",
                "Requests answered with the legacy mint's id",
            ),
            unknown: it.add("legacy_unknown", "Requests answered with unknown"),
            refused: it.add("legacy_refused", "Requests of pools refused for good"),
            put_off: it.add("legacy_put_off", "Requests of pools put off"),
            over_amount_max: it.add(
                "legacy_over_amount_max",
                "Of these, requests over list_amount_max",
            ),
            strange: it.add(
                "legacy_strange_ids",
                "Looks that found something under a quote's key which is no id",
            ),
            keysets: it.add(
                "legacy_keysets_announced",
                "Keysets of the legacy mint announced",
            ),
            list_length: it.add(
                "legacy_list_length",
                "Entries that wait for the legacy mint",
            ),
            open: it.add("legacy_open", "Requests that have no quote's id yet"),
            unpushed: it.add("legacy_unpushed", "Of these, requests never pushed"),
            unanswered: it.add(
                "legacy_unanswered",
                "Of these, requests that have been off the list for seconds",
            ),
            open_oldest_ms: it.add(
                "legacy_open_oldest_ms",
                "How long the oldest of these has no id, at most since the start; 0 where there is none",
            ),
            pools_present: it.add("legacy_pools_present", "Channels whose pool is there"),
            under_way: it.add(
                "legacy_requests_under_way",
                "Requests of pools whose answer is being waited for",
            ),
            received: it.add("legacy_requests_received", "Requests of pools received"),
            unauthentic: it.add(
                "legacy_requests_unauthentic",
                "Requests of pools whose authenticator does not verify",
            ),
            store_set_back: it.add(
                "legacy_store_set_back",
                "Pools that know of answers which the store does not hold, and get nothing new until `winze answers \
                 accept`",
            ),
        }
    }

    fn take_over(&self, status: &LegacyMintStatus) {
        gauge(&self.redis_connected, status.redis_connected.into());
        let counts = &status.counts;
        counter(&self.redis_faults, counts.faults);
        counter(&self.taken, counts.taken);
        counter(&self.pushed, counts.pushed);
        counter(&self.pushed_again, counts.pushed_again);
        counter(&self.answered, counts.answered);
        counter(&self.unknown, counts.unknown);
        counter(&self.refused, counts.refused);
        counter(&self.put_off, counts.put_off);
        counter(&self.over_amount_max, counts.over_amount_max);
        counter(&self.strange, counts.strange);
        counter(&self.keysets, counts.keysets);
        gauge(&self.list_length, status.list_length.unwrap_or(0));
        gauge(&self.open, status.open);
        gauge(&self.unpushed, status.unpushed);
        gauge(&self.unanswered, status.unanswered);
        gauge(&self.open_oldest_ms, status.oldest_ms.unwrap_or(0));
        let responder = &status.responder;
        gauge(&self.pools_present, responder.pools_present);
        gauge(&self.under_way, responder.under_way);
        counter(&self.received, responder.counts.received);
        counter(&self.unauthentic, responder.counts.unauthentic);
        gauge(&self.store_set_back, responder.pools_ahead);
    }
}
