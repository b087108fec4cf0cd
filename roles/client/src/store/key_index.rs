//! The way from a key to its rows, where keys are hashes: what is new in memory, the rest in a compact table.
//!
//! Keys come in no order, so each that is added to a large index changes a page of its own, which costs more than the row
//! itself. The newest entries are therefore kept in memory ([`KeyMemory`]). Where enough have come together they are merged
//! into the table, in its order, so that each page takes several: a slice of all hashes at a time, one slice after the
//! other, so that nobody waits for a merge that goes through the whole table. Most keys that are looked for are new, so a
//! filter says of these that there is none: the table's pages may well not be in memory.
//!
//! What is in memory is gone with the process. So the table of a file is never complete: whoever opens it has
//! [`KeyIndex::begin`] called, each row that it holds [`ensured`](KeyIndex::ensure), which also mends an index that has
//! lost an entry, and then [`KeyIndex::opened`]. Other connections (the reader's, an operator's command) do not see what is
//! new and cannot [`find`](KeyIndex::find) at all.
//!
//! What is in memory follows the database: when a transaction or a savepoint in it is rolled back, what it had added is
//! found no longer. A TEMP table has the generation that this goes by, and a function of SQL leads from the connection to
//! its memory.

mod entries;
mod filter;
mod memory;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rusqlite::functions::FunctionFlags;
use rusqlite::{CachedStatement, Connection, params};

use self::memory::KeyMemory;
use super::{RowChecksums, StoreError, row_checksum};
use crate::limits::{KEY_INDEX_NEW_MAX, KEY_INDEX_SLICES};

/// The highest bits of a hash, which say in which slice it lies.
const SLICE_BITS: u32 = KEY_INDEX_SLICES.ilog2();

/// What an index is asked for: 64 bits of SHA-256 over `parts`, each with its length.
///
/// Two keys may share it, so whoever finds an id looks at the row's own key; that look is all that a collision costs. Each
/// further key with one and the same hash has to be searched for among 2^64, so nobody makes the looks many.
pub(crate) fn key_hash(parts: &[&[u8]]) -> i64 {
    cut(row_checksum(KEY, parts))
}

/// [`key_hash`] of many keys, which costs less than one after the other.
#[derive(Default)]
pub(crate) struct KeyHashes(RowChecksums);

impl KeyHashes {
    /// The next key.
    pub(crate) fn add(&mut self, parts: &[&[u8]]) {
        self.0.add(KEY, parts);
    }

    /// In the order of the keys.
    pub(crate) fn finish(self) -> Vec<i64> {
        self.0.finish().into_iter().map(cut).collect()
    }
}

/// What stands for a table's name in front of a key.
const KEY: &str = "key";

