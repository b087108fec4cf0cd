//! How a request stops waiting: it has its answer, or it is put aside.

use rusqlite::{Connection, params};

use super::row::{StoredAnswer, StoredRow};
use super::{ANSWERED, PARKED, WAITING};
use crate::limits::STORE_NUMBER_MAX;
use crate::store::StoreError;

/// An answer whose effect is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// Its number, from its authenticator.
    pub sequence: u64,
    /// What makes it this answer and no other: two with one identity have the same effect.
    pub identity: [u8; 32],
}

/// What [`mark_answered`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The request was not waiting: nothing has changed.
    Stale,
    /// Its first answer: the effect is to be recorded.
    First,
    /// The answer whose effect is recorded already.
    Again,
    /// Another answer than the one whose effect is recorded. The request waits as before.
    Otherwise,
}

/// Notes that a request has this answer. To be called in the transaction that records the answer's
/// effect.
pub fn mark_answered(
    connection: &Connection,
    peer: &str,
    extension: u16,
    key: &[u8],
    answer: &RecordedAnswer,
    now_unix_ms: u64,
) -> Result<Answered, StoreError> {
    let mut marking = Marking::new(connection, peer, extension, now_unix_ms);
    let found = StoredRow::find(connection, peer, extension, key)?;
    let answered = marking.mark_row(found, answer)?;
    marking.finish()?;
    Ok(answered)
}

/// [`mark_answered`] for many requests to one peer in one transaction: what is counted of them is written once, by
/// [`Self::finish`], without which the transaction must not be committed.
pub(crate) struct Marking<'a> {
    connection: &'a Connection,
    peer: &'a str,
    extension: u16,
    now_unix_ms: u64,
    marked: u64,
}

impl<'a> Marking<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        peer: &'a str,
        extension: u16,
        now_unix_ms: u64,
    ) -> Marking<'a> {
        Marking {
            connection,
            peer,
            extension,
            now_unix_ms,
            marked: 0,
        }
    }

    /// Marks the request with this key, which is looked for under its number: numbers lie side by side on the disk, keys
    /// all over it.
    pub(crate) fn mark(
        &mut self,
        sequence: u64,
        key: &[u8],
        answer: &RecordedAnswer,
    ) -> Result<Answered, StoreError> {
        let (connection, peer, extension) = (self.connection, self.peer, self.extension);
        let found = match StoredRow::find_waiting(connection, peer, extension, sequence, key)? {
            None => StoredRow::find(connection, peer, extension, key)?,
            found => found,
        };
        self.mark_row(found, answer)
    }

    fn mark_row(
        &mut self,
        found: Option<StoredRow>,
        answer: &RecordedAnswer,
    ) -> Result<Answered, StoreError> {
        let Some(mut row) = found.filter(|row| row.state == WAITING) else {
            return Ok(Answered::Stale);
        };
        let found = match &row.answer {
            None => Answered::First,
            Some(known) if known.identity == answer.identity => Answered::Again,
            Some(_) => return Ok(Answered::Otherwise),
        };
        let sequence = answer.sequence.min(STORE_NUMBER_MAX);
        let stored = StoredAnswer {
            sequence,
            identity: answer.identity.to_vec(),
        };
        let checksum = row.checksum_with(ANSWERED, Some(stored));
        self.connection
            .prepare_cached(
                "UPDATE outbox SET answer_sequence = ?2, answer_identity = ?3, state = ?4,
                     ended_unix_ms = coalesce(ended_unix_ms, ?5), error = NULL, checksum = ?6
                 WHERE id = ?1",
            )?
            .execute(params![
                row.id,
                sequence,
                answer.identity,
                ANSWERED,
                self.now_unix_ms,
                checksum
            ])?;
        self.marked += 1;
        Ok(found)
    }

    /// As of when.
    pub(crate) fn now_unix_ms(&self) -> u64 {
        self.now_unix_ms
    }

    /// Writes down how many wait no longer.
    pub(crate) fn finish(self) -> Result<(), StoreError> {
        if self.marked == 0 {
            return Ok(());
        }
        self.connection
            .prepare_cached(
                "UPDATE outbox_peer SET waiting = waiting - ?3
                 WHERE peer = ?1 AND extension = ?2",
            )?
            .execute(params![self.peer, self.extension, self.marked])?;
        Ok(())
    }
}

/// Puts a waiting request aside, with the reason for the operator to read: its peer refused it for
/// good, the hub keeps rejecting it, or it is too old. False where it was not waiting.
pub fn park(
    connection: &Connection,
    peer: &str,
    extension: u16,
    key: &[u8],
    error: &str,
    now_unix_ms: u64,
) -> Result<bool, StoreError> {
    let found = StoredRow::find(connection, peer, extension, key)?;
    let Some(row) = found.filter(|row| row.state == WAITING) else {
        return Ok(false);
    };
    connection
        .prepare_cached(
            "UPDATE outbox SET state = ?2, ended_unix_ms = ?3, error = ?4, checksum = ?5
             WHERE id = ?1",
        )?
        .execute(params![
            row.id,
            PARKED,
            now_unix_ms,
            error,
            row.checksum_in(PARKED)
        ])?;
    connection
        .prepare_cached(
            "UPDATE outbox_peer SET waiting = waiting - 1, parked = parked + 1
             WHERE peer = ?1 AND extension = ?2",
        )?
        .execute(params![peer, extension])?;
    Ok(true)
}
