//! The requests that have no quote id yet: what is to be pushed, looked for, noted and pushed again, and when. Pure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::limits::{
    LOOK_AGAIN_LEAST_MS, LOOK_AGAIN_MOST_MS, NOTE_PUSH_AFTER_MS, OPEN_MAX, PUSH_AGAIN_DOUBLINGS_MAX,
};

/// Double SHA-256 of a share's header, as the hash function gives it.
pub(super) type HeaderHash = [u8; 32];

/// All of them. Times are of one clock, in milliseconds, that only rises.
pub(super) struct Open {
    entries: HashMap<HeaderHash, Entry>,
    by_pool: HashMap<Arc<str>, usize>,
    pool_max: usize,
    push_again_after_ms: u64,
    tells_ids: bool,
    /// By when they are due, and among those by the order in which they came.
    pushes: BTreeSet<(u64, u64, HeaderHash)>,
    looks: BTreeSet<(u64, HeaderHash)>,
    notes: BTreeSet<(u64, HeaderHash)>,
    came: u64,
}

struct Entry {
    pool: Arc<str>,
    number: u64,
    since_ms: u64,
    pushed_ms: Option<u64>,
    pushes: u32,
    push_at_ms: u64,
    look_at_ms: Option<u64>,
    note_at_ms: Option<u64>,
}

/// How many there are, for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OpenCounts {
    pub(super) open: usize,
    /// Among them those that were never pushed.
    pub(super) unpushed: usize,
}

impl Open {
    /// None yet. `tells_ids` is false for a mint that writes no keys: then a request is done with once it is pushed.
    pub(super) fn new(pools: usize, push_again_after_ms: u64, tells_ids: bool) -> Open {
        Open {
            entries: HashMap::new(),
            by_pool: HashMap::new(),
            pool_max: (OPEN_MAX / pools.max(1)).max(1),
            push_again_after_ms,
            tells_ids,
            pushes: BTreeSet::new(),
            looks: BTreeSet::new(),
            notes: BTreeSet::new(),
            came: 0,
        }
    }

    /// How many more of this pool's requests may be added.
    pub(super) fn room(&self, pool: &str) -> usize {
        let its = self.by_pool.get(pool).copied().unwrap_or_default();
        let all = OPEN_MAX.saturating_sub(self.entries.len());
        all.min(self.pool_max.saturating_sub(its))
    }

    /// A request that is on disk and was never pushed, as far as is known: due at once. One that is there stays as it is.
    pub(super) fn add(&mut self, hash: HeaderHash, pool: &Arc<str>, now_ms: u64) {
        self.insert(hash, pool, now_ms, None, now_ms);
    }

    /// A request that was pushed, by an earlier process, so long ago: due to be looked for.
    pub(super) fn resume(&mut self, hash: HeaderHash, pool: &Arc<str>, age_ms: u64, now_ms: u64) {
        let push_at_ms = now_ms.saturating_add(self.push_again_after_ms.saturating_sub(age_ms));
        self.insert(hash, pool, now_ms, Some(now_ms), push_at_ms);
    }

    fn insert(
        &mut self,
        hash: HeaderHash,
        pool: &Arc<str>,
        now_ms: u64,
        pushed_ms: Option<u64>,
        push_at_ms: u64,
    ) {
        if self.entries.contains_key(&hash) {
            return;
        }
        self.came += 1;
        let entry = Entry {
            pool: Arc::clone(pool),
            number: self.came,
            since_ms: now_ms,
            pushed_ms,
            pushes: u32::from(pushed_ms.is_some()),
            push_at_ms,
            look_at_ms: pushed_ms,
            note_at_ms: None,
        };
        self.pushes.insert((push_at_ms, entry.number, hash));
        self.looks
            .extend(entry.look_at_ms.map(|at_ms| (at_ms, hash)));
        *self.by_pool.entry(Arc::clone(pool)).or_default() += 1;
        self.entries.insert(hash, entry);
    }

    /// What is to be pushed now, in its order. It stays due until [`Self::pushed`].
    pub(super) fn pushes_due(&self, now_ms: u64, max: usize) -> Vec<HeaderHash> {
        let due = self.pushes.iter().take_while(|(at, ..)| *at <= now_ms);
        due.take(max).map(|(.., hash)| *hash).collect()
    }

