//! What a row of the outbox says, with what is known of its answer, and the checksums that lie beside them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::place::{Place, sequence_of};
use super::{Checksum, RequestState, StoredRequest};
use crate::store::{RowChecksums, StoreError, row_checksum};

const TABLE: &str = "outbox";
const ANSWER_TABLE: &str = "outbox_answer";

/// A request as it was enqueued.
pub(super) struct Content<'a> {
    pub(super) peer: &'a str,
    pub(super) extension: u16,
    pub(super) sequence: u64,
    pub(super) key: &'a [u8],
    pub(super) msg_type: u8,
    pub(super) body: &'a [u8],
    pub(super) created_unix_ms: u64,
}

impl Content<'_> {
    pub(super) fn checksum(&self, is_parked: bool) -> Checksum {
        self.with_fields(is_parked, |fields| row_checksum(TABLE, fields))
    }

    /// [`Self::checksum`] of many that are not parked, in their order.
    pub(super) fn checksums<'c>(contents: impl IntoIterator<Item = Content<'c>>) -> Vec<Checksum> {
        let mut rows = RowChecksums::default();
        for content in contents {
            content.with_fields(false, |fields| rows.add(TABLE, fields));
        }
        rows.finish()
    }

    fn with_fields<T>(&self, is_parked: bool, hash: impl FnOnce(&[&[u8]]) -> T) -> T {
        let (extension, sequence) = (self.extension.to_le_bytes(), self.sequence.to_le_bytes());
        let (kind, created) = (
            [self.msg_type, u8::from(is_parked)],
            self.created_unix_ms.to_le_bytes(),
        );
        let peer = self.peer.as_bytes();
        hash(&[
            peer, &extension, &sequence, self.key, &kind, self.body, &created,
        ])
    }
}

/// What is known of a request's answer; see [`RecordedAnswer`](super::RecordedAnswer).
#[derive(Clone)]
pub(super) struct StoredAnswer {
    /// 0 where an older version noted none.
    pub(super) sequence: u64,
    pub(super) identity: Vec<u8>,
    /// When it first came.
    pub(super) answered_unix_ms: u64,
    /// The request waits again.
    pub(super) is_asked_again: bool,
    checksum: Vec<u8>,
}

/// What is to be written down of a request's answer.
pub(super) struct AnswerContent<'a> {
    /// The checksum of the request that it answers.
    pub(super) request: &'a Checksum,
    pub(super) sequence: u64,
    pub(super) identity: &'a [u8],
    pub(super) answered_unix_ms: u64,
    pub(super) is_asked_again: bool,
}

impl AnswerContent<'_> {
    /// Over the answer and, by its checksum, the request that it answers.
    pub(super) fn checksum(&self) -> Checksum {
        self.with_fields(|fields| row_checksum(ANSWER_TABLE, fields))
    }

    /// [`Self::checksum`] of many, in their order.
    pub(super) fn checksums<'c>(
        answers: impl IntoIterator<Item = AnswerContent<'c>>,
    ) -> Vec<Checksum> {
        let mut rows = RowChecksums::default();
        for answer in answers {
            answer.with_fields(|fields| rows.add(ANSWER_TABLE, fields));
        }
        rows.finish()
    }

    fn with_fields<T>(&self, hash: impl FnOnce(&[&[u8]]) -> T) -> T {
        let sequence = self.sequence.to_le_bytes();
        let answered = self.answered_unix_ms.to_le_bytes();
        let asked_again = [u8::from(self.is_asked_again)];
        hash(&[
            self.request,
            &sequence,
            self.identity,
            &answered,
            &asked_again,
        ])
    }
}

impl StoredAnswer {
    fn checksum(&self, request: &Checksum) -> Checksum {
        let content = AnswerContent {
            request,
            sequence: self.sequence,
            identity: &self.identity,
            answered_unix_ms: self.answered_unix_ms,
            is_asked_again: self.is_asked_again,
        };
        content.checksum()
    }
}

