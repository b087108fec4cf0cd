//! The way from a key to its rows, where keys are hashes: what is new in memory, the rest in a compact table.
//!
//! Keys come in no order, so each that is added to a large index changes a page of its own, which costs more than the row
//! itself. The newest entries are therefore kept apart, in a TEMP table: in memory, but within the transaction that is
//! under way, and undone with it. Where enough have come together they are merged into the index, in its order, so that each
//! page takes several: a slice of all hashes at a time, one slice after the other, so that nobody waits for a merge that
//! goes through the whole index.
//!
//! What is in memory is gone with the process. So the index of a file is never complete: whoever opens it has
//! [`KeyIndex::begin`] called, and each row that it holds [`ensured`](KeyIndex::ensure), which also mends an index that has
//! lost an entry. Other connections (the reader's, an operator's command) do not see what is new and cannot
//! [`find`](KeyIndex::find) at all.

use rusqlite::{CachedStatement, Connection, params};

use super::{StoreError, row_checksum};
use crate::limits::{KEY_INDEX_NEW_MAX, KEY_INDEX_SLICE_NEW_MAX, KEY_INDEX_SLICES};

/// What an index is asked for: 64 bits of SHA-256 over `parts`, each with its length.
///
/// Two keys may share it, so whoever finds an id looks at the row's own key; that look is all that a collision costs. Each
/// further key with one and the same hash has to be searched for among 2^64, so nobody makes the looks many.
pub(crate) fn key_hash(parts: &[&[u8]]) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = row_checksum("key", parts);
    i64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// From a [`key_hash`] to the ids of the rows that may have that key; to be made with
/// [`key_index!`](crate::store::key_index). It is not the rows' owner: it may name rows that are gone.
pub(crate) struct KeyIndex {
    pub(crate) begin: &'static str,
    pub(crate) find: &'static str,
    pub(crate) insert: &'static str,
    pub(crate) ensure: &'static str,
    pub(crate) remove_new: &'static str,
    pub(crate) remove: &'static str,
    pub(crate) next_slice: &'static str,
    pub(crate) count_new: &'static str,
    pub(crate) count_all_new: &'static str,
    pub(crate) merge: &'static str,
    pub(crate) clear_new: &'static str,
    pub(crate) slice_merged: &'static str,
    pub(crate) fill: &'static str,
}