    /// These are on the list; how many of them had been there before. Of a mint that tells no ids they are done with.
    pub(super) fn pushed(&mut self, hashes: &[HeaderHash], now_ms: u64) -> usize {
        let mut again = 0;
        for hash in hashes {
            if !self.tells_ids {
                self.done(hash);
                continue;
            }
            let Some(entry) = self.entries.get_mut(hash) else {
                continue;
            };
            again += usize::from(entry.pushes > 0);
            self.pushes.remove(&(entry.push_at_ms, entry.number, *hash));
            self.looks
                .void(entry.look_at_ms.map(|at_ms| (at_ms, *hash)));
            self.notes
                .void(entry.note_at_ms.map(|at_ms| (at_ms, *hash)));
            let pause_ms = self
                .push_again_after_ms
                .saturating_mul(1 << entry.pushes.min(PUSH_AGAIN_DOUBLINGS_MAX));
            entry.pushes = entry.pushes.saturating_add(1);
            entry.pushed_ms = Some(now_ms);
            entry.push_at_ms = now_ms.saturating_add(pause_ms);
            let look_at_ms = now_ms.saturating_add(LOOK_AGAIN_LEAST_MS);
            let note_at_ms = now_ms.saturating_add(NOTE_PUSH_AFTER_MS);
            (entry.look_at_ms, entry.note_at_ms) = (Some(look_at_ms), Some(note_at_ms));
            self.pushes.insert((entry.push_at_ms, entry.number, *hash));
            self.looks.insert((look_at_ms, *hash));
            self.notes.insert((note_at_ms, *hash));
        }
        again
    }

    /// Whose id is to be looked for now. They stay due until [`Self::done`] or [`Self::missing`].
    pub(super) fn looks_due(&self, now_ms: u64, max: usize) -> Vec<HeaderHash> {
        let due = self.looks.iter().take_while(|(at, _)| *at <= now_ms);
        due.take(max).map(|(_, hash)| *hash).collect()
    }

    /// There was no id under this one's key.
    pub(super) fn missing(&mut self, hash: &HeaderHash, now_ms: u64) {
        let Some(entry) = self.entries.get_mut(hash) else {
            return;
        };
        let Some(pushed_ms) = entry.pushed_ms else {
            return;
        };
        self.looks
            .void(entry.look_at_ms.map(|at_ms| (at_ms, *hash)));
        let age_ms = now_ms.saturating_sub(pushed_ms);
        let pause_ms = (age_ms / 2).clamp(LOOK_AGAIN_LEAST_MS, LOOK_AGAIN_MOST_MS);
        // Not pushed again without another look.
        let at_ms = now_ms.saturating_add(pause_ms);
        let at_ms = at_ms.min(entry.push_at_ms.max(now_ms.saturating_add(1)));
        entry.look_at_ms = Some(at_ms);
        self.looks.insert((at_ms, *hash));
    }

    /// Which pushes are to be noted on disk now. They stay due until [`Self::noted`].
    pub(super) fn notes_due(&self, now_ms: u64, max: usize) -> Vec<HeaderHash> {
        let due = self.notes.iter().take_while(|(at, _)| *at <= now_ms);
        due.take(max).map(|(_, hash)| *hash).collect()
    }

    /// It is on disk that these were pushed.
    pub(super) fn noted(&mut self, hashes: &[HeaderHash]) {
        for hash in hashes {
            if let Some(entry) = self.entries.get_mut(hash) {
                let noted = entry.note_at_ms.take();
                self.notes.void(noted.map(|at_ms| (at_ms, *hash)));
            }
        }
    }

    /// This one has its id, on disk, or can have none: it is forgotten.
    pub(super) fn done(&mut self, hash: &HeaderHash) {
        let Some(entry) = self.entries.remove(hash) else {
            return;
        };
        self.pushes.remove(&(entry.push_at_ms, entry.number, *hash));
        self.looks
            .void(entry.look_at_ms.map(|at_ms| (at_ms, *hash)));
        self.notes
            .void(entry.note_at_ms.map(|at_ms| (at_ms, *hash)));
        if let Some(its) = self.by_pool.get_mut(&entry.pool) {
            *its -= 1;
        }
    }

    /// How long this one has waited for its id; `None` where it does not wait.
    pub(super) fn waits_ms(&self, hash: &HeaderHash, now_ms: u64) -> Option<u64> {
        let entry = self.entries.get(hash)?;
        Some(now_ms.saturating_sub(entry.since_ms))
    }

    /// How long the one that waits longest has done so, of what this process knows; looks at all of them.
    pub(super) fn oldest_ms(&self, now_ms: u64) -> Option<u64> {
        let since_ms = self.entries.values().map(|entry| entry.since_ms).min()?;
        Some(now_ms.saturating_sub(since_ms))
    }

    /// When something is due next; in the past where something is.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        let push = self.pushes.first().map(|(at_ms, ..)| *at_ms);
        let look = self.looks.first().map(|(at_ms, _)| *at_ms);
        let note = self.notes.first().map(|(at_ms, _)| *at_ms);
        push.into_iter().chain(look).chain(note).min()
    }

    pub(super) fn counts(&self) -> OpenCounts {
        OpenCounts {
            open: self.entries.len(),
            unpushed: self.entries.len() - self.looks.len(),
        }
    }
}

/// Takes out what a change makes void.
trait Void<T> {
    fn void(&mut self, void: Option<T>);
}

impl<T: Ord> Void<T> for BTreeSet<T> {
    fn void(&mut self, void: Option<T>) {
        if let Some(void) = void {
            self.remove(&void);
        }
    }
}

#[cfg(test)]
mod tests;
