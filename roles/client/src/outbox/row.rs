//! What a row of the outbox says, and the checksum that lies beside it.

use std::collections::HashMap;
use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::set_back::{self, process_started};
use super::{PARKED, WAITING};
use crate::store::{StoreError, row_checksum};

/// Of a request in this state.
pub(super) struct Content<'a> {
    pub(super) peer: &'a str,
    pub(super) extension: u16,
    pub(super) sequence: u64,
    pub(super) key: &'a [u8],
    pub(super) msg_type: u8,
    pub(super) body: &'a [u8],
    pub(super) created_unix_ms: u64,
    /// Whose effect is recorded.
    pub(super) answer: Option<&'a StoredAnswer>,
}

impl Content<'_> {
    pub(super) fn checksum(&self, state: u8) -> [u8; 16] {
        let (extension, sequence) = (self.extension.to_le_bytes(), self.sequence.to_le_bytes());
        let (kind, created) = ([self.msg_type, state], self.created_unix_ms.to_le_bytes());
        let mut fields: Vec<&[u8]> = vec![
            self.peer.as_bytes(),
            &extension,
            &sequence,
            self.key,
            &kind,
            self.body,
            &created,
        ];
        let answer_sequence = self.answer.map(|answer| answer.sequence.to_le_bytes());
        if let (Some(answer), Some(sequence)) = (self.answer, &answer_sequence) {
            fields.extend([&sequence[..], &answer.identity]);
        }
        row_checksum("outbox", &fields)
    }
}

/// See [`RecordedAnswer`](super::RecordedAnswer), as it lies there.
#[derive(Clone)]
pub(super) struct StoredAnswer {
    pub(super) sequence: u64,
    pub(super) identity: Vec<u8>,
}

impl StoredAnswer {
    /// Out of the columns answer_sequence and answer_identity, the first of which is `column`.
    pub(super) fn read(
        row: &Row<'_>,
        column: usize,
    ) -> Result<Option<StoredAnswer>, rusqlite::Error> {
        let sequence: Option<u64> = row.get(column)?;
        let identity: Option<Vec<u8>> = row.get(column + 1)?;
        Ok(sequence
            .zip(identity)
            .map(|(sequence, identity)| StoredAnswer { sequence, identity }))
    }
}

/// A row as it lies there, whole or not.
pub(super) struct StoredRow {
    pub(super) id: i64,
    peer: String,
    extension: u16,
    sequence: u64,
    key: Vec<u8>,
    msg_type: u8,
    body: Vec<u8>,
    created_unix_ms: u64,
    pub(super) state: u8,
    checksum: Option<Vec<u8>>,
    pub(super) answer: Option<StoredAnswer>,
}

const COLUMNS: &str = "id, peer, extension, sequence, key, msg_type, body, created_unix_ms, state, \
                       checksum, answer_sequence, answer_identity";
/// Before there were answers in the rows.
const COLUMNS_WHEN_SEALED: &str = "id, peer, extension, sequence, key, msg_type, body, \
                                   created_unix_ms, state, checksum, NULL, NULL";

impl StoredRow {
    pub(super) fn find(
        connection: &Connection,
        peer: &str,
        extension: u16,
        key: &[u8],
    ) -> Result<Option<StoredRow>, StoreError> {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            format!("SELECT {COLUMNS} FROM outbox WHERE peer = ?1 AND extension = ?2 AND key = ?3")
        });
        Ok(connection
            .prepare_cached(&SQL)?
            .query_row(params![peer, extension, key], StoredRow::read)
            .optional()?)
    }

    /// The waiting one with this number, if it has this key.
    pub(super) fn find_waiting(
        connection: &Connection,
        peer: &str,
        extension: u16,
        sequence: u64,
        key: &[u8],
    ) -> Result<Option<StoredRow>, StoreError> {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            format!(
                "SELECT {COLUMNS} FROM outbox
                 WHERE peer = ?1 AND extension = ?2 AND state = 0 AND sequence = ?3"
            )
        });
        let found = connection
            .prepare_cached(&SQL)?
            .query_row(params![peer, extension, sequence], StoredRow::read)
            .optional()?;
        Ok(found.filter(|row| row.key == key))
    }

    fn read(row: &Row<'_>) -> Result<StoredRow, rusqlite::Error> {
        Ok(StoredRow {
            id: row.get(0)?,
            peer: row.get(1)?,
            extension: row.get(2)?,
            sequence: row.get(3)?,
            key: row.get(4)?,
            msg_type: row.get(5)?,
            body: row.get(6)?,
            created_unix_ms: row.get(7)?,
            state: row.get(8)?,
            checksum: row.get(9)?,
            answer: StoredAnswer::read(row, 10)?,
        })
    }

    fn content(&self) -> Content<'_> {
        Content {
            peer: &self.peer,
            extension: self.extension,
            sequence: self.sequence,
            key: &self.key,
            msg_type: self.msg_type,
            body: &self.body,
            created_unix_ms: self.created_unix_ms,
            answer: self.answer.as_ref(),
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.checksum.as_deref() == Some(&self.content().checksum(self.state))
    }

    /// The checksum that it has in another state. One that is damaged stays so: no change of state
    /// vouches for the rest.
    pub(super) fn checksum_in(&self, state: u8) -> Option<Vec<u8>> {
        match self.is_whole() {
            true => Some(self.content().checksum(state).to_vec()),
            false => self.checksum.clone(),
        }
    }

    /// Likewise, with its answer.
    pub(super) fn checksum_with(
        &mut self,
        state: u8,
        answer: Option<StoredAnswer>,
    ) -> Option<Vec<u8>> {
        if !self.is_whole() {
            return self.checksum.clone();
        }
        self.answer = answer;
        Some(self.content().checksum(state).to_vec())
    }

    /// Up to `rows_max` whose answers have these numbers, the lowest first.
    pub(super) fn answered(
        connection: &Connection,
        peer: &str,
        extension: u16,
        above: u64,
        through: u64,
        rows_max: usize,
    ) -> Result<Vec<StoredRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM outbox
             WHERE peer = ?1 AND extension = ?2 AND state = 1 AND answer_sequence IS NOT NULL
                 AND answer_sequence > ?3 AND answer_sequence <= ?4
             ORDER BY answer_sequence LIMIT ?5"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(
            params![peer, extension, above, through, rows_max],
            StoredRow::read,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Gives the rows of an older version their checksums.