/// A row as it lies there, whole or not.
pub(super) struct StoredRow<'a> {
    pub(super) id: i64,
    place: Place<'a>,
    pub(super) key: Vec<u8>,
    msg_type: u8,
    body: Vec<u8>,
    created_unix_ms: u64,
    is_parked: bool,
    checksum: Vec<u8>,
    pub(super) answer: Option<StoredAnswer>,
}

/// Of `outbox` as `o`, with `outbox_answer` as `a` beside it.
pub(super) const COLUMNS: &str = "o.id, o.key, o.msg_type, o.body, o.created_unix_ms, o.is_parked, o.checksum, \
     a.sequence, a.identity, a.answered_unix_ms, a.is_asked_again, a.checksum";
pub(super) const COLUMNS_COUNT: usize = 12;

impl<'a> StoredRow<'a> {
    pub(super) fn by_id(
        connection: &Connection,
        place: &Place<'a>,
        id: i64,
    ) -> Result<Option<StoredRow<'a>>, StoreError> {
        const SQL: &str =
            "SELECT o.id, o.key, o.msg_type, o.body, o.created_unix_ms, o.is_parked, o.checksum,
                 a.sequence, a.identity, a.answered_unix_ms, a.is_asked_again, a.checksum
             FROM outbox o LEFT JOIN outbox_answer a ON a.id = o.id WHERE o.id = ?1";
        Ok(connection
            .prepare_cached(SQL)?
            .query_row([id], |row| StoredRow::read(place, row))
            .optional()?)
    }

    pub(super) fn by_key(
        connection: &Connection,
        place: &Place<'a>,
        key: &[u8],
    ) -> Result<Option<StoredRow<'a>>, StoreError> {
        match super::keys::find(connection, place, key)? {
            Some(id) => StoredRow::by_id(connection, place, id),
            None => Ok(None),
        }
    }

    /// Out of [`COLUMNS`].
    pub(super) fn read(place: &Place<'a>, row: &Row<'_>) -> Result<StoredRow<'a>, rusqlite::Error> {
        let answer = match row.get::<_, Option<u64>>(7)? {
            None => None,
            Some(sequence) => Some(StoredAnswer {
                sequence,
                identity: row.get(8)?,
                answered_unix_ms: row.get(9)?,
                is_asked_again: row.get(10)?,
                checksum: row.get(11)?,
            }),
        };
        Ok(StoredRow {
            id: row.get(0)?,
            place: place.clone(),
            key: row.get(1)?,
            msg_type: row.get(2)?,
            body: row.get(3)?,
            created_unix_ms: row.get(4)?,
            is_parked: row.get(5)?,
            checksum: row.get(6)?,
            answer,
        })
    }

    pub(super) fn sequence(&self) -> u64 {
        sequence_of(self.id)
    }

    pub(super) fn state(&self) -> RequestState {
        match &self.answer {
            _ if self.is_parked => RequestState::Parked,
            Some(answer) if !answer.is_asked_again => RequestState::Answered,
            _ => RequestState::Waiting,
        }
    }

    fn content(&self) -> Content<'_> {
        Content {
            peer: self.place.peer,
            extension: self.place.extension,
            sequence: self.sequence(),
            key: &self.key,
            msg_type: self.msg_type,
            body: &self.body,
            created_unix_ms: self.created_unix_ms,
        }
    }

    fn is_answer_whole(&self) -> bool {
        self.answer.as_ref().is_none_or(|answer| {
            answer.checksum == answer.checksum(&self.content().checksum(false))
        })
    }

    pub(super) fn is_whole(&self) -> bool {
        self.checksum == self.content().checksum(self.is_parked) && self.is_answer_whole()
    }

    /// The checksum that the request has when it is parked, or no longer. One that is damaged stays so: no change of
    /// state vouches for the rest.
    pub(super) fn checksum_when(&self, is_parked: bool) -> Vec<u8> {
        match self.is_whole() {
            true => self.content().checksum(is_parked).to_vec(),
            false => self.checksum.clone(),
        }
    }

    /// Writes down that the request waits again although its answer is known, or no longer. Of a damaged one the checksum
    /// stays as it is.
    pub(super) fn ask_again(
        &self,
        connection: &Connection,
        is_asked_again: bool,
    ) -> Result<(), StoreError> {
        let Some(answer) = &self.answer else {
            return Ok(());
        };
        let checksum = match self.is_whole() {
            true => {
                let changed = StoredAnswer {
                    is_asked_again,
                    ..answer.clone()
                };
                changed.checksum(&self.content().checksum(false)).to_vec()
            }
            false => answer.checksum.clone(),
        };
        connection
            .prepare_cached(
                "UPDATE outbox_answer SET is_asked_again = ?2, checksum = ?3 WHERE id = ?1",
            )?
            .execute(params![self.id, is_asked_again, checksum])?;
        Ok(())
    }

    /// What its answer's checksum is to be made of. A damaged request's own one is damaged, and so stays its answer's.
    pub(super) fn request_checksum(&self) -> Checksum {
        let mut checksum = self.content().checksum(false);
        if !self.is_whole() {
            checksum.iter_mut().for_each(|byte| *byte ^= 0xff);
        }
        checksum
    }

    /// Writes down that the answer which is known has come again, with another number. Of a damaged row the checksum stays
    /// as it is.
    pub(super) fn answer_again(
        &self,
        connection: &Connection,
        sequence: u64,
    ) -> Result<(), StoreError> {
        let Some(answer) = &self.answer else {
            return Ok(());
        };
        let changed = StoredAnswer {
            sequence,
            is_asked_again: false,
            ..answer.clone()
        };
        let checksum = match self.is_whole() {
            true => changed.checksum(&self.content().checksum(false)).to_vec(),
            false => answer.checksum.clone(),
        };
        connection
            .prepare_cached(
                "UPDATE outbox_answer SET sequence = ?2, is_asked_again = 0, checksum = ?3
                 WHERE id = ?1",
            )?
            .execute(params![self.id, sequence, checksum])?;
        Ok(())
    }

    /// Whether the message that asks is this one.
    pub(super) fn says(&self, msg_type: u8, body: &[u8]) -> bool {
        self.msg_type == msg_type && self.body == body
    }

    /// Not known to be whole, and without its checksum: these [`Page`] adds.
    fn into_request(self, attempts: u32) -> StoredRequest {
        StoredRequest {
            is_whole: false,
            checksum: Checksum::default(),
            sequence: self.sequence(),
            is_asked_again: self.answer.is_some(),
            key: self.key,
            msg_type: self.msg_type,
            body: self.body,
            created_unix_ms: self.created_unix_ms,
            attempts,
        }
    }
}

/// Rows on their way to requests: what each says is hashed together with others.
#[derive(Default)]
pub(super) struct Page {
    requests: Vec<StoredRequest>,
    /// Of each row the checksum that lies beside it: a row that says what that one covers is whole. `None` where its answer
    /// is damaged.
    beside: Vec<Option<Vec<u8>>>,
    checksums: RowChecksums,
}

impl Page {
    /// The next row, with its attempts.
    pub(super) fn add(&mut self, mut row: StoredRow<'_>, attempts: u32) {
        let content = row.content();
        content.with_fields(row.is_parked, |fields| self.checksums.add(TABLE, fields));
        let beside = std::mem::take(&mut row.checksum);
        self.beside.push(row.is_answer_whole().then_some(beside));
        self.requests.push(row.into_request(attempts));
    }

    /// In the order of the rows.
    pub(super) fn finish(self) -> Vec<StoredRequest> {
        let mut requests = self.requests;
        let checksums = self.beside.into_iter().zip(self.checksums.finish());
        for (request, (beside, checksum)) in requests.iter_mut().zip(checksums) {
            request.is_whole = beside.is_some_and(|beside| beside == checksum);
            request.checksum = checksum;
        }
        requests
    }
}