fn cut([a, b, c, d, e, f, g, h, ..]: [u8; 16]) -> i64 {
    i64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// From a [`key_hash`] to the ids of the rows that may have that key; to be made with
/// [`key_index!`](crate::store::key_index). It is not the rows' owner: it may name rows that are gone.
pub(crate) struct KeyIndex {
    pub(crate) memory_function: &'static str,
    pub(crate) begin: &'static str,
    pub(crate) is_begun: &'static str,
    pub(crate) memory: &'static str,
    pub(crate) begin_batch: &'static str,
    pub(crate) find: &'static str,
    pub(crate) has: &'static str,
    pub(crate) insert: &'static str,
    pub(crate) remove: &'static str,
    pub(crate) hashes: &'static str,
    pub(crate) fill: &'static str,
}

/// The index in the table of that name, which is a migration's to make:
/// `CREATE TABLE <name> (hash INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (hash, id)) STRICT, WITHOUT ROWID`.
macro_rules! key_index {
    ($table:literal) => {
        $crate::store::KeyIndex {
            memory_function: concat!($table, "_memory"),
            begin: concat!(
                "CREATE TEMP TABLE IF NOT EXISTS ",
                $table,
                "_generation (generation INTEGER NOT NULL) STRICT;
                 DELETE FROM temp.",
                $table,
                "_generation;
                 INSERT INTO temp.",
                $table,
                "_generation (generation) VALUES (0)"
            ),
            is_begun: concat!(
                "SELECT 1 FROM temp.sqlite_schema WHERE name = '",
                $table,
                "_generation'"
            ),
            memory: concat!(
                "SELECT ",
                $table,
                "_memory(), generation FROM temp.",
                $table,
                "_generation"
            ),
            begin_batch: concat!(
                "UPDATE temp.",
                $table,
                "_generation SET generation = generation + 1 RETURNING ",
                $table,
                "_memory(), generation"
            ),
            find: concat!("SELECT id FROM main.", $table, " WHERE hash = ?1"),
            has: concat!(
                "SELECT 1 FROM main.",
                $table,
                " WHERE hash = ?1 AND id = ?2"
            ),
            insert: concat!(
                "INSERT OR IGNORE INTO main.",
                $table,
                " (hash, id) VALUES (?1, ?2)"
            ),
            remove: concat!("DELETE FROM main.", $table, " WHERE hash = ?1 AND id = ?2"),
            hashes: concat!(
                "SELECT hash FROM main.",
                $table,
                " WHERE hash BETWEEN ?1 AND ?2"
            ),
            fill: concat!(
                "INSERT OR IGNORE INTO main.",
                $table,
                " (hash, id) SELECT hash, id FROM temp.key_index_rows ORDER BY hash, id"
            ),
        }
    };
}
pub(crate) use key_index;

impl KeyIndex {
    /// To be called on the connection that writes before anything else, when the file is opened. Nothing is new yet.
    ///
    /// Until [`Self::opened`] what is added is not taken back when it is rolled back: whoever opens a file and fails does not
    /// use it.
    pub(crate) fn begin(&self, connection: &Connection) -> Result<(), StoreError> {
        connection.execute_batch(self.begin)?;
        let memory = Registered::new(KeyMemory::opening(KEY_INDEX_NEW_MAX));
        let shared = Arc::clone(&memory.memory);
        connection.create_scalar_function(
            self.memory_function,
            0,
            FunctionFlags::SQLITE_UTF8,
            // All of it, so that it lives as long as the function.
            move |_| Ok(memory.id()),
        )?;
        for slice in 0..KEY_INDEX_SLICES as usize {
            self.filter(connection, &shared, slice)?;
        }
        Ok(())
    }

    /// To be called when all rows have been ensured and that is committed.
    pub(crate) fn opened(&self, connection: &Connection) -> Result<(), StoreError> {
        let (memory, _) = self.memory(connection, self.memory)?;
        lock(&memory).opened();
        Ok(())
    }

    /// Keeps so many new entries in memory, instead of [`KEY_INDEX_NEW_MAX`].
    pub(crate) fn keep(&self, connection: &Connection, new_max: usize) -> Result<(), StoreError> {
        let (memory, _) = self.memory(connection, self.memory)?;
        lock(&memory).keep(new_max);
        Ok(())
    }

    /// Whether [`Self::begin`] was called on this connection.
    pub(crate) fn is_begun(&self, connection: &Connection) -> Result<bool, StoreError> {
        Ok(connection.prepare_cached(self.is_begun)?.exists([])?)
    }

    /// To be called when a transaction has begun, before anything is done in it.
    pub(crate) fn transaction_begun(&self, connection: &Connection) -> Result<(), StoreError> {
        let (memory, generation) = self.memory(connection, self.memory)?;
        lock(&memory).settle(generation);
        // Nothing is under way that could bring back what the file does not have now.
        while let Some(slice) = { lock(&memory).slice_to_filter() } {
            self.filter(connection, &memory, slice)?;
        }
        Ok(())
    }

    /// To be called before a transaction that changed something is committed: merges what is new into the table where it has
    /// become too much to be kept in memory.
    pub(crate) fn transaction_ends(&self, connection: &Connection) -> Result<(), StoreError> {
        let (memory, _) = self.memory(connection, self.memory)?;
        if lock(&memory).slice_to_merge().is_none() {
            return Ok(());
        }
        let (memory, generation) = self.memory(connection, self.begin_batch)?;
        lock(&memory).begin_batch(generation);
        self.merge_where_full(connection, &memory)
    }

    /// As [`Self::transaction_ends`], while the file is opened; to be called every thousand rows.
    pub(crate) fn merge_while_opening(&self, connection: &Connection) -> Result<(), StoreError> {
        let (memory, _) = self.memory(connection, self.memory)?;
        self.merge_where_full(connection, &memory)
    }

    fn merge_where_full(
        &self,
        connection: &Connection,
        memory: &SharedMemory,
    ) -> Result<(), StoreError> {
        for _ in 0..KEY_INDEX_SLICES {
            let Some(slice) = ({ lock(memory).slice_to_merge() }) else {
                break;
            };
            self.merge_slice(connection, memory, slice)?;
        }
        Ok(())
    }

    fn merge_slice(
        &self,
        connection: &Connection,
        memory: &SharedMemory,
        slice: usize,
    ) -> Result<(), StoreError> {
        let entries = lock(memory).new_in(slice);
        let mut insert = connection.prepare_cached(self.insert)?;
        for (hash, id) in &entries {
            insert.execute([hash, id])?;
        }
        lock(memory).merged(slice, entries);
        Ok(())
    }

    /// Merges what is new into the table while the file is opened, so that all of it is there.
    pub(crate) fn merge(&self, connection: &Connection) -> Result<(), StoreError> {
        let (memory, _) = self.memory(connection, self.memory)?;
        for slice in 0..KEY_INDEX_SLICES as usize {
            self.merge_slice(connection, &memory, slice)?;
        }
        Ok(())
    }

    /// The ids of all rows that may have the key.
    pub(crate) fn find(&self, connection: &Connection, hash: i64) -> Result<Vec<i64>, StoreError> {
        self.finder(connection)?.find(hash)
    }

    /// [`Self::find`] for many hashes, until something is rolled back.
    pub(crate) fn finder<'a>(
        &self,
        connection: &'a Connection,
    ) -> Result<KeyFinder<'a>, StoreError> {
        let (memory, generation) = self.memory(connection, self.memory)?;
        lock(&memory).follow(generation);
        let in_file = connection.prepare_cached(self.find)?;
        Ok(KeyFinder { memory, in_file })
    }

    /// [`Self::insert`] for many rows, in one savepoint: what is rolled back takes with it all that it adds, or nothing.
    pub(crate) fn adder<'a>(&'static self, connection: &'a Connection) -> KeyAdder<'a> {
        KeyAdder {
            index: self,
            connection,
            memory: None,
        }
    }

    /// Adds a row that was not there.
    #[cfg(test)]
    pub(crate) fn insert(
        &'static self,
        connection: &Connection,
        hash: i64,
        id: i64,
    ) -> Result<(), StoreError> {
        self.adder(connection).insert(hash, id)
    }

    /// Adds a row where it is not there, while the file is opened. True where that was so.
    pub(crate) fn ensure(
        &self,
        connection: &Connection,
        hash: i64,
        id: i64,
    ) -> Result<bool, StoreError> {
        let mut finder = self.finder(connection)?;
        if finder.is_there(self, connection, hash, id)? {
            return Ok(false);
        }
        // Nothing is undone while the file is opened.
        lock(&finder.memory).add(0, (hash, id));
        Ok(true)
    }

    /// For rows that go, in one savepoint; on whatever connection. On another than that which writes for the role only the
    /// table is changed: where a row is new, the role goes on finding an id that names nothing.
    pub(crate) fn remover<'a>(
        &self,
        connection: &'a Connection,
    ) -> Result<KeyRemover<'a>, StoreError> {
        let memory = match self.is_begun(connection)? {
            false => None,
            true => {
                let (memory, generation) = self.memory(connection, self.begin_batch)?;
                lock(&memory).begin_batch(generation);
                Some((memory, generation))
            }
        };
        let in_file = connection.prepare_cached(self.remove)?;
        Ok(KeyRemover { memory, in_file })
    }

    /// Enters all rows of an older file, whatever their number, in a migration (where TEMP is not memory): `rows` are pairs of
    /// hash and id.
    pub(crate) fn fill(
        &self,
        connection: &Connection,
        rows: impl Iterator<Item = Result<(i64, i64), StoreError>>,
    ) -> Result<(), StoreError> {
        connection.execute_batch(
            "CREATE TEMP TABLE key_index_rows (hash INTEGER NOT NULL, id INTEGER NOT NULL) STRICT",
        )?;
        {
            let mut add = connection.prepare("INSERT INTO temp.key_index_rows VALUES (?1, ?2)")?;
            for row in rows {
                let (hash, id) = row?;
                add.execute(params![hash, id])?;
            }
        }
        connection.execute(self.fill, [])?;
        connection.execute_batch("DROP TABLE temp.key_index_rows")?;
        Ok(())
    }

    /// The connection's memory, and the generation that the database has.
    fn memory(
        &self,
        connection: &Connection,
        sql: &'static str,
    ) -> Result<(SharedMemory, i64), StoreError> {
        let (id, generation) = connection
            .prepare_cached(sql)?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let memory = memories().get(&id).and_then(Weak::upgrade);
        let memory = memory.ok_or(StoreError::Closed)?;
        Ok((memory, generation))
    }

    /// Makes the filter of a slice anew.
    fn filter(
        &self,
        connection: &Connection,
        memory: &SharedMemory,
        slice: usize,
    ) -> Result<(), StoreError> {
        let mut hashes = connection.prepare_cached(self.hashes)?;
        let hashes = hashes.query_map(hashes_of(slice), |row| row.get(0))?;
        let hashes: Vec<i64> = hashes.collect::<Result<_, _>>()?;
        lock(memory).filter(slice, hashes);
        Ok(())
    }
}

