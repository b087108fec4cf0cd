//! The way from a key to its request.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::place::Place;
use crate::store::{
    KeyAdder, KeyFinder, KeyHashes, KeyIndex, KeyRemover, StoreError, key_hash, key_index,
};

pub(crate) static KEYS: KeyIndex = key_index!("outbox_key");

/// What a key is found by.
pub(super) fn hash(place: &Place<'_>, key: &[u8]) -> i64 {
    key_hash(&[place.peer.as_bytes(), &place.extension.to_le_bytes(), key])
}

/// [`hash`] of many keys, in their order.
pub(super) fn hashes<'k>(place: &Place<'_>, keys: impl IntoIterator<Item = &'k [u8]>) -> Vec<i64> {
    let mut hashes = KeyHashes::default();
    for key in keys {
        hashes.add(&[place.peer.as_bytes(), &place.extension.to_le_bytes(), key]);
    }
    hashes.finish()
}

/// To be called when the file was opened, before each row is [`ensure`]d: nothing is known but what the file holds.
pub(super) fn begin(connection: &Connection) -> Result<(), StoreError> {
    KEYS.begin(connection)
}

/// Has a row that is there be found.
pub(super) fn ensure(
    connection: &Connection,
    place: &Place<'_>,
    key: &[u8],
    id: i64,
) -> Result<bool, StoreError> {
    KEYS.ensure(connection, hash(place, key), id)
}

/// Adds a row of an older file.
pub(super) fn add(
    connection: &Connection,
    place: &Place<'_>,
    key: &[u8],
    id: i64,
) -> Result<(), StoreError> {
    KEYS.ensure(connection, hash(place, key), id)?;
    Ok(())
}

/// The index as who enqueues uses it, on the role's writer alone.
pub(super) struct Keys<'a> {
    finder: KeyFinder<'a>,
    adder: KeyAdder<'a>,
    has_key: CachedStatement<'a>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(connection: &'a Connection) -> Result<Keys<'a>, StoreError> {
        Ok(Keys {
            adder: KEYS.adder(connection),
            finder: KEYS.finder(connection)?,
            has_key: connection.prepare_cached(HAS_KEY)?,
        })
    }

    /// The id of the request with this key; `hash` is the key's, of [`hashes`].
    pub(super) fn find(
        &mut self,
        place: &Place<'_>,
        key: &[u8],
        hash: i64,
    ) -> Result<Option<i64>, StoreError> {
        for id in self.finder.find(hash)? {
            if place.holds(id) && self.has_key.exists(params![id, key])? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Adds the row with the key that was not found by `hash`.
    pub(super) fn add(&mut self, hash: i64, id: i64) -> Result<(), StoreError> {
        self.adder.insert(hash, id)
    }
}

const HAS_KEY: &str = "SELECT 1 FROM outbox WHERE id = ?1 AND key = ?2";

/// To be called every thousand rows while the file is opened.
pub(super) fn merge_while_opening(connection: &Connection) -> Result<(), StoreError> {
    KEYS.merge_while_opening(connection)
}

/// Has the file hold all that is known.
pub(super) fn merge(connection: &Connection) -> Result<(), StoreError> {
    KEYS.merge(connection)
}

/// The index as who deletes uses it, on whatever connection.
pub(super) struct Removing<'a>(KeyRemover<'a>);

impl<'a> Removing<'a> {
    pub(super) fn new(connection: &'a Connection) -> Result<Removing<'a>, StoreError> {
        Ok(Removing(KEYS.remover(connection)?))
    }

    /// Takes a row out. One that was deleted by another process than the role's stays in the role's memory, and names a
    /// row that is not there.
    pub(super) fn remove(
        &mut self,
        place: &Place<'_>,
        key: &[u8],
        id: i64,
    ) -> Result<(), StoreError> {
        self.0.remove(hash(place, key), id)
    }
}

/// The id of the request with this key.
pub(super) fn find(
    connection: &Connection,
    place: &Place<'_>,
    key: &[u8],
) -> Result<Option<i64>, StoreError> {
    if !KEYS.is_begun(connection)? {
        return look_for(connection, place, key);
    }
    let mut has_key = connection.prepare_cached(HAS_KEY)?;
    for id in KEYS.find(connection, hash(place, key))? {
        if place.holds(id) && has_key.exists(params![id, key])? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// On another connection than the role's writer, which does not see what is new: parked ones have an index that is
/// whole, of others all are looked through, the newest first.
fn look_for(
    connection: &Connection,
    place: &Place<'_>,
    key: &[u8],
) -> Result<Option<i64>, StoreError> {
    if let Some(parked) = find_parked(connection, place, key)? {
        return Ok(Some(parked));
    }
    Ok(connection
        .prepare_cached(
            "SELECT id FROM outbox WHERE id > ?1 AND id <= ?2 AND key = ?3 ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![place.id(0), place.last_id(), key], |row| row.get(0))
        .optional()?)
}

/// The id of the request with this key, where it is parked: on whatever connection.
pub(super) fn find_parked(
    connection: &Connection,
    place: &Place<'_>,
    key: &[u8],
) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT id FROM outbox INDEXED BY outbox_parked_key
             WHERE is_parked = 1 AND key = ?3 AND id > ?1 AND id <= ?2",
        )?
        .query_row(params![place.id(0), place.last_id(), key], |row| row.get(0))
        .optional()?)
}
