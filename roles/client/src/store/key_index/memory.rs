//! What a [`KeyIndex`](super::KeyIndex) keeps in memory, without the database.

use std::collections::BTreeSet;

use super::entries::{Entries, Entry};
use super::filter::Filter;
use super::slice_of;
use crate::limits::KEY_INDEX_SLICES;

/// The new entries, and which hashes have none.
///
/// Memory knows nothing of transactions, so everything is noted with a *generation*: a number in the database that rises with each
/// batch of changes, and falls again when the savepoint or transaction of that batch is rolled back. What has a higher one than the
/// database is undone.
pub(super) struct KeyMemory {
    slices: Vec<Slice>,
    /// New entries that are kept.
    new_max: usize,
    new: usize,
    next_slice: usize,
    /// Of the latest batch that is not undone: what is merged at present has it, and nothing a higher one.
    generation: i64,
    /// New entries that are not known to be committed.
    added: Vec<(i64, Entry)>,
    /// New entries whose row was deleted, which is not known to be committed.
    removed: Vec<(i64, Entry)>,
    /// New entries that are in the file as well, which is not known to be committed.
    merged: Vec<(i64, Vec<Entry>)>,
    /// What is done is not undone: if this fails the file is not used.
    is_opening: bool,
}

#[derive(Default)]
struct Slice {
    new: Entries,
    /// Of the hashes of all entries, new or in the file, and of some that are gone.
    known: Filter,
}

impl KeyMemory {
    /// Of a file that is being opened, for so many new entries.
    pub(super) fn opening(new_max: usize) -> KeyMemory {
        KeyMemory {
            new_max,
            slices: (0..KEY_INDEX_SLICES).map(|_| Slice::default()).collect(),
            new: 0,
            next_slice: 0,
            generation: 0,
            added: Vec::new(),
            removed: Vec::new(),
            merged: Vec::new(),
            is_opening: true,
        }
    }

    /// So many new entries from now on.
    pub(super) fn keep(&mut self, new_max: usize) {
        self.new_max = new_max;
    }

    /// From now on the database's generation counts.
    pub(super) fn opened(&mut self) {
        self.is_opening = false;
    }

    /// Undoes what the database has rolled back.
    pub(super) fn follow(&mut self, generation: i64) {
        if self.generation <= generation {
            return;
        }
        self.generation = generation;
        let undone = self.added.extract_if(.., |(added, _)| *added > generation);
        for (_, entry) in undone.collect::<Vec<_>>() {
            self.forget(entry);
        }
        self.removed.retain(|(removed, _)| *removed <= generation);
        self.merged.retain(|(merged, _)| *merged <= generation);
    }

    /// What is added and removed after this has that generation, which the database has just gone to.
    pub(super) fn begin_batch(&mut self, generation: i64) {
        self.follow(generation - 1);
        self.generation = generation;
    }

    /// A transaction has begun: what the database has of what was done is committed.
    pub(super) fn settle(&mut self, generation: i64) {
        self.follow(generation);
        self.added.clear();
        for (_, entry) in std::mem::take(&mut self.removed) {
            self.forget(entry);
        }
        for entry in std::mem::take(&mut self.merged)
            .into_iter()
            .flat_map(|(_, merged)| merged)
        {
            self.forget(entry);
        }
        // A table keeps the size that it once had. Whoever chooses keys could have each slice's grow in turn.
        for slice in &mut self.slices {
            slice.new.shrink_where_empty();
        }
    }

    /// Adds an entry in the batch of that generation.
    pub(super) fn add(&mut self, generation: i64, entry: Entry) {
        let slice = self.slice_mut(entry.0);
        if slice.new.insert(entry) {
            slice.known.add(entry.0);
            self.new += 1;
            if !self.is_opening {
                self.added.push((generation, entry));
            }
        }
    }

    /// The row is deleted. It is still found, as it may be rolled back.
    pub(super) fn remove(&mut self, generation: i64, entry: Entry) {
        if self.slice(entry.0).new.contains(entry) {
            self.removed.push((generation, entry));
        }
    }

    fn forget(&mut self, entry: Entry) {
        if self.slice_mut(entry.0).new.remove(entry) {
            self.new -= 1;
        }
    }

    /// The new entries under this hash.
    pub(super) fn find_new(&self, hash: i64) -> impl Iterator<Item = i64> {
        self.slice(hash).new.find(hash)
    }

    /// False where there is no entry under this hash, new or in the file: so it is with nearly all that have none.
    pub(super) fn may_have(&self, hash: i64) -> bool {
        self.slice(hash).known.may_have(hash)
    }

    /// The slice that is to be merged into the file next, where so much is new that it should be.
    pub(super) fn slice_to_merge(&self) -> Option<usize> {
        // Hashes come evenly, so the slice that was merged longest ago has most of what is new; unless somebody chooses keys
        // whose hashes lie in one slice. Then all slices have their turn until that one had it. By what a slice has alone all
        // of them would become full at the same time.
        let merged: usize = self.merged.iter().map(|(_, merged)| merged.len()).sum();
        (self.new.saturating_sub(merged) >= self.new_max).then_some(self.next_slice)
    }

    /// The new entries of a slice, in the order of the file, but for those that are going.
    pub(super) fn new_in(&self, slice: usize) -> Vec<Entry> {
        let Some(slice) = self.slices.get(slice) else {
            return Vec::new();
        };
        let going: BTreeSet<Entry> = self.removed.iter().map(|(_, removed)| *removed).collect();
        let staying = slice.new.iter().filter(|entry| !going.contains(entry));
        let mut staying: Vec<Entry> = staying.collect();
        staying.sort_unstable();
        staying
    }

    /// These entries of a slice were written to the file. They are found here until that is committed.
    pub(super) fn merged(&mut self, slice: usize, entries: Vec<Entry>) {
        self.next_slice = (slice + 1) % self.slices.len();
        match self.is_opening {
            true => entries.into_iter().for_each(|entry| self.forget(entry)),
            false => self.merged.push((self.generation, entries)),
        }
    }

    /// A slice whose filter has become too small.
    pub(super) fn slice_to_filter(&self) -> Option<usize> {
        self.slices.iter().position(|slice| slice.known.is_full())
    }

    /// Makes the filter of a slice anew, in whose part of the file these hashes are. All of it is committed.
    pub(super) fn filter(&mut self, slice: usize, mut in_file: Vec<i64>) {
        if let Some(slice) = self.slices.get_mut(slice) {
            in_file.extend(slice.new.iter().map(|(hash, _)| hash));
            slice.known = match in_file.is_empty() {
                true => Filter::default(),
                false => Filter::of(&in_file),
            };
        }
    }

    fn slice(&self, hash: i64) -> &Slice {
        &self.slices[slice_of(hash)]
    }

    fn slice_mut(&mut self, hash: i64) -> &mut Slice {
        &mut self.slices[slice_of(hash)]
    }
}