/// The first and the last hash of a slice.
fn hashes_of(slice: usize) -> [i64; 2] {
    let first = i64::MIN.wrapping_add_unsigned((slice as u64) << (64 - SLICE_BITS));
    [
        first,
        first.wrapping_add_unsigned((1 << (64 - SLICE_BITS)) - 1),
    ]
}

/// The slice in which a hash lies.
fn slice_of(hash: i64) -> usize {
    (hash.wrapping_sub(i64::MIN).cast_unsigned() >> (64 - SLICE_BITS)) as usize
}

type SharedMemory = Arc<Mutex<KeyMemory>>;

fn lock(memory: &SharedMemory) -> MutexGuard<'_, KeyMemory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The memories of all connections, by what the SQL function of each says. A function of SQL hands over values, no
/// references.
static MEMORIES: Mutex<BTreeMap<i64, Weak<Mutex<KeyMemory>>>> = Mutex::new(BTreeMap::new());

fn memories() -> MutexGuard<'static, BTreeMap<i64, Weak<Mutex<KeyMemory>>>> {
    MEMORIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A memory, for as long as its connection has the function that leads to it.
struct Registered {
    id: i64,
    memory: SharedMemory,
}

impl Registered {
    fn new(memory: KeyMemory) -> Registered {
        let memory = Arc::new(Mutex::new(memory));
        let mut all = memories();
        let id = all.last_key_value().map_or(0, |(last, _)| last + 1);
        all.insert(id, Arc::downgrade(&memory));
        Registered { id, memory }
    }

