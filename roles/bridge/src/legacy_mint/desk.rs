//! What the issuer, who is asked, and the courier, who goes to Redis, have in common.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::limits::{ANSWERED_LOOKS_MAX, ANSWERED_MAX};
use super::open::{HeaderHash, Open};
use super::status::{LegacyMintCounts, LegacyMintStatus};

/// A request's news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The old mint has told this id.
    Id(String),
    /// It was pushed, to a mint that tells no ids.
    Pushed,
}

/// Whether entries can be pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Way {
    /// As far as is known.
    #[default]
    Open,
    /// The list is as long as it may be.
    Full,
    /// Redis is away, or refuses.
    Away,
}

pub(super) struct Desk {
    started: Instant,
    inner: Mutex<Inner>,
    nudged: Notify,
}

/// What is behind the lock.
pub(super) struct Inner {
    pub(super) open: Open,
    /// The entries that were never pushed, and are not to be read from the disk again: those of the batches that are under
    /// way.
    pub(super) fresh: HashMap<HeaderHash, String>,
    pub(super) way: Way,
    /// Requests whose answers were given, and whose rows the next transaction may forget. At most [`ANSWERED_MAX`]; what
    /// does not fit is forgotten at the next start.
    answered: Vec<Answered>,
    waiting: HashMap<HeaderHash, Vec<mpsc::Sender<(HeaderHash, Told)>>>,
    pub(super) status: LegacyMintStatus,
}

/// A request whose answer was given. It is on record a moment later, unless the store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) hash: HeaderHash,
    /// How often it was looked for in the record.
    looks: u32,
}

/// A batch's wait for news of its requests. Dropping it ends the wait.
pub(super) struct Hold<'a> {
    desk: &'a Desk,
    hashes: Vec<HeaderHash>,
    news: mpsc::Receiver<(HeaderHash, Told)>,
    told: HashMap<HeaderHash, Told>,
}

impl Desk {
    pub(super) fn new(open: Open) -> Desk {
        Desk {
            started: Instant::now(),
            inner: Mutex::new(Inner {
                open,
                fresh: HashMap::new(),
                way: Way::default(),
                answered: Vec::new(),
                waiting: HashMap::new(),
                status: LegacyMintStatus::default(),
            }),
            nudged: Notify::new(),
        }
    }

    /// The clock of [`Open`].
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, f: impl FnOnce(&mut LegacyMintCounts)) {
        f(&mut self.lock().status.counts);
    }

    /// There is something to push.
    pub(super) fn nudge(&self) {
        self.nudged.notify_one();
    }

    pub(super) async fn nudged(&self) {
        self.nudged.notified().await;
    }

    /// From now on news of these reach the hold. Each hash stands there once.
    pub(super) fn hold(&self, hashes: Vec<HeaderHash>) -> Hold<'_> {
        // Each hash is told at most once.
        let (sender, news) = mpsc::channel(hashes.len().max(1));
        let mut inner = self.lock();
        for hash in &hashes {
            let waiting = inner.waiting.entry(*hash).or_default();
            waiting.push(sender.clone());
        }
        drop(inner);
        Hold {
            desk: self,
            hashes,
            news,
            told: HashMap::new(),
        }
    }
}

impl Inner {
    /// This one is done with: whoever waits for it is told.
    pub(super) fn done(&mut self, hash: &HeaderHash, told: &Told) {
        self.open.done(hash);
        self.fresh.remove(hash);
        for waiting in self.waiting.remove(hash).unwrap_or_default() {
            // It has a place for each; whoever has gone will ask again.
            let _ = waiting.try_send((*hash, told.clone()));
        }
    }

    /// Whether a batch is held for news of this one.
    pub(super) fn is_awaited(&self, hash: &HeaderHash) -> bool {
        let waiting = self.waiting.get(hash);
        waiting.is_some_and(|waiting| waiting.iter().any(|it| !it.is_closed()))
    }

    pub(super) fn note_answered(&mut self, hashes: impl IntoIterator<Item = HeaderHash>) {
        let answered = hashes.into_iter().map(|hash| Answered { hash, looks: 0 });
        let room = ANSWERED_MAX.saturating_sub(self.answered.len());
        self.answered.extend(answered.take(room));
    }

    /// Those whose rows may be forgotten. What is not on record yet is to be [put back](Self::put_back).
    pub(super) fn take_answered(&mut self) -> Vec<Answered> {
        std::mem::take(&mut self.answered)
    }

    pub(super) fn put_back(&mut self, answered: impl IntoIterator<Item = Answered>) {
        let again = answered.into_iter().map(|it| Answered {
            looks: it.looks + 1,
            ..it
        });
        let room = ANSWERED_MAX.saturating_sub(self.answered.len());
        let again = again.filter(|it| it.looks < ANSWERED_LOOKS_MAX);
        self.answered.extend(again.take(room));
    }
}

impl Hold<'_> {
    /// Whether news of this one have come.
    pub(super) fn is_told(&mut self, hash: &HeaderHash) -> bool {
        while let Ok((hash, told)) = self.news.try_recv() {
            self.told.insert(hash, told);
        }
        self.told.contains_key(hash)
    }

    /// Waits until news of all of `hashes` have come, until `deadline` at most. What has come.
    pub(super) async fn wait(
        mut self,
        hashes: &[HeaderHash],
        deadline: Instant,
    ) -> HashMap<HeaderHash, Told> {
        let is_missing = |hash: &&HeaderHash| !self.told.contains_key(*hash);
        let mut missing: HashSet<HeaderHash> = hashes.iter().filter(is_missing).copied().collect();
        while !missing.is_empty() {
            let Ok(Some((hash, told))) = tokio::time::timeout_at(deadline, self.news.recv()).await
            else {
                break;
            };
            missing.remove(&hash);
            self.told.insert(hash, told);
        }
        std::mem::take(&mut self.told)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.news.close();
        let mut inner = self.desk.lock();
        for hash in &self.hashes {
            if let Some(waiting) = inner.waiting.get_mut(hash) {
                waiting.retain(|waiting| !waiting.is_closed());
                if waiting.is_empty() {
                    inner.waiting.remove(hash);
                }
            }
        }
    }
}
