//! What an operator can watch: `GET /metrics`, all names starting with `winze_pool_`.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use winze_runtime::metrics::{LATENCY_BUCKETS_S, Registry, registry};

use crate::template::Submitted;
use crate::template::feed::SubmitReport;

/// Handles on all metrics; clones count into the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Miners' connections, handshakes under way included.
    pub connections: Gauge,
    /// Connections closed unheard because there were too many, in all or from their address.
    pub connections_turned_away: Counter,
    /// Handshakes that failed or were not done in time.
    pub handshakes_failed: Counter,
    /// Open mining channels.
    pub channels: Gauge,
    /// Shares on disk.
    pub shares_accepted: Counter,
    shares_refused: Family<ReasonLabel, Counter>,
    channels_refused: Family<ReasonLabel, Counter>,
    /// From a share's arrival to its commit, in seconds.
    pub share_commit_seconds: Histogram,
    /// Quotes recorded.
    pub quotes_issued: Counter,
    /// Final refusals of the mint recorded.
    pub quotes_refused: Counter,
    /// Shares handed to a mint that tells no ids.
    pub quotes_unknown: Counter,
    /// Requests pushed to the list in Redis for the first time.
    pub redis_pushed: Counter,
    /// Requests pushed again, because no quote came of them in time.
    pub redis_pushed_again: Counter,
    /// Quotes that were learned of through Redis before the hub told of them.
    pub redis_quotes: Counter,
    /// Times that the list in Redis had no room for all that was to be pushed.
    pub redis_list_full: Counter,
    /// Keys that hold something else than a quote's id, when all were last looked at.
    pub redis_strange_ids: Gauge<u64, AtomicU64>,
    /// Requests that wait because their amounts are larger than what may be pushed, as last gone through.
    pub redis_too_large: Gauge<u64, AtomicU64>,
    /// 1 while Redis answers.
    pub redis_connected: Gauge,
    /// Answers of the mint's that cannot be, or say otherwise than what is recorded, a quote that was told of over Redis
    /// among it.
    pub mint_contradictions: Gauge<u64, AtomicU64>,
    /// Notices that a miner's connection had no room for.
    pub notices_dropped: Counter,
    blocks: Family<OutcomeLabel, Counter>,
    /// Found blocks dropped because too many waited for their submission.
    pub blocks_dropped: Counter,
    /// Quote requests without an answer.
    pub quotes_waiting: Gauge<u64, AtomicU64>,
    /// Quote requests that only the operator can bring back.
    pub quotes_parked: Gauge<u64, AtomicU64>,
    /// Age of the oldest quote request without an answer, in milliseconds.
    pub quotes_oldest_ms: Gauge<u64, AtomicU64>,
    /// 1 while nothing can be written down (a full disk, say).
    pub store_failing: Gauge,
    /// 1 where the pool started on a damaged store.
    pub store_damage: Gauge,
    /// 1 where the pool's store was set back and the operator has not acknowledged it.
    pub store_set_back: Gauge,
    /// 1 where the mint's store was, likewise.
    pub mint_store_set_back: Gauge,
    /// 1 while the hub is connected.
    pub hub_connected: Gauge,
    /// 1 while the bitcoin node, or the chain of the pool's own, gives templates.
    pub node_connected: Gauge,
    /// 1 while the mint is there.
    pub mint_present: Gauge,
    /// Height of the block that is mined on now.
    pub template_height: Gauge<u64, AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Metrics {
    /// All metrics at 0, and the registry that writes them out.
    pub fn new() -> (Metrics, Registry) {
        let metrics = Metrics {
            connections: Gauge::default(),
            connections_turned_away: Counter::default(),
            handshakes_failed: Counter::default(),
            channels: Gauge::default(),
            shares_accepted: Counter::default(),
            shares_refused: Family::default(),
            channels_refused: Family::default(),
            share_commit_seconds: Histogram::new(LATENCY_BUCKETS_S),
            quotes_issued: Counter::default(),
            quotes_refused: Counter::default(),
            quotes_unknown: Counter::default(),
            redis_pushed: Counter::default(),
            redis_pushed_again: Counter::default(),
            redis_quotes: Counter::default(),
            redis_list_full: Counter::default(),
            redis_strange_ids: Gauge::default(),
            redis_too_large: Gauge::default(),
            redis_connected: Gauge::default(),
            mint_contradictions: Gauge::default(),
            notices_dropped: Counter::default(),
            blocks: Family::default(),
            blocks_dropped: Counter::default(),
            quotes_waiting: Gauge::default(),
            quotes_parked: Gauge::default(),
            quotes_oldest_ms: Gauge::default(),
            store_failing: Gauge::default(),
            store_damage: Gauge::default(),
            store_set_back: Gauge::default(),
            mint_store_set_back: Gauge::default(),
            hub_connected: Gauge::default(),
            node_connected: Gauge::default(),
            mint_present: Gauge::default(),
            template_height: Gauge::default(),
        };
        let mut all = registry("pool");
        let m = &metrics;
        all.register("connections", "Miners' connections", m.connections.clone());
        all.register(
            "connections_turned_away",
            "Connections closed unheard because there were too many, in all or from their address",
            m.connections_turned_away.clone(),
        );
        all.register(
            "handshakes_failed",
            "Handshakes that failed or took too long",
            m.handshakes_failed.clone(),
        );
        all.register("channels", "Open mining channels", m.channels.clone());
        all.register(
            "shares_accepted",
            "Shares written down with their quote requests",
            m.shares_accepted.clone(),
        );
        all.register(
            "shares_refused",
            "Shares refused, by error code",
            m.shares_refused.clone(),
        );
        all.register(
            "channels_refused",
            "Channels not opened, by error code",
            m.channels_refused.clone(),
        );
        all.register(
            "share_commit_seconds",
            "From a share's arrival to its commit",
            m.share_commit_seconds.clone(),
        );
        all.register("quotes_issued", "Quotes recorded", m.quotes_issued.clone());
        all.register(
            "quotes_refused",
            "Final refusals of the mint",
            m.quotes_refused.clone(),
        );
        all.register(
            "quotes_unknown",
            "Shares handed to a mint that tells no ids; no quotes, as far as the pool knows",
            m.quotes_unknown.clone(),
        );
        all.register(
            "redis_pushed",
            "Requests pushed to the list in Redis, each the first time",
            m.redis_pushed.clone(),
        );
        all.register(
            "redis_pushed_again",
            "Requests pushed again because no quote came of them in time",
            m.redis_pushed_again.clone(),
        );
        all.register(
            "redis_quotes",
            "Quotes learned of through Redis first",
            m.redis_quotes.clone(),
        );
        all.register(
            "redis_list_full",
            "Times that the list in Redis was full",
            m.redis_list_full.clone(),
        );
        all.register(
            "redis_strange_ids",
            "Keys of quote ids that hold something else",
            m.redis_strange_ids.clone(),
        );
        all.register(
            "redis_too_large",
            "Requests that are not pushed to Redis because their amounts are too large",
            m.redis_too_large.clone(),
        );
        all.register(
            "redis_connected",
            "1 while Redis answers",
            m.redis_connected.clone(),
        );
        all.register(
            "mint_contradictions",
            "Answers of the mint's that say otherwise than what is recorded, or cannot be, since the start",
            m.mint_contradictions.clone(),
        );
        all.register(
            "notices_dropped",
            "Quote notices that a connection had no room for",
            m.notices_dropped.clone(),
        );
        all.register("blocks_found", "Blocks found, by outcome", m.blocks.clone());
        all.register(
            "blocks_dropped",
            "Blocks dropped because too many waited for submission",
            m.blocks_dropped.clone(),
        );
        all.register(
            "quotes_waiting",
            "Quote requests without an answer",
            m.quotes_waiting.clone(),
        );
        all.register(
            "quotes_parked",
            "Quote requests that only the operator can bring back",
            m.quotes_parked.clone(),
        );
        all.register(
            "quotes_oldest_ms",
            "Age of the oldest quote request without an answer, in milliseconds",
            m.quotes_oldest_ms.clone(),
        );
        all.register(
            "store_failing",
            "1 while nothing can be written down, as on a full disk; /health says why",
            m.store_failing.clone(),
        );
        all.register(
            "store_damage",
            "1 where the store was found damaged at the start; /health says how",
            m.store_damage.clone(),
        );
        all.register(
            "store_set_back",
            "1 where the store was set back, until `winze outbox acknowledge`; /health says by how much",
            m.store_set_back.clone(),
        );
        all.register(
            "mint_store_set_back",
            "1 where the mint's store was set back, until `winze outbox acknowledge`",
            m.mint_store_set_back.clone(),
        );
        all.register(
            "hub_connected",
            "1 while the hub is connected",
            m.hub_connected.clone(),
        );
        all.register(
            "node_connected",
            "1 while the bitcoin node, or the chain of the pool's own, gives templates",
            m.node_connected.clone(),
        );
        all.register(
            "mint_present",
            "1 while the mint is there",
            m.mint_present.clone(),
        );
        all.register(
            "template_height",
            "Height of the block that is mined on",
            m.template_height.clone(),
        );
        (metrics, all)
    }

    /// Counts a refused share under the code that the miner got.
    pub fn share_refused(&self, reason: &'static str) {
        self.shares_refused
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    /// Counts a channel that was not opened under the code that the miner got.
    pub fn channel_refused(&self, reason: &'static str) {
        self.channels_refused
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    /// Counts a found block.
    pub fn block(&self, report: &SubmitReport) {
        let outcome = match report {
            SubmitReport::Answered(Submitted::Accepted) => "accepted",
            SubmitReport::Answered(Submitted::NotBest(_)) => "not_best",
            SubmitReport::Answered(Submitted::Rejected(_)) => "rejected",
            SubmitReport::Failed(_) => "failed",
        };
        self.blocks.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}
