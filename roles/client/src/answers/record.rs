//! How answers are recorded.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::find::Finding;
use super::index::{KEYS, hash, hash_of_further, place};
use super::row::{Table, add_answer_checksum, answer_checksum};
use super::{Answer, Asked, Found, NumberedAnswer};
use crate::limits::{BODY_BYTES_MAX, KEY_BYTES_MAX, ROWS_HASHED_TOGETHER_MAX};
use crate::store::{KeyAdder, RowChecksums, StoreError};

/// What was decided about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It took effect; this answers it for everyone.
    Effect(Answer),
    /// A final refusal, for this peer.
    Refusal(Answer),
}

impl Decision {
    fn table(&self) -> Table {
        match self {
            Decision::Effect(_) => Table::Effect,
            Decision::Refusal(_) => Table::Given,
        }
    }

    fn answer(&self) -> &Answer {
        let (Decision::Effect(answer) | Decision::Refusal(answer)) = self;
        answer
    }

    fn into_answer(self) -> Answer {
        let (Decision::Effect(answer) | Decision::Refusal(answer)) = self;
        answer
    }
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
    let mut recording = Recording::new(connection, asked.extension, asked.peer, now_unix_ms)?;
    let by_key = hash(asked.extension, asked.key);
    let recorded = recording.record(asked, by_key, decision, conflict)?;
    recording.finish()?;
    Ok(recorded)
}

/// The checksum that the row of a request will have if it gets this number: see [`Recording::foresee`].
pub(crate) struct Foreseen {
    sequence: u64,
    checksum: [u8; 16],
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
    /// `None` until it is needed.
    finding: Option<Finding<'a>>,
    insert_effect: CachedStatement<'a>,
    insert_given: CachedStatement<'a>,
    keys: KeyAdder<'a>,
}

impl<'a> Recording<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        extension: u16,
        peer: &'a str,
        now_unix_ms: u64,
    ) -> Result<Recording<'a>, StoreError> {
        Ok(Recording {
            connection,
            extension,
            peer,
            now_unix_ms,
            last_sequence: None,
            has_new: false,
            finding: None,
            insert_effect: connection.prepare_cached(
                "INSERT INTO answer_effect
                 (extension, key, peer, content, msg_type, body, sequence, created_unix_ms, checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            insert_given: connection.prepare_cached(
                "INSERT INTO answer_given
                 (extension, key, peer, content, msg_type, body, sequence, created_unix_ms, checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            keys: KEYS.adder(connection),
        })
    }

    /// See [`record`]; `asked` is a request of this peer's, and `by_key` the [`hash`] of its key.
    pub(crate) fn record(
        &mut self,
        asked: &Asked<'_>,
        by_key: i64,
        decision: Option<Decision>,
        conflict: impl FnOnce() -> Answer,
    ) -> Result<Option<NumberedAnswer>, StoreError> {
        if self.finding.is_none() {
            self.finding = Some(Finding::new(self.connection)?);
        }
        let found = match &mut self.finding {
            Some(finding) => finding.find(asked, by_key)?,
            None => Found::Nothing,
        };
        match (found, decision) {
            (Found::Given(given), _) => Ok(Some(given)),
            (Found::Effect(effect), _) => self
                .insert(Table::Given, asked, effect, by_key, None)
                .map(Some),
            (Found::Conflict, _) => {
                let hash = hash_of_further(asked);
                self.insert(Table::Given, asked, conflict(), hash, None)
                    .map(Some)
            }
            (Found::Nothing, Some(decision)) => {
                self.record_new(asked, by_key, decision, None).map(Some)
            }
            (Found::Nothing, None) => Ok(None),
        }
    }

    /// The checksums that the rows of these requests will have, of at most so many as are made together, if they are
    /// [recorded as new](Self::record_new) in this order and nothing else is in between: together they cost less than one by one.
    pub(crate) fn foresee<'b>(
        &mut self,
        decided: impl Iterator<Item = (Asked<'b>, &'b Decision)>,
    ) -> Result<Vec<Foreseen>, StoreError> {
        let first = self.last_sequence()? + 1;
        let mut checksums = RowChecksums::default();
        for ((asked, decision), sequence) in decided.take(ROWS_HASHED_TOGETHER_MAX).zip(first..) {
            let (table, answer) = (decision.table(), decision.answer());
            add_answer_checksum(&mut checksums, table, &asked, answer, sequence);
        }
        let numbered = checksums.finish().into_iter().zip(first..);
        let foreseen = numbered.map(|(checksum, sequence)| Foreseen { sequence, checksum });
        Ok(foreseen.collect())
    }

    /// Records what was decided about a request of this peer's that was looked up, where [nothing](Found::Nothing) was found and
    /// nothing was recorded under its key since. `by_key` is as in [`Self::record`], and `foreseen` what was foreseen for this
    /// request and decision.
    pub(crate) fn record_new(
        &mut self,
        asked: &Asked<'_>,
        by_key: i64,
        decision: Decision,
        foreseen: Option<Foreseen>,
    ) -> Result<NumberedAnswer, StoreError> {
        let table = decision.table();
        self.insert(table, asked, decision.into_answer(), by_key, foreseen)
    }

    fn insert(
        &mut self,
        table: Table,
        asked: &Asked<'_>,
        answer: Answer,
        hash: i64,
        foreseen: Option<Foreseen>,
    ) -> Result<NumberedAnswer, StoreError> {
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
        // What was recorded in between has taken the number that was foreseen.
        let foreseen = foreseen.filter(|foreseen| foreseen.sequence == sequence);
        let checksum = match foreseen {
            Some(foreseen) => foreseen.checksum,
            None => answer_checksum(table, asked, &answer, sequence),
        };
        let numbered = NumberedAnswer { answer, sequence };
        let insert = match table {
            Table::Effect => &mut self.insert_effect,
            Table::Given => &mut self.insert_given,
        };
        let row_id = insert.insert(params![
            asked.extension,
            asked.key,
            asked.peer,
            asked.content,
            numbered.answer.msg_type,
            numbered.answer.body,
            sequence,
            self.now_unix_ms,
            checksum
        ])?;
        self.keys.insert(hash, place(table, row_id))?;
        self.last_sequence = Some(sequence);
        self.has_new = true;
        Ok(numbered)
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
