//! What a row of the record says, and the checksum that lies beside it.

use rusqlite::{Connection, Row, params};

use super::find::Finding;
use super::index::{KEYS, hash, hash_of_further, place};
use super::{Answer, Asked, Found, NumberedAnswer};
use crate::store::{RowChecksums, StoreError, row_checksum};

/// Either of the two records.
#[derive(Clone, Copy)]
pub(super) enum Table {
    Effect,
    Given,
}

impl Table {
    pub(super) const BOTH: [Table; 2] = [Table::Effect, Table::Given];

    pub(super) fn name(self) -> &'static str {
        match self {
            Table::Effect => "answer_effect",
            Table::Given => "answer_given",
        }
    }
}

/// A recorded answer as it lies there, whole or not.
pub(super) struct StoredAnswer {
    pub(super) extension: u16,
    pub(super) key: Vec<u8>,
    pub(super) peer: String,
    pub(super) content: Vec<u8>,
    pub(super) numbered: NumberedAnswer,
    pub(super) checksum: Option<Vec<u8>>,
}

impl StoredAnswer {
    /// How many columns it reads.
    pub(super) const COLUMNS: usize = 8;

    /// Of the columns extension, key, peer, content, msg_type, body, sequence, checksum.
    pub(super) fn read(row: &Row<'_>) -> Result<StoredAnswer, rusqlite::Error> {
        Ok(StoredAnswer {
            extension: row.get(0)?,
            key: row.get(1)?,
            peer: row.get(2)?,
            content: row.get(3)?,
            numbered: NumberedAnswer {
                answer: Answer {
                    msg_type: row.get(4)?,
                    body: row.get(5)?,
                },
                sequence: row.get(6)?,
            },
            checksum: row.get(7)?,
        })
    }

    pub(super) fn checksum_in(&self, table: Table) -> [u8; 16] {
        checksum(
            table,
            (self.extension, &self.key, &self.peer, &self.content),
            &self.numbered.answer,
            self.numbered.sequence,
        )
    }

    /// The row, where it is what was once recorded.
    pub(super) fn whole(self, table: Table) -> Result<StoredAnswer, StoreError> {
        match self.checksum.as_deref() == Some(&self.checksum_in(table)) {
            true => Ok(self),
            false => Err(StoreError::Corrupt {
                table: table.name(),
                detail: format!("the answer to {} of {}", hex::encode(self.key), self.peer),
            }),
        }
    }
}

/// Of a row that says `answer` to `asked`, under this number.
pub(super) fn answer_checksum(
    table: Table,
    asked: &Asked<'_>,
    answer: &Answer,
    sequence: u64,
) -> [u8; 16] {
    checksum(table, question(asked), answer, sequence)
}

/// Has `checksums` make the [`answer_checksum`] of one more row.
pub(super) fn add_answer_checksum(
    checksums: &mut RowChecksums,
    table: Table,
    asked: &Asked<'_>,
    answer: &Answer,
    sequence: u64,
) {
    with_fields(question(asked), answer, sequence, |fields| {
        checksums.add(table.name(), fields);
    });
}

/// Extension, key, peer and content.
type Question<'a> = (u16, &'a [u8], &'a str, &'a [u8]);

fn question<'a>(asked: &Asked<'a>) -> Question<'a> {
    (asked.extension, asked.key, asked.peer, asked.content)
}

fn checksum(table: Table, question: Question<'_>, answer: &Answer, sequence: u64) -> [u8; 16] {
    with_fields(question, answer, sequence, |fields| {
        row_checksum(table.name(), fields)
    })
}

/// Calls `hash` with what the checksum of a row is over.
fn with_fields<T>(
    (extension, key, peer, content): Question<'_>,
    answer: &Answer,
    sequence: u64,
    hash: impl FnOnce(&[&[u8]]) -> T,
) -> T {
    hash(&[
        &extension.to_le_bytes(),
        key,
        peer.as_bytes(),
        content,
        &[answer.msg_type],
        &answer.body,
        &sequence.to_le_bytes(),
    ])
}

pub(super) fn announcement_checksum(
    extension: u16,
    topic: &str,
    serial: u64,
    body: &[u8],
) -> [u8; 16] {
    row_checksum(
        "answer_announcement",
        &[
            &extension.to_le_bytes(),
            topic.as_bytes(),
            &serial.to_le_bytes(),
            body,
        ],
    )
}

type AnnouncementRow = (u16, String, u64, Vec<u8>, Option<Vec<u8>>);

fn announcement(row: &Row<'_>) -> Result<AnnouncementRow, rusqlite::Error> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
    ))
}

const ANNOUNCEMENTS: &str =
    "SELECT extension, topic, serial, body, checksum FROM answer_announcement";

fn columns_of(table: Table) -> String {
    let name = table.name();
    format!("SELECT extension, key, peer, content, msg_type, body, sequence, checksum FROM {name}")
}