/// The index in the table of that name, which is a migration's to make:
/// `CREATE TABLE <name> (hash INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (hash, id)) STRICT, WITHOUT ROWID`.
macro_rules! key_index {
    ($table:literal) => {
        $crate::store::KeyIndex {
            begin: concat!(
                "CREATE TEMP TABLE IF NOT EXISTS ",
                $table,
                "_new (hash INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (hash, id)) STRICT, WITHOUT ROWID;
                 CREATE TEMP TABLE IF NOT EXISTS ",
                $table,
                "_slice (next INTEGER NOT NULL) STRICT;
                 DELETE FROM temp.",
                $table,
                "_new;
                 DELETE FROM temp.",
                $table,
                "_slice;
                 INSERT INTO temp.",
                $table,
                "_slice (next) VALUES (0)"
            ),
            find: concat!(
                "SELECT id FROM temp.",
                $table,
                "_new WHERE hash = ?1 UNION ALL SELECT id FROM main.",
                $table,
                " WHERE hash = ?1"
            ),
            insert: concat!("INSERT INTO temp.", $table, "_new (hash, id) VALUES (?1, ?2)"),
            ensure: concat!(
                "INSERT OR IGNORE INTO temp.",
                $table,
                "_new (hash, id) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM main.",
                $table,
                " WHERE hash = ?1 AND id = ?2)"
            ),
            remove_new: concat!("DELETE FROM temp.", $table, "_new WHERE hash = ?1 AND id = ?2"),
            remove: concat!("DELETE FROM main.", $table, " WHERE hash = ?1 AND id = ?2"),
            next_slice: concat!("SELECT next FROM temp.", $table, "_slice"),
            count_new: concat!(
                "SELECT count(*) FROM temp.",
                $table,
                "_new WHERE hash BETWEEN ?1 AND ?2"
            ),
            count_all_new: concat!("SELECT count(*) FROM temp.", $table, "_new"),
            merge: concat!(
                "INSERT OR IGNORE INTO main.",
                $table,
                " (hash, id) SELECT hash, id FROM temp.",
                $table,
                "_new WHERE hash BETWEEN ?1 AND ?2 ORDER BY hash, id"
            ),
            clear_new: concat!(
                "DELETE FROM temp.",
                $table,
                "_new WHERE hash BETWEEN ?1 AND ?2"
            ),
            slice_merged: concat!("UPDATE temp.", $table, "_slice SET next = ?1"),
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
    /// To be called on the connection that writes before anything else, when the file was opened. Nothing is new yet.
    pub(crate) fn begin(&self, connection: &Connection) -> Result<(), StoreError> {
        connection.execute_batch(self.begin)?;
        Ok(())
    }

    /// The ids of all rows that may have the key.
    pub(crate) fn find(&self, connection: &Connection, hash: i64) -> Result<Vec<i64>, StoreError> {
        self.finder(connection)?.find(hash)
    }

    /// [`Self::find`] for many hashes.
    pub(crate) fn finder<'a>(
        &self,
        connection: &'a Connection,
    ) -> Result<KeyFinder<'a>, StoreError> {
        let statement = connection.prepare_cached(self.find)?;
        Ok(KeyFinder { statement })
    }

    /// [`Self::insert`] for many rows.
    pub(crate) fn adder<'a>(&self, connection: &'a Connection) -> Result<KeyAdder<'a>, StoreError> {
        let statement = connection.prepare_cached(self.insert)?;
        Ok(KeyAdder { statement })
    }

    /// Adds a row that was not there. Whoever adds many calls [`Self::merge_where_full`] among them.
    pub(crate) fn insert(
        &self,
        connection: &Connection,
        hash: i64,
        id: i64,
    ) -> Result<(), StoreError> {
        self.adder(connection)?.insert(hash, id)
    }

    /// Adds a row where it is not there. True where that was so.
    pub(crate) fn ensure(
        &self,
        connection: &Connection,
        hash: i64,
        id: i64,
    ) -> Result<bool, StoreError> {
        let added = connection
            .prepare_cached(self.ensure)?
            .execute([hash, id])?;
        Ok(added == 1)
    }

    /// Takes a row out.
    pub(crate) fn remove(
        &self,
        connection: &Connection,
        hash: i64,
        id: i64,
    ) -> Result<(), StoreError> {
        let removed = connection
            .prepare_cached(self.remove_new)?
            .execute([hash, id])?;
        if removed == 0 {
            connection
                .prepare_cached(self.remove)?
                .execute([hash, id])?;
        }
        Ok(())
    }

    /// Merges what is new into the table where it has become too much to be kept in memory. To be called once in each
    /// transaction that adds, or every thousand rows: it counts what is new in a slice.
    pub(crate) fn merge_where_full(&self, connection: &Connection) -> Result<(), StoreError> {
        // Hashes come evenly, so the slice that was merged longest ago has most of what is new: if it has little, all have;
        // unless somebody chooses keys whose hashes lie in one slice. Then all slices have their turn until that one had it.
        loop {
            let slice: u32 = connection
                .prepare_cached(self.next_slice)?
                .query_row([], |row| row.get(0))?;
            let hashes = hashes_of(slice);
            let new: u64 = connection
                .prepare_cached(self.count_new)?
                .query_row(hashes, |row| row.get(0))?;
            if new < KEY_INDEX_SLICE_NEW_MAX && !self.has_too_many_new(connection)? {
                return Ok(());
            }
            self.merge_hashes(connection, hashes)?;
            connection
                .prepare_cached(self.slice_merged)?
                .execute([(slice + 1) % KEY_INDEX_SLICES])?;
        }
    }

    fn has_too_many_new(&self, connection: &Connection) -> Result<bool, StoreError> {
        let new: u64 = connection
            .prepare_cached(self.count_all_new)?
            .query_row([], |row| row.get(0))?;
        Ok(new >= KEY_INDEX_NEW_MAX)
    }

    /// Merges what is new into the table, so that all of it is there.
    pub(crate) fn merge(&self, connection: &Connection) -> Result<(), StoreError> {
        self.merge_hashes(connection, [i64::MIN, i64::MAX])
    }

    fn merge_hashes(
        &self,
        connection: &Connection,
        first_and_last: [i64; 2],
    ) -> Result<(), StoreError> {
        connection
            .prepare_cached(self.merge)?
            .execute(first_and_last)?;
        connection
            .prepare_cached(self.clear_new)?
            .execute(first_and_last)?;
        Ok(())
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
}

/// The first and the last hash of a slice.
fn hashes_of(slice: u32) -> [i64; 2] {
    let hashes_per_slice = (u64::MAX / u64::from(KEY_INDEX_SLICES)) + 1;
    let first = i64::MIN.wrapping_add_unsigned(hashes_per_slice.wrapping_mul(slice.into()));
    [first, first.wrapping_add_unsigned(hashes_per_slice - 1)]
}

/// A [`KeyIndex`] that is asked.
pub(crate) struct KeyFinder<'a> {
    statement: CachedStatement<'a>,
}

impl KeyFinder<'_> {
    /// See [`KeyIndex::find`].
    pub(crate) fn find(&mut self, hash: i64) -> Result<Vec<i64>, StoreError> {
        let mut rows = self.statement.query([hash])?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next()? {
            ids.push(row.get(0)?);
        }
        Ok(ids)
    }
}

/// A [`KeyIndex`] that is added to.
pub(crate) struct KeyAdder<'a> {
    statement: CachedStatement<'a>,
}

