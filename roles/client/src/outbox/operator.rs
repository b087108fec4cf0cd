//! What the operator asks of an outbox: where a request stands, what is parked, send it again, give
//! it up.

use rusqlite::{Connection, Row, params};

use super::place::{Place, sequence_of};
use super::row::StoredRow;
use super::{blocks, keys, set_back, spent};
use crate::store::StoreError;

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// It has no answer yet.
    Waiting,
    /// The effect of its answer is recorded.
    Answered,
    /// Put aside until the operator releases it.
    Parked,
}

/// A request that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedRequest {
    /// See [`StoredRequest::sequence`](super::StoredRequest::sequence).
    pub sequence: u64,
    /// See [`NewRequest::key`](super::NewRequest::key).
    pub key: Vec<u8>,
    /// When it was parked.
    pub parked_unix_ms: u64,
    /// Why.
    pub error: String,
}

/// Where the request with this key stands; `None` where there is none (any more).
pub fn state_of(
    connection: &Connection,
    peer: &str,
    extension: u16,
    key: &[u8],
) -> Result<Option<RequestState>, StoreError> {
    let Some(place) = Place::find(connection, peer, extension)? else {
        return Ok(None);
    };
    let row = StoredRow::by_key(connection, &place, key)?;
    Ok(row.map(|row| row.state()))
}

/// Up to `rows_max` parked requests with numbers above `after_sequence`, the oldest first.
pub fn parked_page(
    connection: &Connection,
    peer: &str,
    extension: u16,
    after_sequence: u64,
    rows_max: usize,
) -> Result<Vec<ParkedRequest>, StoreError> {
    let Some(place) = Place::find(connection, peer, extension)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(
        "SELECT id, key, parked_unix_ms, error FROM outbox
         WHERE is_parked = 1 AND id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
    )?;
    let rows = statement.query_map(
        params![place.id(after_sequence), place.last_id(), rows_max],
        |row: &Row<'_>| {
            Ok(ParkedRequest {
                sequence: sequence_of(row.get(0)?),
                key: row.get(1)?,
                parked_unix_ms: row.get(2)?,
                error: row.get(3)?,
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Why the request with this key is parked; `None` where it is not.
pub fn parked_error(
    connection: &Connection,
    peer: &str,
    extension: u16,
    key: &[u8],
) -> Result<Option<String>, StoreError> {
    let Some(place) = Place::find(connection, peer, extension)? else {
        return Ok(None);
    };
    let Some(id) = keys::find_parked(connection, &place, key)? else {
        return Ok(None);
    };
    let error: Option<String> = connection
        .prepare_cached("SELECT error FROM outbox WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?;
    Ok(Some(error.unwrap_or_default()))
}

/// The operator's word that a parked request is to be sent again. False where it is not parked.
/// The requester finds it within seconds.
pub fn release(
    connection: &Connection,
    peer: &str,
    extension: u16,
    key: &[u8],
) -> Result<bool, StoreError> {
    let Some((_, row)) = parked(connection, peer, extension, key)? else {
        return Ok(false);
    };
    connection
        .prepare_cached(
            "UPDATE outbox SET is_parked = 0, parked_unix_ms = NULL, error = NULL, checksum = ?2
             WHERE id = ?1",
        )?
        .execute(params![row.id, row.checksum_when(false)])?;
    // It waits, also where its answer is what is damaged.
    row.ask_again(connection, true)?;
    blocks::change(connection, row.id, 1)?;
    connection
        .prepare_cached(
            "UPDATE outbox_peer SET waiting = waiting + 1, parked = parked - 1
             WHERE peer = ?1 AND extension = ?2",
        )?
        .execute(params![peer, extension])?;
    Ok(true)
}

/// The operator's word that a parked request is given up. False where it is not parked. Its key
/// counts as new from then on. One that was asked again although the effect of its answer is
/// recorded is answered as before.
///
/// The role's own record of it changes when the requester for that peer takes note, in the
/// transaction that forgets the request for good: within seconds, or once the role is started.
pub fn discard(
    connection: &Connection,
    peer: &str,
    extension: u16,
    key: &[u8],
) -> Result<bool, StoreError> {
    let Some((place, row)) = parked(connection, peer, extension, key)? else {
        return Ok(false);
    };
    if !set_back::keep_answer(connection, &row)? {
        move_out(connection, &place, &row)?;
    }
    connection
        .prepare_cached(
            "UPDATE outbox_peer SET parked = parked - 1 WHERE peer = ?1 AND extension = ?2",
        )?
        .execute(params![peer, extension])?;
    Ok(true)
}

fn parked<'a>(
    connection: &Connection,
    peer: &'a str,
    extension: u16,
    key: &[u8],
) -> Result<Option<(Place<'a>, StoredRow<'a>)>, StoreError> {
    let Some(place) = Place::find(connection, peer, extension)? else {
        return Ok(None);
    };
    let Some(id) = keys::find_parked(connection, &place, key)? else {
        return Ok(None);
    };
    let row = StoredRow::by_id(connection, &place, id)?;
    Ok(row.map(|row| (place, row)))
}

fn move_out(
    connection: &Connection,
    place: &Place<'_>,
    row: &StoredRow<'_>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO outbox_discarded (peer, extension, key, msg_type, body, error)
             SELECT ?2, ?3, key, msg_type, body, coalesce(error, '') FROM outbox WHERE id = ?1",
        )?
        .execute(params![row.id, place.peer, place.extension])?;
    keys::Removing::new(connection)?.remove(place, &row.key, row.id)?;
    spent::delete_row(connection, row.id)
}
