//! The requests that have no quote id yet: what is to be pushed, looked for, noted and pushed again, and when. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::limits::{
    LOOK_AGAIN_LEAST_MS, LOOK_AGAIN_MOST_MS, NOTE_PUSH_AFTER_MS, OPEN_MAX, PUSH_AGAIN_DOUBLINGS_MAX,
};

/// Double SHA-256 of a share's header, as the hash function gives it.
pub(super) type HeaderHash = [u8; 32];

/// All of them. Times are of one clock, in milliseconds, that only rises.
///
/// Nothing is pushed, the first time or again, without a look for its id just before; and nothing is pushed again before the
/// list was seen empty since it was pushed last. So an entry is never in the list twice: of the old mints that write ids none
/// refuses a header hash that it has had, and each copy would be a quote.
pub(super) struct Open {
    entries: HashMap<HeaderHash, Entry>,
    by_pool: HashMap<Arc<str>, usize>,
    pool_max: usize,
    push_again_after_ms: u64,
    tells_ids: bool,
    /// What is to be pushed: by when that was known, and among those by the order in which they came.
    pushes: BTreeSet<(u64, u64, HeaderHash)>,
    /// What may still be in the list.
    in_list: HashSet<HeaderHash>,
    looks: BTreeSet<(u64, HeaderHash)>,
    notes: BTreeSet<(u64, HeaderHash)>,
    came: u64,
    unpushed: usize,
    /// Nothing is pushed again.
    holds: bool,
}

