//! The responder's side of delivery on disk: what was answered, for ever.
//!
//! Two records, since they bind different parties. An **effect** (a quote that was issued) is
//! global: whoever asks with the same key gets it, or `conflict` where the content differs. Any
//! other final answer (a refusal, a conflict, an effect told to a second peer) binds the peer it
//! was given to: a peer that is refused must not be able to have others refused.
//!
//! Answers are numbered per peer; an answer that is sent again keeps its number. The numbers tell
//! whether the record was set back ([`compare`]). All functions run inside a [`Store::write`](crate::Store::write) or [`Store::read`](crate::Store::read) of
//! their caller.

mod file;
mod find;
mod index;
mod record;
mod row;
mod set_back;

use rusqlite::{Connection, params};

#[cfg(doc)]
use crate::limits::{BODY_BYTES_MAX, KEY_BYTES_MAX};
use crate::store::{Schema, StoreError};
use row::announcement_checksum;

pub use file::AnswersFile;
pub use find::find;
pub(crate) use find::{Finding, RecordEnd};
pub(crate) use index::{KEYS, index_all, key_hashes};
pub(crate) use record::Recording;
pub use record::{Decision, record};
pub(crate) use row::{check, seal_all};
pub use set_back::{
    AnsweredPeer, Compared, SetBack, accept, compare, note_requests, numbers, peers, set_back,
    set_backs,
};

/// The responder's tables.
pub static ANSWERS_SCHEMA: Schema = Schema {
    name: "answers",
    migrations: &[
        "
        CREATE TABLE answer_effect (
            extension INTEGER NOT NULL,
            key BLOB NOT NULL,
            content BLOB NOT NULL,
            peer TEXT NOT NULL,
            msg_type INTEGER NOT NULL,
            body BLOB NOT NULL,
            sequence INTEGER NOT NULL,
            created_unix_ms INTEGER NOT NULL,
            PRIMARY KEY (extension, key)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE answer_given (
            extension INTEGER NOT NULL,
            key BLOB NOT NULL,
            peer TEXT NOT NULL,
            content BLOB NOT NULL,
            msg_type INTEGER NOT NULL,
            body BLOB NOT NULL,
            sequence INTEGER NOT NULL,
            created_unix_ms INTEGER NOT NULL,
            PRIMARY KEY (extension, key, peer, content)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE answer_peer (
            extension INTEGER NOT NULL,
            peer TEXT NOT NULL,
            last_sequence INTEGER NOT NULL,
            PRIMARY KEY (extension, peer)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE answer_announcement (
            extension INTEGER NOT NULL,
            topic TEXT NOT NULL,
            serial INTEGER NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (extension, topic)
        ) STRICT, WITHOUT ROWID;
        ",
        // Filled by `seal_all`.
        "
        ALTER TABLE answer_effect ADD COLUMN checksum BLOB;
        ALTER TABLE answer_given ADD COLUMN checksum BLOB;
        ALTER TABLE answer_announcement ADD COLUMN checksum BLOB;
        ",
        "
        ALTER TABLE answer_peer ADD COLUMN last_request INTEGER NOT NULL DEFAULT 0;
        CREATE TABLE answer_set_back (
            extension INTEGER NOT NULL,
            peer TEXT NOT NULL,
            own_answers INTEGER NOT NULL,
            told_answers INTEGER NOT NULL,
            noticed_unix_ms INTEGER NOT NULL,
            accepted_unix_ms INTEGER,
            PRIMARY KEY (extension, peer)
        ) STRICT, WITHOUT ROWID;
        ",
        // Rows lie in the order in which they were made. Keys are hashes: only the index, which holds little
        // else, is changed all over.
        "
        ALTER TABLE answer_effect RENAME TO answer_effect_by_key;
        CREATE TABLE answer_effect (
            id INTEGER PRIMARY KEY,
            extension INTEGER NOT NULL,
            key BLOB NOT NULL,
            content BLOB NOT NULL,
            peer TEXT NOT NULL,
            msg_type INTEGER NOT NULL,
            body BLOB NOT NULL,
            sequence INTEGER NOT NULL,
            created_unix_ms INTEGER NOT NULL,
            checksum BLOB
        ) STRICT;
        INSERT INTO answer_effect
            (extension, key, content, peer, msg_type, body, sequence, created_unix_ms, checksum)
            SELECT extension, key, content, peer, msg_type, body, sequence, created_unix_ms, checksum
            FROM answer_effect_by_key;
        CREATE UNIQUE INDEX answer_effect_key ON answer_effect (key, extension);
        DROP TABLE answer_effect_by_key;
        ",
        // One index over both records, filled by `index_all`.
        "
        DROP INDEX answer_effect_key;
        ALTER TABLE answer_given RENAME TO answer_given_by_key;
        CREATE TABLE answer_given (
            id INTEGER PRIMARY KEY,
            extension INTEGER NOT NULL,
            key BLOB NOT NULL,
            content BLOB NOT NULL,
            peer TEXT NOT NULL,
            msg_type INTEGER NOT NULL,
            body BLOB NOT NULL,
            sequence INTEGER NOT NULL,
            created_unix_ms INTEGER NOT NULL,
            checksum BLOB
        ) STRICT;
        INSERT INTO answer_given
            (extension, key, content, peer, msg_type, body, sequence, created_unix_ms, checksum)
            SELECT extension, key, content, peer, msg_type, body, sequence, created_unix_ms, checksum
            FROM answer_given_by_key ORDER BY extension, peer, sequence;
        DROP TABLE answer_given_by_key;
        CREATE TABLE answer_key (
            hash INTEGER NOT NULL,
            id INTEGER NOT NULL,
            PRIMARY KEY (hash, id)
        ) STRICT, WITHOUT ROWID;
        ",
    ],
};

/// A request, as the record knows it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who asks, as `role/name`.
    pub peer: &'a str,
    /// The family, without the channel bit.
    pub extension: u16,
    /// The idempotency key, at most [`KEY_BYTES_MAX`] bytes.
    pub key: &'a [u8],
    /// A digest of what makes two requests with one key the same.
    pub content: &'a [u8; 32],
}

/// A final answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The message that answers.
    pub msg_type: u8,
    /// Without channel id and authenticator, at most [`BODY_BYTES_MAX`] bytes.
    pub body: Vec<u8>,
}

/// An answer as it is sent: with its number among those to its peer, rising from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedAnswer {
    /// What is answered.
    pub answer: Answer,
    /// The authenticator's sequence.
    pub sequence: u64,
}