/// What [`StoredAnswer::read`] reads of every row, and its id.
pub(super) fn answers_of(table: Table) -> String {
    let name = table.name();
    format!(
        "SELECT extension, key, peer, content, msg_type, body, sequence, checksum, id FROM {name}"
    )
}

/// Gives the rows of an older version their checksums.
pub(crate) fn seal_all(connection: &Connection) -> Result<(), StoreError> {
    for table in Table::BOTH {
        let mut rows = connection.prepare(&columns_of(table))?;
        let mut seal = connection.prepare(&format!(
            "UPDATE {} SET checksum = ?5
             WHERE extension = ?1 AND key = ?2 AND peer = ?3 AND content = ?4",
            table.name()
        ))?;
        for stored in rows.query_map([], StoredAnswer::read)? {
            let stored = stored?;
            let checksum = stored.checksum_in(table);
            seal.execute(params![
                stored.extension,
                stored.key,
                stored.peer,
                stored.content,
                checksum
            ])?;
        }
    }
    let mut rows = connection.prepare(ANNOUNCEMENTS)?;
    let mut seal = connection.prepare(
        "UPDATE answer_announcement SET checksum = ?3 WHERE extension = ?1 AND topic = ?2",
    )?;
    for row in rows.query_map([], announcement)? {
        let (extension, topic, serial, body, _) = row?;
        let checksum = announcement_checksum(extension, &topic, serial, &body);
        seal.execute(params![extension, topic, checksum])?;
    }
    Ok(())
}

/// Looks at every row, and sees to it that each is found by its key: those that were recorded last by the process before
/// are not in the index yet, nor is what the disk has lost of it. A record that cannot be relied on is none to answer from:
/// an effect that is not found is made again.
///
/// # Errors
/// [`StoreError::Corrupt`] with the first that is damaged.
pub(crate) fn check(connection: &Connection) -> Result<(), StoreError> {
    let corrupt = |table: &'static str| {
        move |error: rusqlite::Error| StoreError::Corrupt {
            table,
            detail: error.to_string(),
        }
    };
    KEYS.begin(connection)?;
    let [effect, given] = Table::BOTH.map(Table::name);
    for name in [effect, given, "answer_key"] {
        let verdict: String = connection
            .query_row(&format!("PRAGMA integrity_check('{name}')"), [], |row| {
                row.get(0)
            })
            .map_err(corrupt(name))?;
        if verdict != "ok" {
            return Err(StoreError::Corrupt {
                table: name,
                detail: verdict,
            });
        }
    }
    for table in Table::BOTH {
        let mut select = connection.prepare(&answers_of(table))?;
        let mut rows = select.query([])?;
        let mut added = 0_usize;
        while let Some(row) = rows.next().map_err(corrupt(table.name()))? {
            let stored = StoredAnswer::read(row).map_err(corrupt(table.name()))?;
            let stored = stored.whole(table)?;
            let row_id: i64 = row.get(StoredAnswer::COLUMNS)?;
            let hash = hash_to_ensure(connection, table, row_id, &stored)?;
            if KEYS.ensure(connection, hash, place(table, row_id))? {
                added += 1;
                if added.is_multiple_of(1_024) {
                    KEYS.merge_while_opening(connection)?;
                }
            }
        }
    }
    let name = "answer_announcement";
    let mut rows = connection.prepare(ANNOUNCEMENTS)?;
    for row in rows.query_map([], announcement)? {
        let (extension, topic, serial, body, checksum) = row.map_err(corrupt(name))?;
        let expected = announcement_checksum(extension, &topic, serial, &body);
        if checksum.as_deref() != Some(&expected) {
            return Err(StoreError::Corrupt {
                table: name,
                detail: format!("the announcement of {topic:?}"),
            });
        }
    }
    Ok(())
}

/// What the row is to be found by: of what a peer was given what [`hash_of_further`] says, where it is not found by its key
/// alone and need not be.
fn hash_to_ensure(
    connection: &Connection,
    table: Table,
    row_id: i64,
    stored: &StoredAnswer,
) -> Result<i64, StoreError> {
    let by_key = hash(stored.extension, &stored.key);
    let (Table::Given, Ok(content)) = (table, <&[u8; 32]>::try_from(&stored.content[..])) else {
        return Ok(by_key);
    };
    let asked = Asked {
        peer: &stored.peer,
        extension: stored.extension,
        key: &stored.key,
        content,
    };
    if KEYS
        .find(connection, by_key)?
        .contains(&place(table, row_id))
    {
        return Ok(by_key);
    }
    Ok(match Finding::new(connection)?.find(&asked, by_key) {
        Ok(Found::Given(_) | Found::Effect(_) | Found::Conflict) => hash_of_further(&asked),
        Ok(Found::Nothing) | Err(_) => by_key,
    })
}
