//! How a request stops waiting: it has its answer, or it is put aside.

use rusqlite::{CachedStatement, Connection, params};

use super::blocks::{self, Changes};
use super::place::Place;
use super::row::{AnswerContent, StoredRow};
use super::{Checksum, OF_ANOTHER, RequestState};
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
    let mut marking = Marking::new(connection, peer, extension, now_unix_ms)?;
    let answered = marking.mark_by_key(key, answer)?;
    marking.finish()?;
    Ok(answered)
}

/// [`mark_answered`] for many requests to one peer in one transaction: what is counted of them is written once, by
/// [`Self::finish`], without which the transaction must not be committed.
pub(crate) struct Marking<'a> {
    connection: &'a Connection,
    /// `None` where nothing was ever asked there.
    place: Option<Place<'a>>,
    now_unix_ms: u64,
    marked: u64,
    blocks: Changes,
    is_waiting: CachedStatement<'a>,
    insert: CachedStatement<'a>,
}

impl<'a> Marking<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        peer: &'a str,
        extension: u16,
        now_unix_ms: u64,
    ) -> Result<Marking<'a>, StoreError> {
        Ok(Marking {
            connection,
            place: Place::find(connection, peer, extension)?,
            now_unix_ms,
            marked: 0,
            blocks: Changes::default(),
            is_waiting: connection.prepare_cached(
                "SELECT 1 FROM outbox WHERE id = ?1 AND key = ?2 AND is_parked = 0",
            )?,
            insert: connection.prepare_cached(
                "INSERT OR IGNORE INTO outbox_answer
                 (id, sequence, identity, answered_unix_ms, checksum) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
        })
    }

    /// The checksum of an answer as [`Self::mark`] writes it down, to the request with that checksum: that it was whole when it
    /// was read is what it says of it; if it is damaged by now, that shows.
    pub(crate) fn checksum(&self, request: &Checksum, answer: &RecordedAnswer) -> Checksum {
        self.content(request, answer).checksum()
    }

    /// [`Self::checksum`] of many, in their order.
    pub(crate) fn checksums<'c>(
        &self,
        answers: impl IntoIterator<Item = (&'c Checksum, &'c RecordedAnswer)>,
    ) -> Vec<Checksum> {
        let contents = answers.into_iter();
        AnswerContent::checksums(contents.map(|(request, answer)| self.content(request, answer)))
    }

    /// Marks the request that was read from the outbox with this number and key; `checksum` is its answer's, of
    /// [`Self::checksum`].
    pub(crate) fn mark(
        &mut self,
        sequence: u64,
        key: &[u8],
        answer: &RecordedAnswer,
        checksum: &Checksum,
    ) -> Result<Answered, StoreError> {
        let Some(place) = &self.place else {
            return Ok(Answered::Stale);
        };
        let id = place.id(sequence);
        if self.is_waiting.exists(params![id, key])? && self.insert(id, answer, checksum)? {
            return Ok(Answered::First);
        }
        self.mark_by_key(key, answer)
    }

    fn content<'c>(&self, request: &'c Checksum, answer: &'c RecordedAnswer) -> AnswerContent<'c> {
        AnswerContent {
            request,
            sequence: stored_number(answer),
            identity: &answer.identity,
            answered_unix_ms: self.now_unix_ms,
            is_asked_again: false,
        }
    }

    /// False where there is an answer already.
    fn insert(
        &mut self,
        id: i64,
        answer: &RecordedAnswer,
        checksum: &Checksum,
    ) -> Result<bool, StoreError> {
        let inserted = self.insert.execute(params![
            id,
            stored_number(answer),
            answer.identity,
            self.now_unix_ms,
            checksum
        ])?;
        if inserted == 0 {
            return Ok(false);
        }
        self.ended(id);
        Ok(true)
    }

    fn ended(&mut self, id: i64) {
        self.blocks.add(id, -1);
        self.marked += 1;
    }

    fn mark_by_key(&mut self, key: &[u8], answer: &RecordedAnswer) -> Result<Answered, StoreError> {
        let Some(place) = &self.place else {
            return Ok(Answered::Stale);
        };
        let found = StoredRow::by_key(self.connection, place, key)?;
        let Some(row) = found.filter(|row| row.state() == RequestState::Waiting) else {
            return Ok(Answered::Stale);
        };
        match &row.answer {
            None => {
                let checksum = self.checksum(&row.request_checksum(), answer);
                self.insert(row.id, answer, &checksum)?;
                Ok(Answered::First)
            }
            Some(known) if known.identity == answer.identity => {
                row.answer_again(self.connection, answer.sequence.min(STORE_NUMBER_MAX))?;
                self.ended(row.id);
                Ok(Answered::Again)
            }
            Some(_) => Ok(Answered::Otherwise),
        }
    }

    /// As of when.
    pub(crate) fn now_unix_ms(&self) -> u64 {
        self.now_unix_ms
    }

    /// Writes down how many wait no longer.
    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        let (Some(place), true) = (&self.place, self.marked > 0) else {
            return Ok(());
        };
        self.blocks.write(self.connection)?;
        self.connection
            .prepare_cached(
                "UPDATE outbox_peer SET waiting = waiting - ?3
                 WHERE peer = ?1 AND extension = ?2",
            )?
            .execute(params![place.peer, place.extension, self.marked])?;
        Ok(())
    }
}

/// An answer's number, as the table has it.
fn stored_number(answer: &RecordedAnswer) -> u64 {
    match answer.sequence {
        OF_ANOTHER => OF_ANOTHER,
        number => number.min(STORE_NUMBER_MAX),
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
    let Some(place) = Place::find(connection, peer, extension)? else {
        return Ok(false);
    };
    let found = StoredRow::by_key(connection, &place, key)?;
    let Some(row) = found.filter(|row| row.state() == RequestState::Waiting) else {
        return Ok(false);
    };
    connection
        .prepare_cached(
            "UPDATE outbox SET is_parked = 1, parked_unix_ms = ?2, error = ?3, checksum = ?4
             WHERE id = ?1",
        )?
        .execute(params![row.id, now_unix_ms, error, row.checksum_when(true)])?;
    blocks::change(connection, row.id, -1)?;
    connection
        .prepare_cached(
            "UPDATE outbox_peer SET waiting = waiting - 1, parked = parked + 1
             WHERE peer = ?1 AND extension = ?2",
        )?
        .execute(params![peer, extension])?;
    Ok(true)
}
