//! A set of entries, found by their hashes.

use std::collections::BTreeSet;
use std::collections::hash_map::{Entry as Place, HashMap};

/// A row's id under the hash of its key: `(hash, id)`.
pub(super) type Entry = (i64, i64);

/// Nearly all hashes have one row.
#[derive(Default)]
pub(super) struct Entries {
    first: HashMap<i64, i64>,
    /// Further rows of hashes that were in `first` when these were added.
    further: BTreeSet<Entry>,
}

impl Entries {
    /// False where it is there.
    pub(super) fn insert(&mut self, (hash, id): Entry) -> bool {
        match self.first.entry(hash) {
            Place::Vacant(_) if self.further.contains(&(hash, id)) => false,
            Place::Vacant(place) => {
                place.insert(id);
                true
            }
            Place::Occupied(place) if *place.get() == id => false,
            Place::Occupied(_) => self.further.insert((hash, id)),
        }
    }

    /// False where it is not there.
    pub(super) fn remove(&mut self, (hash, id): Entry) -> bool {
        match self.first.entry(hash) {
            Place::Occupied(place) if *place.get() == id => {
                place.remove();
                true
            }
            _ => self.further.remove(&(hash, id)),
        }
    }

    pub(super) fn contains(&self, (hash, id): Entry) -> bool {
        self.first.get(&hash) == Some(&id) || self.further.contains(&(hash, id))
    }

    /// The ids under a hash.
    pub(super) fn find(&self, hash: i64) -> impl Iterator<Item = i64> {
        let further = self.further.range((hash, i64::MIN)..=(hash, i64::MAX));
        let further = further.map(|(_, id)| *id);
        self.first.get(&hash).copied().into_iter().chain(further)
    }

    /// Gives its memory back if it has nothing.
    pub(super) fn shrink_where_empty(&mut self) {
        if self.first.is_empty() && self.first.capacity() > 0 {
            self.first = HashMap::new();
        }
    }

    /// All, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        let first = self.first.iter().map(|(hash, id)| (*hash, *id));
        first.chain(self.further.iter().copied())
    }
}
