//! What is known of Redis at present, for the operator.

use std::sync::{Arc, Mutex, PoisonError};

use winze_redis::RedisFault;
use winze_runtime::ops_http::Health;

use crate::metrics::ListMetrics;

/// Who talks to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Takes requests off the list and writes the keys of their quotes.
    List,
    /// Keeps the keyset's key.
    Keyset,
}

/// How each part got on with Redis last. Clones share it.
#[derive(Clone)]
pub(crate) struct Link {
    parts: Arc<Mutex<[Last; 2]>>,
    /// What the first batch of the list waits for, where it is no fault of Redis's.
    waits: Arc<Mutex<Option<String>>>,
    metrics: ListMetrics,
}

/// How it went last; nothing before the first attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Last {
    #[default]
    NotTried,
    Well,
    Fault(String),
}

impl Link {
    /// Nobody has tried yet. A part that is switched off counts as one that gets on well.
    pub(super) fn new(metrics: ListMetrics, writes_keyset: bool) -> Self {
        let keyset = match writes_keyset {
            true => Last::NotTried,
            false => Last::Well,
        };
        Self {
            parts: Arc::new(Mutex::new([Last::NotTried, keyset])),
            waits: Arc::default(),
            metrics,
        }
    }

    /// What the operator is told: with trouble the mint is not ready, and an allowance that is used up is none.
    pub(crate) fn add_to(&self, health: &mut Health) {
        health.ready &= self.is_well();
        health.detail["redis_connected"] = self.is_well().into();
        health.detail["redis_last_fault"] = self.fault().into();
        health.detail["redis_list_waits_for"] = self.waiting_for().into();
    }

    /// Every part got on with Redis when it last tried.
    fn is_well(&self) -> bool {
        self.read().iter().all(|last| *last == Last::Well)
    }

    /// What went wrong last, and still does.
    pub(super) fn fault(&self) -> Option<String> {
        self.read().iter().find_map(|last| match last {
            Last::Fault(fault) => Some(fault.clone()),
            _ => None,
        })
    }

    /// Takes down how it went, and tells the log what is new about that.
    pub(super) fn note(&self, part: Part, outcome: Result<(), &RedisFault>) {
        let now = match outcome {
            Ok(()) => Last::Well,
            Err(fault) => {
                self.metrics.fault();
                Last::Fault(fault.to_string())
            }
        };
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let last = match part {
            Part::List => &mut parts[0],
            Part::Keyset => &mut parts[1],
        };
        if *last == now {
            return;
        }
        match &now {
            Last::Fault(fault) => tracing::warn!(?part, fault, "trouble with Redis; trying again"),
            _ => tracing::info!(?part, "Redis is there"),
        }
        *last = now;
        let all_well = parts.iter().all(|last| *last == Last::Well);
        drop(parts);
        self.metrics.connected(all_well);
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

    fn read(&self) -> [Last; 2] {
        self.parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
