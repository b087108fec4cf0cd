use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::announcements::Announcements;
use super::{QuoteIssuer, QuoteResponderConfig, ResponderCounts, ResponderStatus};
use crate::answers::SetBack;
use crate::store::Store;

/// What the tasks of all channels and the handles share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) config: QuoteResponderConfig,
    pub(super) issuer: Arc<dyn QuoteIssuer>,
    pub(super) announcements: Announcements,
    /// One permit for each request that may be with the issuer.
    pub(super) under_way: Semaphore,
    under_way_max: usize,
    pub(super) pools_present: AtomicU64,
    counts: Mutex<ResponderCounts>,
    /// As of the last look.
    set_backs: Mutex<Vec<SetBack>>,
    /// Pools that have told how far their stores have come, and what came of that is on disk. Of those that are listed.
    compared: Mutex<BTreeSet<String>>,
}

impl Shared {
    pub(super) fn new(
        store: Store,
        config: QuoteResponderConfig,
        issuer: Arc<dyn QuoteIssuer>,
    ) -> Shared {
        let under_way_max = config
            .under_way_max
            .max(config.batch_max)
            .clamp(1, Semaphore::MAX_PERMITS);
        Shared {
            announcements: Announcements::new(store.clone()),
            store,
            config,
            issuer,
            under_way: Semaphore::new(under_way_max),
            under_way_max,
            pools_present: AtomicU64::new(0),
            counts: Mutex::new(ResponderCounts::default()),
            set_backs: Mutex::default(),
            compared: Mutex::default(),
        }
    }

    pub(super) fn count(&self, f: impl FnOnce(&mut ResponderCounts)) {
        f(&mut self.counts());
    }

    /// The counts, locked: not to be held over an await.
    pub(super) fn counts(&self) -> MutexGuard<'_, ResponderCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> ResponderStatus {
        ResponderStatus {
            pools_present: self.pools_present.load(Ordering::Relaxed),
            under_way: (self.under_way_max - self.under_way.available_permits()) as u64,
            pools_ahead: self.shown().len() as u64,
            counts: *self.counts(),
        }
    }

    pub(super) fn note_compared(&self, pool: String) {
        self.compared_pools().insert(pool);
    }

    pub(super) fn has_compared(&self, pool: &str) -> bool {
        self.compared_pools().contains(pool)
    }

    fn compared_pools(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_backs(&self) -> Vec<SetBack> {
        self.shown().clone()
    }

    /// Gives those that were shown before and are no more.
    pub(super) fn show_set_backs(&self, set_backs: Vec<SetBack>) -> Vec<SetBack> {
        let mut shown = self.shown();
        let before = std::mem::replace(&mut *shown, set_backs);
        let gone = |before: &SetBack| !shown.iter().any(|now| now.peer == before.peer);
        before.into_iter().filter(gone).collect()
    }

    fn shown(&self) -> MutexGuard<'_, Vec<SetBack>> {
        self.set_backs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
