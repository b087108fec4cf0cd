//! The requester's side of delivery on disk: what was asked and has no answer yet.
//!
//! A request is written in the transaction that makes it necessary and leaves the state
//! [`RequestState::Waiting`] in the transaction that records its answer's effect. All functions
//! run inside a [`Store::write`](crate::Store::write) or [`Store::read`](crate::Store::read) of
//! their caller.

mod discarded;
mod ended;
mod enqueue;
mod file;
mod operator;
mod row;
mod set_back;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::limits::ANNOUNCED_TOPICS_MAX;
#[cfg(doc)]
use crate::limits::{BODY_BYTES_MAX, KEY_BYTES_MAX};
use crate::store::{Schema, StoreError};
use row::Content;

pub(crate) use discarded::{Discarded, discarded_page, forget_discarded};
pub(crate) use ended::Marking;
pub use ended::{Answered, RecordedAnswer, mark_answered, park};
pub use enqueue::{enqueue, enqueue_all};
pub use file::{OutboxFile, OutboxPeer, Shown, key_to_text};
pub use operator::{ParkedRequest, RequestState, discard, parked_page, release, state_of};
pub(crate) use row::{DAMAGED, check, seal_all};
pub use set_back::{
    Compared, SetBack, ask_again, compare, note_answers, numbers, process_started, set_backs,
};

/// The outbox's tables.
pub static OUTBOX_SCHEMA: Schema = Schema {
    name: "outbox",
    migrations: &[
        "
        CREATE TABLE outbox_peer (
            peer TEXT NOT NULL,
            extension INTEGER NOT NULL,
            last_sequence INTEGER NOT NULL,
            waiting INTEGER NOT NULL,
            parked INTEGER NOT NULL,
            PRIMARY KEY (peer, extension)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE outbox (
            id INTEGER PRIMARY KEY,
            peer TEXT NOT NULL,
            extension INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            key BLOB NOT NULL,
            msg_type INTEGER NOT NULL,
            body BLOB NOT NULL,
            state INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
            created_unix_ms INTEGER NOT NULL,
            last_sent_unix_ms INTEGER,
            attempts INTEGER NOT NULL DEFAULT 0,
            ended_unix_ms INTEGER,
            error TEXT
        ) STRICT;
        CREATE UNIQUE INDEX outbox_key ON outbox (peer, extension, key);
        CREATE INDEX outbox_waiting ON outbox (peer, extension, sequence) WHERE state = 0;
        CREATE INDEX outbox_answered ON outbox (ended_unix_ms) WHERE state = 1;
        CREATE INDEX outbox_parked ON outbox (peer, extension, sequence) WHERE state = 2;
        CREATE TABLE outbox_announcement (
            peer TEXT NOT NULL,
            extension INTEGER NOT NULL,
            topic TEXT NOT NULL,
            serial INTEGER NOT NULL,
            PRIMARY KEY (peer, extension, topic)
        ) STRICT, WITHOUT ROWID;
        ",
        "
        CREATE TABLE outbox_discarded (
            id INTEGER PRIMARY KEY,
            peer TEXT NOT NULL,
            extension INTEGER NOT NULL,
            key BLOB NOT NULL,
            msg_type INTEGER NOT NULL,
            body BLOB NOT NULL,
            error TEXT NOT NULL
        ) STRICT;
        ",
        // Filled by `seal_all`.
        "ALTER TABLE outbox ADD COLUMN checksum BLOB;",
        "
        ALTER TABLE outbox ADD COLUMN answer_sequence INTEGER;
        ALTER TABLE outbox ADD COLUMN answer_identity BLOB;
        CREATE INDEX outbox_answer ON outbox (peer, extension, answer_sequence)
            WHERE state = 1 AND answer_sequence IS NOT NULL;
        ALTER TABLE outbox_peer ADD COLUMN sendable INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE outbox_peer ADD COLUMN is_compared INTEGER NOT NULL DEFAULT 0;
        UPDATE outbox_peer SET sendable = last_sequence;
        CREATE TABLE outbox_heard (
            peer TEXT NOT NULL,
            extension INTEGER NOT NULL,
            answers INTEGER NOT NULL,
            checksum BLOB NOT NULL,
            PRIMARY KEY (peer, extension)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE outbox_ask_again (
            peer TEXT NOT NULL,
            extension INTEGER NOT NULL,
            above INTEGER NOT NULL,
            through INTEGER NOT NULL,
            PRIMARY KEY (peer, extension)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE outbox_set_back (
            peer TEXT NOT NULL,
            extension INTEGER NOT NULL,
            whose INTEGER NOT NULL CHECK (whose IN (0, 1)),
            had INTEGER NOT NULL,
            told INTEGER NOT NULL,
            noticed_unix_ms INTEGER NOT NULL,
            acknowledged_unix_ms INTEGER,
            PRIMARY KEY (peer, extension, whose)
        ) STRICT, WITHOUT ROWID;
        ",
    ],
};

pub(crate) const WAITING: u8 = 0;
pub(crate) const ANSWERED: u8 = 1;
pub(crate) const PARKED: u8 = 2;

/// A request to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewRequest<'a> {
    /// Who is asked, as `role/name`.
    pub peer: &'a str,
    /// The family, without the channel bit.
    pub extension: u16,
    /// The idempotency key, 1..=[`KEY_BYTES_MAX`] bytes; unique per peer and extension.
    pub key: &'a [u8],
    /// The message that asks.
    pub msg_type: u8,
    /// The message without channel id and authenticator, at most [`BODY_BYTES_MAX`] bytes. What
    /// is sent is always these bytes.
    pub body: &'a [u8],
}

/// What [`enqueue`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It is written, and will be sent.
    New,
    /// The same request was there: waiting, answered or parked.
    AlreadyThere,
}

/// A request that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRequest {
    /// Its number among those to this peer and extension, rising from 1.
    pub sequence: u64,
    /// See [`NewRequest::key`].
    pub key: Vec<u8>,
    /// See [`NewRequest::msg_type`].
    pub msg_type: u8,
    /// See [`NewRequest::body`].
    pub body: Vec<u8>,
    /// When it was enqueued.
    pub created_unix_ms: u64,
    /// How often it was sent, as far as that was noted ([`note_attempt`]).
    pub attempts: u32,
    /// The effect of an answer to it is recorded: it is asked again because its peer may have
    /// forgotten that answer.
    pub is_asked_again: bool,
    /// False where it is not what was once written: it must not be sent.
    pub is_whole: bool,
}

