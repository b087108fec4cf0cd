//! How answers are recorded.

use rusqlite::{Connection, OptionalExtension, params};

use super::row::{StoredAnswer, Table};
use super::{Answer, Asked, Found, Given, NumberedAnswer, find, given};
use crate::limits::{BODY_BYTES_MAX, KEY_BYTES_MAX};
use crate::store::StoreError;

/// What was decided about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It took effect; this answers it for everyone.
    Effect(Answer),
    /// A final refusal, for this peer.
    Refusal(Answer),
}

/// Records what was decided and gives the answer to send, numbered. To be committed before the
/// answer is sent.
///
/// Where the record has an answer already, that one counts and `decision` is dropped: two peers
/// may have asked at the same time. `conflict` makes the answer for a request whose key has other
/// content. `None` where nothing is recorded and nothing was decided.
///
/// # Errors
/// [`StoreError::Aborted`] when key or body are over their bounds.
pub fn record(
    connection: &Connection,
    asked: &Asked<'_>,
    decision: Option<Decision>,
    conflict: impl FnOnce() -> Answer,
    now_unix_ms: u64,
) -> Result<Option<NumberedAnswer>, StoreError> {
    let mut recording = Recording::new(connection, asked.extension, asked.peer, now_unix_ms);
    let recorded = recording.record(asked, decision, conflict)?;
    recording.finish()?;
    Ok(recorded)
}

/// [`record`] for many requests of one peer in one transaction: the last number that was given is written once, by
/// [`Self::finish`], without which the transaction must not be committed.
pub(crate) struct Recording<'a> {
    connection: &'a Connection,
    extension: u16,
    peer: &'a str,
    now_unix_ms: u64,
    /// `None` until it is needed.
    last_sequence: Option<u64>,
    has_new: bool,
}

impl<'a> Recording<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        extension: u16,
        peer: &'a str,
        now_unix_ms: u64,
    ) -> Recording<'a> {
        Recording {
            connection,
            extension,
            peer,
            now_unix_ms,
            last_sequence: None,
            has_new: false,
        }
    }

    /// See [`record`]; `asked` is a request of this peer's.
    pub(crate) fn record(
        &mut self,
        asked: &Asked<'_>,
        decision: Option<Decision>,
        conflict: impl FnOnce() -> Answer,
    ) -> Result<Option<NumberedAnswer>, StoreError> {
        // By far the most are new, and take effect: the index that has to be changed is asked no second time for these.
        let decision = match decision {
            Some(Decision::Effect(effect))
                if matches!(given(self.connection, asked)?, Given::Nothing) =>
            {
                match self.insert(Table::Effect, asked, effect)? {
                    Inserted::New(numbered) => return Ok(Some(numbered)),
                    Inserted::KeyIsThere(effect) => Some(Decision::Effect(effect)),
                }
            }
            other => other,
        };
        let (answer, table) = match (find(self.connection, asked)?, decision) {
            (Found::Given(given), _) => return Ok(Some(given)),
            (Found::Effect(effect), _) => (effect, Table::Given),
            (Found::Conflict, _) => (conflict(), Table::Given),
            (Found::Nothing, Some(Decision::Effect(effect))) => (effect, Table::Effect),
            (Found::Nothing, Some(Decision::Refusal(refusal))) => (refusal, Table::Given),
            (Found::Nothing, None) => return Ok(None),
        };
        match self.insert(table, asked, answer)? {
            Inserted::New(numbered) => Ok(Some(numbered)),
            Inserted::KeyIsThere(_) => Err(StoreError::Corrupt {
                table: table.name(),
                detail: format!("key {} is there and is not found", hex::encode(asked.key)),
            }),
        }
    }

    fn insert(
        &mut self,
        table: Table,
        asked: &Asked<'_>,
        answer: Answer,
    ) -> Result<Inserted, StoreError> {
        if asked.key.len() > KEY_BYTES_MAX || answer.body.len() > BODY_BYTES_MAX {
            return Err(StoreError::Aborted {
                reason: format!(
                    "an answer has a key of {} and a body of {} bytes, {KEY_BYTES_MAX} and \
                     {BODY_BYTES_MAX} are allowed",
                    asked.key.len(),
                    answer.body.len()
                ),
            });
        }
        let sequence = self.last_sequence()? + 1;
        let stored = StoredAnswer {
            extension: asked.extension,
            key: asked.key.to_vec(),
            peer: asked.peer.to_owned(),
            content: asked.content.to_vec(),
            numbered: NumberedAnswer { answer, sequence },
            checksum: None,
        };
        let checksum = stored.checksum_in(table);
        let answer = &stored.numbered.answer;
        let inserted = self
            .connection
            .prepare_cached(match table {
                Table::Effect => {
                    "INSERT INTO answer_effect
                     (extension, key, peer, content, msg_type, body, sequence, created_unix_ms,
                      checksum)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                     ON CONFLICT (key, extension) DO NOTHING"
                }
                Table::Given => {
                    "INSERT INTO answer_given
                     (extension, key, peer, content, msg_type, body, sequence, created_unix_ms,
                      checksum)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
                }
            })?
            .execute(params![
                asked.extension,
                asked.key,
                asked.peer,
                asked.content,
                answer.msg_type,
                answer.body,
                sequence,
                self.now_unix_ms,
                checksum
            ])?;
        if inserted == 0 {
            return Ok(Inserted::KeyIsThere(stored.numbered.answer));
        }
        self.last_sequence = Some(sequence);
        self.has_new = true;
        Ok(Inserted::New(stored.numbered))
    }

    /// The highest number that was given: also before the record was set back.
    fn last_sequence(&mut self) -> Result<u64, StoreError> {
        if let Some(last_sequence) = self.last_sequence {
            return Ok(last_sequence);
        }
        let highest = |sql| {
            self.connection
                .prepare_cached(sql)?
                .query_row(params![self.extension, self.peer], |row| {
                    row.get::<_, u64>(0)
                })
                .optional()
        };
        let given =
            highest("SELECT last_sequence FROM answer_peer WHERE extension = ?1 AND peer = ?2")?;
        let told =
            highest("SELECT told_answers FROM answer_set_back WHERE extension = ?1 AND peer = ?2")?;
        let last_sequence = given.max(told).unwrap_or(0);
        self.last_sequence = Some(last_sequence);
        Ok(last_sequence)
    }

    /// Writes down the last number.
    pub(crate) fn finish(self) -> Result<(), StoreError> {
        let Some(last_sequence) = self.last_sequence.filter(|_| self.has_new) else {
            return Ok(());
        };
        self.connection
            .prepare_cached(
                "INSERT INTO answer_peer (extension, peer, last_sequence) VALUES (?1, ?2, ?3)
                 ON CONFLICT (extension, peer) DO UPDATE
                 SET last_sequence = excluded.last_sequence",
            )?
            .execute(params![self.extension, self.peer, last_sequence])?;
        Ok(())
    }
}

enum Inserted {
    New(NumberedAnswer),
    /// Nothing has changed.
    KeyIsThere(Answer),
}
