//! The requester's side of delivery on disk: what was asked and has no answer yet.
//!
//! A request is written in the transaction that makes it necessary and leaves the state
//! [`RequestState::Waiting`] in the transaction that records its answer's effect. All functions
//! run inside a [`Store::write`](crate::Store::write) or [`Store::read`](crate::Store::read) of
//! their caller.

mod blocks;
mod check;
mod discarded;
mod ended;
mod enqueue;
mod file;
mod keys;
mod older;
mod operator;
mod place;
mod row;
mod set_back;
mod spent;

use rusqlite::{Connection, OptionalExtension, params};

use crate::limits::ANNOUNCED_TOPICS_MAX;
#[cfg(doc)]
use crate::limits::{BODY_BYTES_MAX, KEY_BYTES_MAX};
use crate::store::{Schema, StoreError};
use place::Place;
use row::StoredRow;

pub(crate) use check::{DAMAGED, check};
pub(crate) use discarded::{Discarded, discarded_page, forget_discarded};
pub(crate) use ended::Marking;
pub use ended::{Answered, RecordedAnswer, mark_answered, park};
pub use enqueue::{enqueue, enqueue_all};
pub use file::{OutboxFile, OutboxPeer, Shown, key_to_text};
pub(crate) use keys::KEYS;
pub(crate) use older::{move_all, seal_all};
pub use operator::{
    ParkedRequest, RequestState, discard, parked_error, parked_page, release, state_of,
};
pub use set_back::{
    Compared, SetBack, ask_again, compare, note_answers, numbers, process_started, set_backs,
};
pub(crate) use set_back::{LEARNED, Late, OF_ANOTHER, asks_again, late_answer};
pub use spent::delete_answered;

/// The outbox's tables.
///
/// A row's id is its peer's number and its own (`Place`), so the requests to one peer lie in the order in which they
/// were made. What answers a request lies beside it, under the same id, and no row is changed for being answered:
/// both tables grow at their ends alone. Which rows have an answer, `outbox_block` says by the hundred.
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
        // Rows are moved over by `move_all`.
        "
        DROP INDEX outbox_key;
        DROP INDEX outbox_waiting;
        DROP INDEX outbox_answered;
        DROP INDEX outbox_parked;
        DROP INDEX outbox_answer;
        ALTER TABLE outbox RENAME TO outbox_older;
        CREATE TABLE outbox (
            id INTEGER PRIMARY KEY,
            key BLOB NOT NULL,
            msg_type INTEGER NOT NULL,
            body BLOB NOT NULL,
            created_unix_ms INTEGER NOT NULL,
            checksum BLOB NOT NULL,
            is_parked INTEGER NOT NULL DEFAULT 0 CHECK (is_parked IN (0, 1)),
            parked_unix_ms INTEGER,
            last_sent_unix_ms INTEGER,
            attempts INTEGER NOT NULL DEFAULT 0,
            error TEXT
        ) STRICT;
        CREATE INDEX outbox_parked ON outbox (id) WHERE is_parked = 1;
        CREATE INDEX outbox_parked_key ON outbox (key) WHERE is_parked = 1;
        CREATE TABLE outbox_answer (
            id INTEGER PRIMARY KEY,
            sequence INTEGER NOT NULL,
            identity BLOB NOT NULL,
            answered_unix_ms INTEGER NOT NULL,
            is_asked_again INTEGER NOT NULL DEFAULT 0 CHECK (is_asked_again IN (0, 1)),
            checksum BLOB NOT NULL
        ) STRICT;
        CREATE TABLE outbox_block (
            block INTEGER PRIMARY KEY,
            waiting INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE outbox_key (
            hash INTEGER NOT NULL,
            id INTEGER NOT NULL,
            PRIMARY KEY (hash, id)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE outbox_looked_through (
            only INTEGER PRIMARY KEY CHECK (only = 0),
            after_id INTEGER NOT NULL
        ) STRICT;
        ALTER TABLE outbox_ask_again ADD COLUMN after_id INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE outbox_peer ADD COLUMN number INTEGER;
        ALTER TABLE outbox_peer ADD COLUMN checksum BLOB;
        ",
        "DROP TABLE outbox_older;",
    ],
};

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

/// See `row_checksum`.
pub(crate) type Checksum = [u8; 16];

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
    /// What lies beside it.
    pub(crate) checksum: Checksum,
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
    let Some(place) = Place::find(connection, peer, extension)? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(&blocks::waiting_rows(row::COLUMNS))?;
    let mut rows = statement.query(params![place.id(after_sequence), place.last_id(), rows_max])?;
    let mut page = row::Page::default();
    while let Some(row) = rows.next()? {
        page.add(StoredRow::read(&place, row)?, row.get(row::COLUMNS_COUNT)?);
    }
    Ok(page.finish())
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
    let Some(place) = Place::find(connection, peer, extension)? else {
        return Ok(());
    };
    connection
        .prepare_cached(
            // Of one that has its answer by now nobody reads it.
            "UPDATE outbox
             SET attempts = ?2, last_sent_unix_ms = ?3, error = coalesce(?4, error)
             WHERE id = ?1 AND is_parked = 0",
        )?
        .execute(params![
            place.id(note.sequence),
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
    if let Some(place) = Place::find(connection, peer, extension)? {
        backlog.oldest_unix_ms = connection
            .prepare_cached(&blocks::waiting_rows("o.created_unix_ms"))?
            .query_row(params![place.id(0), place.last_id(), 1], |row| row.get(0))
            .optional()?;
    }
    [backlog.set_back, backlog.peer_set_back] = set_backs(connection, peer, extension)?;
    Ok(backlog)
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
