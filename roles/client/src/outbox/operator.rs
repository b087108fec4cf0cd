//! What the operator asks of an outbox: where a request stands, what is parked, send it again, give
//! it up.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::StoredRow;
use super::{ANSWERED, PARKED, WAITING, set_back};
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
    let state = connection
        .prepare_cached("SELECT state FROM outbox WHERE peer = ?1 AND extension = ?2 AND key = ?3")?
        .query_row(params![peer, extension, key], |row| row.get::<_, u8>(0))
        .optional()?;
    match state {
        None => Ok(None),
        Some(WAITING) => Ok(Some(RequestState::Waiting)),
        Some(ANSWERED) => Ok(Some(RequestState::Answered)),
        Some(PARKED) => Ok(Some(RequestState::Parked)),
        Some(other) => Err(StoreError::Corrupt {
            table: "outbox",
            detail: format!("state {other}"),
        }),
    }
}

/// Up to `rows_max` parked requests with numbers above `after_sequence`, the oldest first.
pub fn parked_page(
    connection: &Connection,
    peer: &str,
    extension: u16,
    after_sequence: u64,
    rows_max: usize,
) -> Result<Vec<ParkedRequest>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, key, ended_unix_ms, error FROM outbox
         WHERE peer = ?1 AND extension = ?2 AND state = 2 AND sequence > ?3
         ORDER BY sequence LIMIT ?4",
    )?;
    let rows = statement.query_map(
        params![peer, extension, after_sequence, rows_max],
        |row: &Row<'_>| {
            Ok(ParkedRequest {
                sequence: row.get(0)?,
                key: row.get(1)?,
                parked_unix_ms: row.get(2)?,
                error: row.get(3)?,
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The operator's word that a parked request is to be sent again. False where it is not parked.
/// The requester finds it within seconds.
pub fn release(
    connection: &Connection,
    peer: &str,
    extension: u16,
    key: &[u8],
) -> Result<bool, StoreError> {
    let found = StoredRow::find(connection, peer, extension, key)?;
    let Some(row) = found.filter(|row| row.state == PARKED) else {
        return Ok(false);
    };
    connection
        .prepare_cached(
            "UPDATE outbox SET state = 0, ended_unix_ms = NULL, error = NULL, checksum = ?2
             WHERE id = ?1",
        )?
        .execute(params![row.id, row.checksum_in(WAITING)])?;
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
    let found = StoredRow::find(connection, peer, extension, key)?;
    let Some(row) = found.filter(|row| row.state == PARKED) else {
        return Ok(false);
    };
    if !set_back::keep_answer(connection, &row)? {
        move_out(connection, &row)?;
    }
    connection
        .prepare_cached(
            "UPDATE outbox_peer SET parked = parked - 1 WHERE peer = ?1 AND extension = ?2",
        )?
        .execute(params![peer, extension])?;
    Ok(true)
}

fn move_out(connection: &Connection, row: &StoredRow) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO outbox_discarded (peer, extension, key, msg_type, body, error)
             SELECT peer, extension, key, msg_type, body, coalesce(error, '') FROM outbox
             WHERE id = ?1",
        )?
        .execute([row.id])?;
    connection
        .prepare_cached("DELETE FROM outbox WHERE id = ?1")?
        .execute([row.id])?;
    Ok(())
}