/// How much lies in the outbox for one peer and extension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Requests without an answer.
    pub waiting: u64,
    /// Requests that only the operator can bring back.
    pub parked: u64,
    /// When the oldest waiting one was enqueued.
    pub oldest_unix_ms: Option<u64>,
    /// The highest number given so far; 0 where none was.
    pub last_sequence: u64,
    /// This store was set back, and the operator has not acknowledged it.
    pub set_back: Option<SetBack>,
    /// The peer's store was, likewise.
    pub peer_set_back: Option<SetBack>,
}

/// Up to `rows_max` waiting requests with numbers above `after_sequence`, the oldest first.
pub fn waiting_page(
    connection: &Connection,
    peer: &str,
    extension: u16,
    after_sequence: u64,
    rows_max: usize,
) -> Result<Vec<StoredRequest>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, key, msg_type, body, created_unix_ms, attempts, checksum,
                answer_sequence, answer_identity FROM outbox
         WHERE peer = ?1 AND extension = ?2 AND state = 0 AND sequence > ?3
         ORDER BY sequence LIMIT ?4",
    )?;
    let rows = statement.query_map(
        params![peer, extension, after_sequence, rows_max],
        |row: &Row<'_>| {
            let mut stored = StoredRequest {
                sequence: row.get(0)?,
                key: row.get(1)?,
                msg_type: row.get(2)?,
                body: row.get(3)?,
                created_unix_ms: row.get(4)?,
                attempts: row.get(5)?,
                is_asked_again: false,
                is_whole: false,
            };
            let answer = row::StoredAnswer::read(row, 7)?;
            stored.is_asked_again = answer.is_some();
            let content = Content {
                peer,
                extension,
                sequence: stored.sequence,
                key: &stored.key,
                msg_type: stored.msg_type,
                body: &stored.body,
                created_unix_ms: stored.created_unix_ms,
                answer: answer.as_ref(),
            };
            let checksum: Option<Vec<u8>> = row.get(6)?;
            stored.is_whole = checksum.as_deref() == Some(&content.checksum(WAITING));
            Ok(stored)
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is known of a waiting request's attempts, for the operator: the requester writes it, about
/// once a second, where a request that was sent still waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptNote {
    /// See [`StoredRequest::sequence`].
    pub sequence: u64,
    /// How often it was sent since it was made.
    pub attempts: u32,
    /// When it was last sent.
    pub last_sent_unix_ms: u64,
    /// Why it was put off; `None` leaves what was noted before.
    pub error: Option<String>,
}