struct Entry {
    pool: Arc<str>,
    number: u64,
    since_ms: u64,
    pushed_ms: Option<u64>,
    pushes: u32,
    /// When the list was first seen empty behind the last push.
    left_ms: Option<u64>,
    /// From when on it is to be pushed if there is no id; `None` while it may be in the list.
    push_from_ms: Option<u64>,
    /// Its place among the pushes.
    ready_ms: Option<u64>,
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
            in_list: HashSet::new(),
            looks: BTreeSet::new(),
            notes: BTreeSet::new(),
            came: 0,
            unpushed: 0,
            holds: false,
        }
    }

    /// How many more of this pool's requests may be added.
    pub(super) fn room(&self, pool: &str) -> usize {
        let its = self.by_pool.get(pool).copied().unwrap_or_default();
        let all = OPEN_MAX.saturating_sub(self.entries.len());
        all.min(self.pool_max.saturating_sub(its))
    }

    /// A request that is on disk and was never pushed: due as soon as its id was looked for. One that is there stays as it is.
    pub(super) fn add(&mut self, hash: HeaderHash, pool: &Arc<str>, now_ms: u64) {
        let is_new = self.insert(hash, pool, now_ms, None);
        if is_new && !self.tells_ids {
            self.ready(&hash, now_ms);
        }
    }

    /// A request that an earlier process may have pushed, and that may still be in the list: due to be looked for.
    pub(super) fn resume(&mut self, hash: HeaderHash, pool: &Arc<str>, now_ms: u64) {
        if self.insert(hash, pool, now_ms, Some(now_ms)) {
            self.in_list.insert(hash);
        }
    }

    fn insert(
        &mut self,
        hash: HeaderHash,
        pool: &Arc<str>,
        now_ms: u64,
        pushed_ms: Option<u64>,
    ) -> bool {
        if self.entries.contains_key(&hash) {
            return false;
        }
        self.came += 1;
        let entry = Entry {
            pool: Arc::clone(pool),
            number: self.came,
            since_ms: now_ms,
            pushed_ms,
            pushes: u32::from(pushed_ms.is_some()),
            left_ms: None,
            push_from_ms: pushed_ms.is_none().then_some(now_ms),
            ready_ms: None,
            look_at_ms: self.tells_ids.then_some(now_ms),
            note_at_ms: None,
        };
        self.unpushed += usize::from(pushed_ms.is_none());
        self.looks
            .extend(entry.look_at_ms.map(|at_ms| (at_ms, hash)));
        *self.by_pool.entry(Arc::clone(pool)).or_default() += 1;
        self.entries.insert(hash, entry);
        true
    }

    fn ready(&mut self, hash: &HeaderHash, now_ms: u64) {
        if let Some(entry) = self.entries.get_mut(hash) {
            let ready_ms = *entry.ready_ms.get_or_insert(now_ms);
            self.pushes.insert((ready_ms, entry.number, *hash));
        }
    }

    /// What is to be pushed now, in its order. It stays due until [`Self::pushed`].
    pub(super) fn pushes_due(&self, max: usize) -> Vec<HeaderHash> {
        let due = self.pushes.iter().take(max);
        due.map(|(.., hash)| *hash).collect()
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
            let is_again = entry.pushes > 0;
            again += usize::from(is_again);
            self.unpushed -= usize::from(!is_again);
            let ready = entry.ready_ms.take();
            self.pushes
                .void(ready.map(|at_ms| (at_ms, entry.number, *hash)));
            self.looks
                .void(entry.look_at_ms.map(|at_ms| (at_ms, *hash)));
            self.notes
                .void(entry.note_at_ms.map(|at_ms| (at_ms, *hash)));
            entry.pushes = entry.pushes.saturating_add(1);
            entry.pushed_ms = Some(now_ms);
            (entry.left_ms, entry.push_from_ms) = (None, None);
            let look_at_ms = now_ms.saturating_add(LOOK_AGAIN_LEAST_MS);
            let note_at_ms = now_ms.saturating_add(NOTE_PUSH_AFTER_MS);
            (entry.look_at_ms, entry.note_at_ms) = (Some(look_at_ms), Some(note_at_ms));
            self.in_list.insert(*hash);
            self.looks.insert((look_at_ms, *hash));
            self.notes.insert((note_at_ms, *hash));
        }
        again
    }

    /// There was nothing in the list, after everything that [`Self::pushed`] was told of.
    pub(super) fn list_was_empty(&mut self, now_ms: u64) {
        for hash in std::mem::take(&mut self.in_list) {
            let Some(entry) = self.entries.get_mut(&hash) else {
                continue;
            };
            let doublings = entry.pushes.saturating_sub(1).min(PUSH_AGAIN_DOUBLINGS_MAX);
            let pause_ms = self.push_again_after_ms.saturating_mul(1 << doublings);
            entry.left_ms = Some(now_ms);
            entry.push_from_ms = Some(now_ms.saturating_add(pause_ms));
        }
    }

    /// Another mint reads the list, as far as is known: what was pushed before, which the former may have made quotes of, is
    /// not pushed again from now on. False where nothing is open that was pushed, and nothing has changed.
    pub(super) fn hold(&mut self) -> bool {
        if self.entries.len() == self.unpushed {
            return false;
        }
        self.holds = true;
        for (hash, entry) in &mut self.entries {
            if entry.pushes > 0 {
                let ready = entry.ready_ms.take();
                self.pushes
                    .void(ready.map(|at_ms| (at_ms, entry.number, *hash)));
            }
        }
        true
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
        self.looks
            .void(entry.look_at_ms.take().map(|at_ms| (at_ms, *hash)));
        if let Some(pushed_ms) = entry.pushed_ms {
            let age_ms = now_ms.saturating_sub(pushed_ms);
            let pause_ms = (age_ms / 2).clamp(LOOK_AGAIN_LEAST_MS, LOOK_AGAIN_MOST_MS);
            let at_ms = now_ms.saturating_add(pause_ms);
            entry.look_at_ms = Some(at_ms);
            self.looks.insert((at_ms, *hash));
        }
        let is_held = self.holds && entry.pushes > 0;
        if !is_held && entry.push_from_ms.is_some_and(|from_ms| from_ms <= now_ms) {
            self.ready(hash, now_ms);
        }
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
        self.unpushed -= usize::from(entry.pushes == 0);
        self.in_list.remove(hash);
        self.pushes
            .void(entry.ready_ms.map(|at_ms| (at_ms, entry.number, *hash)));
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

    /// How many were off the list for so long, and have no id; looks at all of them.
    pub(super) fn unanswered(&self, now_ms: u64, after_ms: u64) -> usize {
        let is_long = |entry: &&Entry| {
            let left_ms = entry.left_ms;
            left_ms.is_some_and(|left_ms| now_ms.saturating_sub(left_ms) >= after_ms)
        };
        self.entries.values().filter(is_long).count()
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
            unpushed: self.unpushed,
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
