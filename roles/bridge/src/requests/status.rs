//! What the direction has done and where it stands, for the operator.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use winze_client::RequesterStatus;
use winze_redis::LinkStatus;

/// Counted as it happens.
#[derive(Debug, Default)]
pub(super) struct Counts {
    taken: AtomicU64,
    enqueued: AtomicU64,
    repeated: AtomicU64,
    dead_letters: AtomicU64,
    issued: AtomicU64,
    unknown: AtomicU64,
    refused: AtomicU64,
    keys_written: AtomicU64,
    keysets_written: AtomicU64,
    store_failures: AtomicU64,
    list_length: AtomicU64,
    dead_letters_length: AtomicU64,
    /// A look at the store may be ahead of those who count, for a moment.
    untold: AtomicI64,
}

/// Where the direction stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestsStatus {
    /// Whether new entries are taken.
    pub(crate) takes_new: bool,
    /// Entries handed over by the list, each time that they were.
    pub(crate) taken: u64,
    /// Of these, those that became requests.
    pub(crate) enqueued: u64,
    /// Of these, those that were requests already.
    pub(crate) repeated: u64,
    /// Dead letters, refusals among them.
    pub(crate) dead_letters: u64,
    /// Quotes that were recorded.
    pub(crate) issued: u64,
    /// Requests that ended as `unknown`.
    pub(crate) unknown: u64,
    /// Requests that were finally refused.
    pub(crate) refused: u64,
    /// Keys of quote ids that were written.
    pub(crate) keys_written: u64,
    /// How often the keyset's key was written.
    pub(crate) keysets_written: u64,
    /// Batches that could not be written down, and answers that could not be read.
    pub(crate) store_failures: u64,
    /// Entries in the list.
    pub(crate) list_length: u64,
    /// Entries in the list of dead letters.
    pub(crate) dead_letters_length: u64,
    /// Quote ids and refusals that Redis is still to be told.
    pub(crate) untold: u64,
    /// The mint's active keyset, in hex.
    pub(crate) keyset_id: Option<String>,
    /// How Redis is.
    pub(crate) redis: LinkStatus,
    /// The half towards the mint.
    pub(crate) requester: RequesterStatus,
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl Counts {
    /// `untold`: what an earlier life has left.
    pub(super) fn new(untold: i64) -> Counts {
        Counts {
            untold: AtomicI64::new(untold),
            ..Counts::default()
        }
    }

    pub(super) fn taken(&self, entries: usize) {
        add(&self.taken, entries);
    }

    pub(super) fn recorded(&self, new: usize, repeated: usize) {
        add(&self.enqueued, new);
        add(&self.repeated, repeated);
    }

    pub(super) fn dead_letters(&self, entries: usize) {
        add(&self.dead_letters, entries);
    }

    pub(super) fn issued(&self) {
        add(&self.issued, 1);
        self.untold.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn unknown(&self) {
        add(&self.unknown, 1);
    }

    pub(super) fn refused(&self) {
        add(&self.refused, 1);
        self.untold.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn keys_written(&self, keys: usize) {
        add(&self.keys_written, keys);
        self.told(keys);
    }

    /// Keys that were written before.
    pub(super) fn keys_written_again(&self, keys: usize) {
        add(&self.keys_written, keys);
    }

    /// Redis knows these, and the store has forgotten them.
    pub(super) fn told(&self, rows: usize) {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        self.untold.fetch_sub(rows, Ordering::Relaxed);
    }

    pub(super) fn keyset_written(&self) {
        add(&self.keysets_written, 1);
    }

    pub(super) fn store_failed(&self) {
        add(&self.store_failures, 1);
    }

    pub(super) fn lengths(&self, list: u64, dead_letters: u64) {
        self.list_length.store(list, Ordering::Relaxed);
        self.dead_letters_length
            .store(dead_letters, Ordering::Relaxed);
    }

    pub(super) fn untold(&self) -> u64 {
        u64::try_from(self.untold.load(Ordering::Relaxed)).unwrap_or(0)
    }

    pub(super) fn status(
        &self,
        takes_new: bool,
        keyset_id: Option<String>,
        redis: LinkStatus,
        requester: RequesterStatus,
    ) -> RequestsStatus {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RequestsStatus {
            takes_new,
            taken: read(&self.taken),
            enqueued: read(&self.enqueued),
            repeated: read(&self.repeated),
            dead_letters: read(&self.dead_letters),
            issued: read(&self.issued),
            unknown: read(&self.unknown),
            refused: read(&self.refused),
            keys_written: read(&self.keys_written),
            keysets_written: read(&self.keysets_written),
            store_failures: read(&self.store_failures),
            list_length: read(&self.list_length),
            dead_letters_length: read(&self.dead_letters_length),
            untold: self.untold(),
            keyset_id,
            redis,
            requester,
        }
    }
}
