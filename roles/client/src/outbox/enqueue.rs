//! How requests are written down.

use rusqlite::{Connection, OptionalExtension, params};

use super::row::Content;
use super::{Enqueued, NewRequest, WAITING};
use crate::limits::{BODY_BYTES_MAX, KEY_BYTES_MAX};
use crate::store::StoreError;

/// Writes a request down, once: the same key with the same content changes nothing.
///
/// # Errors
/// [`StoreError::Conflict`] when the key is there with another message type or body;
/// [`StoreError::Aborted`] when key or body are over their bounds.
pub fn enqueue(
    connection: &Connection,
    request: &NewRequest<'_>,
    now_unix_ms: u64,
) -> Result<Enqueued, StoreError> {
    let mut numbers = Numbers::read(connection, request)?;
    let enqueued = insert(connection, request, &mut numbers, now_unix_ms)?;
    numbers.write(connection, request)?;
    Ok(enqueued)
}

/// [`enqueue`] for many: one outcome each, in their order. What is counted for a peer is written once for those of its
/// requests that stand side by side.
///
/// # Errors
/// Those of [`enqueue`], for the first that has one; of the requests before it nothing is known then, and the caller's
/// transaction is to be rolled back.
pub fn enqueue_all(
    connection: &Connection,
    requests: &[NewRequest<'_>],
    now_unix_ms: u64,
) -> Result<Vec<Enqueued>, StoreError> {
    let mut all = Vec::with_capacity(requests.len());
    for same_peer in requests.chunk_by(|a, b| (a.peer, a.extension) == (b.peer, b.extension)) {
        let Some(first) = same_peer.first() else {
            continue;
        };
        let mut numbers = Numbers::read(connection, first)?;
        for request in same_peer {
            all.push(insert(connection, request, &mut numbers, now_unix_ms)?);
        }
        numbers.write(connection, first)?;
    }
    Ok(all)
}

/// The numbers that are given out to the requests to one peer.
struct Numbers {
    last_sequence: u64,
    new: u64,
}

impl Numbers {
    fn read(connection: &Connection, to: &NewRequest<'_>) -> Result<Numbers, StoreError> {
        let last_sequence = connection
            .prepare_cached(
                "SELECT last_sequence FROM outbox_peer WHERE peer = ?1 AND extension = ?2",
            )?
            .query_row(params![to.peer, to.extension], |row| row.get(0))
            .optional()?;
        Ok(Numbers {
            last_sequence: last_sequence.unwrap_or(0),
            new: 0,
        })
    }

    fn write(&self, connection: &Connection, to: &NewRequest<'_>) -> Result<(), StoreError> {
        if self.new == 0 {
            return Ok(());
        }
        connection
            .prepare_cached(
                // What was once compared since the start may be sent from the moment it is written.
                "INSERT INTO outbox_peer (peer, extension, last_sequence, waiting, parked)
                 VALUES (?1, ?2, ?3, ?4, 0)
                 ON CONFLICT (peer, extension) DO UPDATE
                 SET last_sequence = excluded.last_sequence, waiting = waiting + excluded.waiting,
                     sendable = CASE WHEN is_compared THEN excluded.last_sequence
                                     ELSE sendable END",
            )?
            .execute(params![to.peer, to.extension, self.last_sequence, self.new])?;
        Ok(())
    }
}

fn insert(
    connection: &Connection,
    request: &NewRequest<'_>,
    numbers: &mut Numbers,
    now_unix_ms: u64,
) -> Result<Enqueued, StoreError> {
    check_bounds(request)?;
    let sequence = numbers.last_sequence + 1;
    let content = Content {
        peer: request.peer,
        extension: request.extension,
        sequence,
        key: request.key,
        msg_type: request.msg_type,
        body: request.body,
        created_unix_ms: now_unix_ms,
        answer: None,
    };
    let inserted = connection
        .prepare_cached(
            "INSERT INTO outbox
             (peer, extension, sequence, key, msg_type, body, state, created_unix_ms, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8)
             ON CONFLICT (peer, extension, key) DO NOTHING",
        )?
        .execute(params![
            request.peer,
            request.extension,
            sequence,
            request.key,
            request.msg_type,
            request.body,
            now_unix_ms,
            content.checksum(WAITING)
        ])?;
    if inserted == 1 {
        numbers.last_sequence = sequence;
        numbers.new += 1;
        return Ok(Enqueued::New);
    }
    match is_same(connection, request)? {
        true => Ok(Enqueued::AlreadyThere),
        false => Err(StoreError::Conflict {
            table: "outbox",
            peer: request.peer.to_owned(),
            key_hex: hex::encode(request.key),
        }),
    }
}

/// Whether the request that lies there under the key says the same.
fn is_same(connection: &Connection, request: &NewRequest<'_>) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT msg_type = ?4 AND body = ?5 FROM outbox
             WHERE peer = ?1 AND extension = ?2 AND key = ?3",
        )?
        .query_row(
            params![
                request.peer,
                request.extension,
                request.key,
                request.msg_type,
                request.body
            ],
            |row| row.get(0),
        )?)
}

fn check_bounds(request: &NewRequest<'_>) -> Result<(), StoreError> {
    if request.key.is_empty() || request.key.len() > KEY_BYTES_MAX {
        return Err(StoreError::Aborted {
            reason: format!(
                "a request's key has {} bytes, 1 to {KEY_BYTES_MAX} are allowed",
                request.key.len()
            ),
        });
    }
    if request.body.len() > BODY_BYTES_MAX {
        return Err(StoreError::Aborted {
            reason: format!(
                "a request's body has {} bytes, at most {BODY_BYTES_MAX} are allowed",
                request.body.len()
            ),
        });
    }
    Ok(())
}
