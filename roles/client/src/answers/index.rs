//! The way from a request's key to what was answered.

use rusqlite::Connection;

use super::Asked;
use super::row::{StoredAnswer, Table, answers_of};
use crate::store::{KeyHashes, KeyIndex, StoreError, key_hash, key_index};

/// Over both tables: an entry's id is a [`place`].
pub(crate) static KEYS: KeyIndex = key_index!("answer_key");

/// A row of either table, as the index names it: the lowest bit says which.
pub(super) fn place(table: Table, row_id: i64) -> i64 {
    let bit = match table {
        Table::Effect => 0,
        Table::Given => 1,
    };
    row_id << 1 | bit
}

/// What a [`place`] stands for.
pub(super) fn table_and_row(place: i64) -> (Table, i64) {
    let table = match place & 1 {
        0 => Table::Effect,
        _ => Table::Given,
    };
    (table, place >> 1)
}

pub(super) fn hash(extension: u16, key: &[u8]) -> i64 {
    key_hash(&[&extension.to_le_bytes(), key])
}

/// What requests with these keys are looked up and recorded by: the [`hash`] of each.
pub(crate) fn key_hashes<'k>(extension: u16, keys: impl IntoIterator<Item = &'k [u8]>) -> Vec<i64> {
    let mut hashes = KeyHashes::default();
    for key in keys {
        hashes.add(&[&extension.to_le_bytes(), key]);
    }
    hashes.finish()
}

/// Where a further answer lies that a peer was given under a key which has an effect, or another answer to that peer, already: a
/// conflict. Of these a peer can have any number under one key, so they are looked for by what was asked alone.
pub(super) fn hash_of_further(asked: &Asked<'_>) -> i64 {
    let extension = asked.extension.to_le_bytes();
    key_hash(&[&extension, asked.key, asked.peer.as_bytes(), asked.content])
}

/// Enters the rows of an older version, which had an index of its own for each table.
pub(crate) fn index_all(connection: &Connection) -> Result<(), StoreError> {
    for table in Table::BOTH {
        let mut rows = connection.prepare(&answers_of(table))?;
        let rows = rows.query_map([], |row| {
            let stored = StoredAnswer::read(row)?;
            let row_id = row.get(StoredAnswer::COLUMNS)?;
            Ok((hash(stored.extension, &stored.key), place(table, row_id)))
        })?;
        KEYS.fill(connection, rows.map(|row| Ok(row?)))?;
    }
    Ok(())
}