pub(crate) fn seal_all(connection: &Connection) -> Result<(), StoreError> {
    let mut rows = connection.prepare(&format!("SELECT {COLUMNS_WHEN_SEALED} FROM outbox"))?;
    let mut seal = connection.prepare("UPDATE outbox SET checksum = ?2 WHERE id = ?1")?;
    for row in rows.query_map([], StoredRow::read)? {
        let row = row?;
        seal.execute(params![row.id, row.content().checksum(row.state)])?;
    }
    Ok(())
}

/// Looks at every row: one that is damaged is parked, with the reason, whatever its state; and what
/// is counted is counted anew.
///
/// # Errors
/// [`StoreError::Corrupt`] where rows, or the way to them, cannot be relied on.
pub(crate) fn check(connection: &Connection, now_unix_ms: u64) -> Result<(), StoreError> {
    let corrupt = |error: rusqlite::Error| StoreError::Corrupt {
        table: "outbox",
        detail: error.to_string(),
    };
    let verdict: String = connection
        .query_row("PRAGMA integrity_check('outbox')", [], |row| row.get(0))
        .map_err(corrupt)?;
    if verdict != "ok" {
        return Err(StoreError::Corrupt {
            table: "outbox",
            detail: verdict,
        });
    }
    let mut counts: HashMap<(String, u16), [u64; 3]> = HashMap::new();
    let mut damaged = Vec::new();
    let mut rows = connection.prepare(&format!("SELECT {COLUMNS} FROM outbox"))?;
    for row in rows.query_map([], StoredRow::read)? {
        let row = row.map_err(corrupt)?;
        let is_damaged = !row.is_whole() && row.state != PARKED;
        let [waiting, parked, last_sequence] =
            counts.entry((row.peer.clone(), row.extension)).or_default();
        match row.state {
            _ if is_damaged => *parked += 1,
            WAITING => *waiting += 1,
            PARKED => *parked += 1,
            _ => {}
        }
        *last_sequence = row.sequence.max(*last_sequence);
        if is_damaged {
            tracing::error!(
                peer = row.peer,
                sequence = row.sequence,
                key = hex::encode(&row.key),
                "a request is damaged on disk: it is parked, and is never sent as it is"
            );
            damaged.push(row.id);
        }
    }
    drop(rows);
    for id in damaged {
        connection.execute(
            "UPDATE outbox SET state = ?2, ended_unix_ms = ?3, error = ?4 WHERE id = ?1",
            params![id, PARKED, now_unix_ms, DAMAGED],
        )?;
    }
    connection.execute("UPDATE outbox_peer SET waiting = 0, parked = 0", [])?;
    for ((peer, extension), [waiting, parked, last_sequence]) in counts {
        connection.execute(
            "INSERT INTO outbox_peer (peer, extension, waiting, parked, last_sequence)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (peer, extension) DO UPDATE
             SET waiting = excluded.waiting, parked = excluded.parked,
                 last_sequence = max(last_sequence, excluded.last_sequence)",
            params![peer, extension, waiting, parked, last_sequence],
        )?;
    }
    set_back::check(connection)?;
    process_started(connection)
}

/// What the operator reads beside a damaged request.
pub(crate) const DAMAGED: &str =
    "damaged on disk; restore a backup that has it whole, or discard it";