impl KeyAdder<'_> {
    /// See [`KeyIndex::insert`].
    pub(crate) fn insert(&mut self, hash: i64, id: i64) -> Result<(), StoreError> {
        self.statement.execute([hash, id])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: KeyIndex = key_index!("things_key");

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE things_key (hash INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (hash, id))
                 STRICT, WITHOUT ROWID",
            )
            .unwrap();
        KEYS.begin(&connection).unwrap();
        connection
    }

    fn in_table(connection: &Connection) -> u64 {
        connection
            .query_row("SELECT count(*) FROM things_key", [], |row| row.get(0))
            .unwrap()
    }

    /// In memory or in the table, merged in this transaction or before: each is found, what is undone is not.
    #[test]
    fn what_is_added_is_found_wherever_it_lies_and_what_is_rolled_back_is_gone() {
        let connection = database();
        let hash = |n: i64| key_hash(&[&n.to_le_bytes()]);
        // Some slices get more than others.
        let in_memory_max = u64::from(KEY_INDEX_SLICES) * KEY_INDEX_SLICE_NEW_MAX * 9 / 8;
        let rows = in_memory_max as i64;
        let add = |from: i64| {
            for n in from..from + rows {
                KEYS.insert(&connection, hash(n), n).unwrap();
                if n % 1_000 == 0 {
                    KEYS.merge_where_full(&connection).unwrap();
                }
            }
            KEYS.merge_where_full(&connection).unwrap();
        };
        connection.execute_batch("BEGIN").unwrap();
        add(0);
        connection.execute_batch("COMMIT").unwrap();
        let merged = in_table(&connection);
        assert!(merged >= KEY_INDEX_SLICE_NEW_MAX, "{merged}");
        let in_memory = rows as u64 - merged;
        assert!(in_memory < in_memory_max, "{in_memory}");

        connection.execute_batch("BEGIN").unwrap();
        add(rows);
        let in_memory = 2 * rows as u64 - in_table(&connection);
        assert!(
            in_memory < in_memory_max,
            "{in_memory} wait for their slice"
        );
        assert_eq!(KEYS.find(&connection, hash(rows)).unwrap(), [rows]);
        connection.execute_batch("ROLLBACK").unwrap();

        assert_eq!(in_table(&connection), merged);
        for n in 0..2 * rows {
            let expected: &[i64] = if n < rows { &[n] } else { &[] };
            assert_eq!(KEYS.find(&connection, hash(n)).unwrap(), expected, "{n}");
        }
    }

    /// Whoever asks chooses keys, and can try them out until their hashes lie where he wants them.
    #[test]
    fn keys_that_are_chosen_to_lie_in_one_slice_do_not_stay_in_memory() {
        let connection = database();
        let in_last_slice = |n: i64| i64::MAX - n;
        let rows = KEY_INDEX_NEW_MAX as i64 * 2;
        connection.execute_batch("BEGIN").unwrap();
        for n in 0..rows {
            KEYS.insert(&connection, in_last_slice(n), n).unwrap();
            if n % 1_000 == 0 {
                KEYS.merge_where_full(&connection).unwrap();
            }
        }
        connection.execute_batch("COMMIT").unwrap();
        let in_memory = rows as u64 - in_table(&connection);
        assert!(in_memory < KEY_INDEX_NEW_MAX + 1_000, "{in_memory}");
        for n in [0, rows / 2, rows - 1] {
            let found = KEYS.find(&connection, in_last_slice(n)).unwrap();
            assert_eq!(found, [n]);
        }
    }

    #[test]
    fn two_rows_of_one_hash_are_both_found_and_taken_out_one_by_one() {
        let connection = database();
        KEYS.insert(&connection, 7, 1).unwrap();
        KEYS.merge(&connection).unwrap();
        KEYS.insert(&connection, 7, 2).unwrap();
        assert_eq!(KEYS.find(&connection, 7).unwrap(), [2, 1]);
        // What was added when the file was opened and is there.
        assert!(!KEYS.ensure(&connection, 7, 1).unwrap());
        assert!(!KEYS.ensure(&connection, 7, 2).unwrap());
        KEYS.remove(&connection, 7, 1).unwrap();
        assert_eq!(KEYS.find(&connection, 7).unwrap(), [2]);
        KEYS.remove(&connection, 7, 2).unwrap();
        assert_eq!(KEYS.find(&connection, 7).unwrap(), [0_i64; 0]);
        assert!(KEYS.ensure(&connection, 7, 1).unwrap());
        assert_eq!(KEYS.find(&connection, 7).unwrap(), [1]);
    }

    #[test]
    fn an_older_files_rows_are_entered_in_the_order_of_the_index() {
        let connection = database();
        let rows = (0..5_000_i64).map(|n| Ok((key_hash(&[&n.to_le_bytes()]), n)));
        KEYS.fill(&connection, rows).unwrap();
        assert_eq!(in_table(&connection), 5_000);
        assert_eq!(
            KEYS.find(&connection, key_hash(&[&42_i64.to_le_bytes()]))
                .unwrap(),
            [42]
        );
    }
}
