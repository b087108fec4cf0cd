//! What is known of Redis at present, for the operator.

use std::sync::{Arc, Mutex, PoisonError};

use winze_redis::{LinkPart, RedisFault};
use winze_runtime::ops_http::Health;

use crate::metrics::ListMetrics;

/// How the list's reading gets on. Clones share it.
#[derive(Clone)]
pub(crate) struct Link {
    redis: winze_redis::Link,
    /// What the first batch of the list waits for, where it is no fault of Redis's.
    waits: Arc<Mutex<Option<String>>>,
    metrics: ListMetrics,
}

impl Link {
    /// Nobody has tried yet. A part that is switched off counts as one that gets on well.
    pub(super) fn new(metrics: ListMetrics, writes_keyset: bool) -> Self {
        let first: &[LinkPart] = match writes_keyset {
            true => &[LinkPart::List, LinkPart::Keyset],
            false => &[LinkPart::List],
        };
        Self {
            redis: winze_redis::Link::new(first),
            waits: Arc::default(),
            metrics,
        }
    }

    /// What the operator is told: with trouble the mint is not ready, and an allowance that is used up is none.
    pub(crate) fn add_to(&self, health: &mut Health) {
        let redis = self.redis.status();
        health.ready &= redis.is_well;
        health.detail["redis_connected"] = redis.is_well.into();
        health.detail["redis_last_fault"] = redis.fault.into();
        health.detail["redis_list_waits_for"] = self.waiting_for().into();
    }

    /// What went wrong last, and still does.
    #[cfg(test)]
    pub(super) fn fault(&self) -> Option<String> {
        self.redis.status().fault
    }

    /// Takes down how it went, and tells the log and the metrics.
    pub(super) fn note(&self, part: LinkPart, outcome: Result<(), &RedisFault>) {
        if outcome.is_err() {
            self.metrics.fault();
        }
        self.redis.note(part, outcome);
        self.metrics.connected(self.redis.status().is_well);
    }

    /// Takes down what the list waits for, and tells the log when that begins and ends.
    pub(super) fn waits(&self, reason: Option<&str>) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        match (waits.is_some(), reason) {
            (false, Some(reason)) => tracing::warn!(reason, "the list in Redis waits"),
            (true, None) => tracing::info!("the list in Redis goes on"),
            _ => {}
        }
        *waits = reason.map(str::to_owned);
    }

    pub(super) fn waiting_for(&self) -> Option<String> {
        let waits = self.waits.lock();
        waits.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