/// What the record says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: it is to be decided.
    Nothing,
    /// This peer was given this answer to this very request.
    Given(NumberedAnswer),
    /// Another peer's request with the same content had this effect. It has no number for this
    /// peer yet: [`record`] gives it one.
    Effect(Answer),
    /// The key was used with other content.
    Conflict,
}

/// A state that peers are told when a channel opens and when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Rises with every change of any topic of the extension, and with every start of a process: not
    /// below the time of the change, in Unix milliseconds.
    pub serial: u64,
    /// Without channel id and authenticator.
    pub body: Vec<u8>,
}

/// Makes `body` the state of `topic` (a unit, say). False, with nothing changed, where it is
/// already.
pub fn announce(
    connection: &Connection,
    extension: u16,
    topic: &str,
    body: &[u8],
    now_unix_ms: u64,
) -> Result<bool, StoreError> {
    let serial = next_serial(connection, extension, now_unix_ms)?;
    let changed = connection
        .prepare_cached(
            "INSERT INTO answer_announcement (extension, topic, serial, body, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (extension, topic) DO UPDATE
             SET serial = excluded.serial, body = excluded.body, checksum = excluded.checksum
             WHERE body <> excluded.body",
        )?
        .execute(params![
            extension,
            topic,
            serial,
            body,
            announcement_checksum(extension, topic, serial, body)
        ])?;
    Ok(changed == 1)
}

/// A process has begun to announce: every state gets another serial number, in the same order. The
/// record may have been set back, and what was announced since has higher numbers than it knows.
pub fn renew_announcements(
    connection: &Connection,
    extension: u16,
    now_unix_ms: u64,
) -> Result<(), StoreError> {
    let topics: Vec<(String, Vec<u8>)> = connection
        .prepare_cached(
            "SELECT topic, body FROM answer_announcement WHERE extension = ?1 ORDER BY serial",
        )?
        .query_map([extension], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (topic, body) in topics {
        let serial = next_serial(connection, extension, now_unix_ms)?;
        connection
            .prepare_cached(
                "UPDATE answer_announcement SET serial = ?3, checksum = ?4
                 WHERE extension = ?1 AND topic = ?2",
            )?
            .execute(params![
                extension,
                topic,
                serial,
                announcement_checksum(extension, &topic, serial, &body)
            ])?;
    }
    Ok(())
}

/// Above the last, and above what was given before the record was set back, if the clock was not.
fn next_serial(
    connection: &Connection,
    extension: u16,
    now_unix_ms: u64,
) -> Result<u64, StoreError> {
    let last_serial: u64 = connection
        .prepare_cached(
            "SELECT coalesce(max(serial), 0) FROM answer_announcement WHERE extension = ?1",
        )?
        .query_row([extension], |row| row.get(0))?;
    Ok((last_serial + 1).max(now_unix_ms))
}

/// The state of every topic, by rising serial number: whoever was told one was told those below.
pub fn announcements(
    connection: &Connection,
    extension: u16,
) -> Result<Vec<Announcement>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT serial, body FROM answer_announcement WHERE extension = ?1 ORDER BY serial",
    )?;
    let rows = statement.query_map([extension], |row| {
        Ok(Announcement {
            serial: row.get(0)?,
            body: row.get(1)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests;