/// Writes a note beside a request that still waits.
pub fn note_attempt(
    connection: &Connection,
    peer: &str,
    extension: u16,
    note: &AttemptNote,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE outbox
             SET attempts = ?4, last_sent_unix_ms = ?5, error = coalesce(?6, error)
             -- One row at most: else SQLite would prepare to undo this statement alone.
             WHERE id = (SELECT id FROM outbox
                         WHERE peer = ?1 AND extension = ?2 AND sequence = ?3 AND state = 0
                         LIMIT 1)",
        )?
        .execute(params![
            peer,
            extension,
            note.sequence,
            note.attempts,
            note.last_sent_unix_ms,
            note.error
        ])?;
    Ok(())
}

/// How many requests wait, at the cost of one lookup.
pub fn waiting(connection: &Connection, peer: &str, extension: u16) -> Result<u64, StoreError> {
    let waiting = connection
        .prepare_cached("SELECT waiting FROM outbox_peer WHERE peer = ?1 AND extension = ?2")?
        .query_row(params![peer, extension], |row| row.get(0))
        .optional()?;
    Ok(waiting.unwrap_or(0))
}

/// How much waits, at the cost of three lookups.
pub fn backlog(connection: &Connection, peer: &str, extension: u16) -> Result<Backlog, StoreError> {
    let counted = connection
        .prepare_cached(
            "SELECT waiting, parked, last_sequence FROM outbox_peer
             WHERE peer = ?1 AND extension = ?2",
        )?
        .query_row(params![peer, extension], |row| {
            Ok(Backlog {
                waiting: row.get(0)?,
                parked: row.get(1)?,
                last_sequence: row.get(2)?,
                ..Backlog::default()
            })
        })
        .optional()?;
    let Some(mut backlog) = counted else {
        return Ok(Backlog::default());
    };
    backlog.oldest_unix_ms = connection
        .prepare_cached(
            "SELECT created_unix_ms FROM outbox
             WHERE peer = ?1 AND extension = ?2 AND state = 0 ORDER BY sequence LIMIT 1",
        )?
        .query_row(params![peer, extension], |row| row.get(0))
        .optional()?;
    [backlog.set_back, backlog.peer_set_back] = set_backs(connection, peer, extension)?;
    Ok(backlog)
}

/// Deletes at most `rows_max` requests that were answered before `before_unix_ms`, of all peers,
/// and says how many. Once a row is gone its key counts as new: whoever enqueues keeps its own
/// record of what it has asked for.
pub fn delete_answered(
    connection: &Connection,
    before_unix_ms: u64,
    rows_max: usize,
) -> Result<usize, StoreError> {
    Ok(connection
        .prepare_cached(
            "DELETE FROM outbox WHERE id IN (
                SELECT id FROM outbox WHERE state = 1 AND ended_unix_ms < ?1
                ORDER BY ended_unix_ms LIMIT ?2)",
        )?
        .execute(params![before_unix_ms, rows_max])?)
}

/// Takes note of an announcement's serial number. `topic` is what it is about (a unit, say): only
/// serials of one topic are compared, since all topics are announced anew on every channel. False
/// where a higher one was seen from this peer (the announcement is old), or where it would be one
/// topic more than [`ANNOUNCED_TOPICS_MAX`]: then it must have no effect.
pub fn admit_announcement(
    connection: &Connection,
    peer: &str,
    extension: u16,
    topic: &str,
    serial: u64,
) -> Result<bool, StoreError> {
    let changed = connection
        .prepare_cached(
            "INSERT INTO outbox_announcement (peer, extension, topic, serial)
             SELECT ?1, ?2, ?3, ?4
             WHERE (SELECT count(*) FROM outbox_announcement
                    WHERE peer = ?1 AND extension = ?2 AND topic <> ?3) < ?5
             ON CONFLICT (peer, extension, topic) DO UPDATE SET serial = excluded.serial
             WHERE excluded.serial >= serial",
        )?
        .execute(params![
            peer,
            extension,
            topic,
            serial,
            ANNOUNCED_TOPICS_MAX
        ])?;
    Ok(changed == 1)
}

#[cfg(test)]
mod tests;