    fn id(&self) -> i64 {
        self.id
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        memories().remove(&self.id);
    }
}

/// A [`KeyIndex`] that is asked.
pub(crate) struct KeyFinder<'a> {
    memory: SharedMemory,
    in_file: CachedStatement<'a>,
}

impl KeyFinder<'_> {
    /// See [`KeyIndex::find`].
    pub(crate) fn find(&mut self, hash: i64) -> Result<Vec<i64>, StoreError> {
        let mut ids: Vec<i64>;
        {
            let memory = lock(&self.memory);
            if !memory.may_have(hash) {
                return Ok(Vec::new());
            }
            ids = memory.find_new(hash).collect();
        }
        let mut rows = self.in_file.query([hash])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    fn is_there(
        &mut self,
        index: &KeyIndex,
        connection: &Connection,
        hash: i64,
        id: i64,
    ) -> Result<bool, StoreError> {
        {
            let memory = lock(&self.memory);
            if !memory.may_have(hash) {
                return Ok(false);
            }
            if memory.find_new(hash).any(|new| new == id) {
                return Ok(true);
            }
        }
        Ok(connection.prepare_cached(index.has)?.exists([hash, id])?)
    }
}

/// A [`KeyIndex`] that is added to.
pub(crate) struct KeyAdder<'a> {
    index: &'static KeyIndex,
    connection: &'a Connection,
    /// With the generation of what is added. `None` until something is: a transaction in which nothing is changes nothing.
    memory: Option<(SharedMemory, i64)>,
}

impl KeyAdder<'_> {
    /// Adds a row that was not there.
    pub(crate) fn insert(&mut self, hash: i64, id: i64) -> Result<(), StoreError> {
        let (memory, generation) = match &self.memory {
            Some(begun) => begun,
            None => {
                let begin_batch = self.index.begin_batch;
                let (memory, generation) = self.index.memory(self.connection, begin_batch)?;
                lock(&memory).begin_batch(generation);
                self.memory.insert((memory, generation))
            }
        };
        lock(memory).add(*generation, (hash, id));
        Ok(())
    }
}

/// A [`KeyIndex`] that rows are taken out of.
pub(crate) struct KeyRemover<'a> {
    /// With the generation of what is removed.
    memory: Option<(SharedMemory, i64)>,
    in_file: CachedStatement<'a>,
}

impl KeyRemover<'_> {
    /// Takes a row out.
    pub(crate) fn remove(&mut self, hash: i64, id: i64) -> Result<(), StoreError> {
        if let Some((memory, generation)) = &self.memory {
            lock(memory).remove(*generation, (hash, id));
        }
        self.in_file.execute([hash, id])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
