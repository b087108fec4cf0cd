//! How requests are written down.

use rusqlite::{CachedStatement, Connection, params};

use super::blocks::Changes;
use super::keys::{self, Keys};
use super::place::{Place, SEQUENCE_MAX};
use super::row::{Content, StoredRow};
use super::{Checksum, Enqueued, NewRequest};
use crate::limits::{BODY_BYTES_MAX, KEY_BYTES_MAX, ROWS_HASHED_TOGETHER_MAX};
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
    check_bounds(request)?;
    let mut enqueuing = Enqueuing::new(connection, request, now_unix_ms)?;
    let key_hash = keys::hash(&enqueuing.place, request.key);
    let enqueued = enqueuing.insert(request, key_hash, None)?;
    enqueuing.finish()?;
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
        let mut enqueuing = Enqueuing::new(connection, first, now_unix_ms)?;
        for some in same_peer.chunks(ROWS_HASHED_TOGETHER_MAX) {
            enqueuing.insert_all(some, &mut all)?;
        }
        enqueuing.finish()?;
    }
    Ok(all)
}

/// Requests to one peer that are being written.
struct Enqueuing<'a> {
    connection: &'a Connection,
    place: Place<'a>,
    now_unix_ms: u64,
    /// The highest number that was given out before.
    before: u64,
    last_sequence: u64,
    blocks: Changes,
    keys: Keys<'a>,
    insert: CachedStatement<'a>,
}

impl<'a> Enqueuing<'a> {
    fn new(
        connection: &'a Connection,
        to: &NewRequest<'a>,
        now_unix_ms: u64,
    ) -> Result<Enqueuing<'a>, StoreError> {
        let place = Place::find_or_make(connection, to.peer, to.extension)?;
        let last_sequence = connection
            .prepare_cached(
                "SELECT last_sequence FROM outbox_peer WHERE peer = ?1 AND extension = ?2",
            )?
            .query_row(params![to.peer, to.extension], |row| row.get(0))?;
        Ok(Enqueuing {
            connection,
            place,
            now_unix_ms,
            before: last_sequence,
            last_sequence,
            blocks: Changes::default(),
            keys: Keys::new(connection)?,
            insert: connection.prepare_cached(
                "INSERT INTO outbox (id, key, msg_type, body, created_unix_ms, checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
        })
    }

    /// Writes those down that are not there yet, up to the first one with an error. What is hashed of them is hashed
    /// together, with the numbers that they get if all of them are new.
    fn insert_all(
        &mut self,
        requests: &[NewRequest<'_>],
        all: &mut Vec<Enqueued>,
    ) -> Result<(), StoreError> {
        let are_within_bounds = requests.iter().map(check_bounds);
        let within_bounds = are_within_bounds.take_while(Result::is_ok).count();
        let (requests, over) = requests.split_at(within_bounds);
        let keys = requests.iter().map(|request| request.key);
        let key_hashes = keys::hashes(&self.place, keys);
        let sequences = self.last_sequence + 1..;
        let contents = requests.iter().zip(sequences.clone());
        let contents = contents.map(|(request, sequence)| self.content(request, sequence));
        let foreseen = sequences.zip(Content::checksums(contents));
        for ((request, key_hash), foreseen) in requests.iter().zip(key_hashes).zip(foreseen) {
            all.push(self.insert(request, key_hash, Some(foreseen))?);
        }
        over.first().map_or(Ok(()), check_bounds)
    }

    /// `foreseen` is the checksum that the request has with this number.
    fn insert(
        &mut self,
        request: &NewRequest<'_>,
        key_hash: i64,
        foreseen: Option<(u64, Checksum)>,
    ) -> Result<Enqueued, StoreError> {
        if let Some(id) = self.keys.find(&self.place, request.key, key_hash)? {
            return self.there_is(request, id);
        }
        let sequence = self.last_sequence + 1;
        if sequence > SEQUENCE_MAX {
            return Err(StoreError::Aborted {
                reason: format!("no request can have the number {sequence}"),
            });
        }
        let checksum = match foreseen {
            Some((number, checksum)) if number == sequence => checksum,
            // One that was there already took no number.
            _ => self.content(request, sequence).checksum(false),
        };
        let id = self.place.id(sequence);
        self.insert.execute(params![
            id,
            request.key,
            request.msg_type,
            request.body,
            self.now_unix_ms,
            checksum
        ])?;
        self.keys.add(key_hash, id)?;
        self.blocks.add(id, 1);
        self.last_sequence = sequence;
        Ok(Enqueued::New)
    }

    fn content<'r>(&self, request: &NewRequest<'r>, sequence: u64) -> Content<'r> {
        Content {
            peer: request.peer,
            extension: request.extension,
            sequence,
            key: request.key,
            msg_type: request.msg_type,
            body: request.body,
            created_unix_ms: self.now_unix_ms,
        }
    }

    /// A request with this key lies there: does it say the same?
    fn there_is(&self, request: &NewRequest<'_>, id: i64) -> Result<Enqueued, StoreError> {
        let row = StoredRow::by_id(self.connection, &self.place, id)?;
        match row.is_some_and(|row| row.says(request.msg_type, request.body)) {
            true => Ok(Enqueued::AlreadyThere),
            false => Err(StoreError::Conflict {
                table: "outbox",
                peer: request.peer.to_owned(),
                key_hex: hex::encode(request.key),
            }),
        }
    }

    /// Writes down what is counted.
    fn finish(mut self) -> Result<(), StoreError> {
        if self.last_sequence == self.before {
            return Ok(());
        }
        self.blocks.write(self.connection)?;
        self.connection
            .prepare_cached(
                // What was once compared since the start may be sent from the moment it is written.
                "UPDATE outbox_peer
                 SET last_sequence = ?3, waiting = waiting + ?4,
                     sendable = CASE WHEN is_compared THEN ?3 ELSE sendable END
                 WHERE peer = ?1 AND extension = ?2",
            )?
            .execute(params![
                self.place.peer,
                self.place.extension,
                self.last_sequence,
                self.last_sequence - self.before
            ])?;
        Ok(())
    }
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
