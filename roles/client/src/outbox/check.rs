//! What is looked at when a file is opened.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::blocks::Changes;
use super::place::Places;
use super::row::{COLUMNS, StoredRow};
use super::set_back::{self, process_started};
use super::{RequestState, keys};
use crate::store::StoreError;

/// Rows after which what was gathered about them is written.
const ROWS_PER_STEP: u64 = 1_024;

/// Looks at every row: one that is damaged is parked, with the reason, whatever its state; what is counted is counted
/// anew, and every row is found under its key.
///
/// # Errors
/// [`StoreError::Corrupt`] where rows, or the way to them, cannot be relied on.
pub(crate) fn check(connection: &Connection, now_unix_ms: u64) -> Result<(), StoreError> {
    for table in ["outbox", "outbox_answer", "outbox_key"] {
        let verdict: String = connection
            .query_row(&format!("PRAGMA integrity_check('{table}')"), [], |row| {
                row.get(0)
            })
            .map_err(|error| corrupt(error.to_string()))?;
        if verdict != "ok" {
            return Err(corrupt(verdict));
        }
    }
    let places = Places::read(connection)?;
    keys::begin(connection)?;
    connection.execute("DELETE FROM outbox_block", [])?;
    let mut blocks = Changes::default();
    let mut counts: HashMap<(&str, u16), [u64; 3]> = HashMap::new();
    let mut damaged = Vec::new();
    let (mut seen, mut answers) = (0_u64, 0_u64);
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS} FROM outbox o LEFT JOIN outbox_answer a ON a.id = o.id ORDER BY o.id"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next().map_err(|error| corrupt(error.to_string()))? {
        let place = places.of(row.get(0)?)?;
        let row = StoredRow::read(&place, row).map_err(|error| corrupt(error.to_string()))?;
        let state = row.state();
        let is_damaged = !row.is_whole() && state != RequestState::Parked;
        let [waiting, parked, last_sequence] =
            counts.entry((place.peer, place.extension)).or_default();
        match state {
            _ if is_damaged => *parked += 1,
            RequestState::Waiting => {
                *waiting += 1;
                blocks.add(row.id, 1);
            }
            RequestState::Parked => *parked += 1,
            RequestState::Answered => {}
        }
        *last_sequence = row.sequence().max(*last_sequence);
        answers += u64::from(row.answer.is_some());
        if is_damaged {
            tracing::error!(
                peer = place.peer,
                sequence = row.sequence(),
                key = hex::encode(&row.key),
                "a request is damaged on disk: it is parked, and is never sent as it is"
            );
            damaged.push(row.id);
        }
        keys::ensure(connection, &place, &row.key, row.id)?;
        seen += 1;
        if seen.is_multiple_of(ROWS_PER_STEP) {
            blocks.write(connection)?;
            keys::merge_while_opening(connection)?;
        }
    }
    drop(rows);
    blocks.write(connection)?;
    let all_answers: u64 =
        connection.query_row("SELECT count(*) FROM outbox_answer", [], |row| row.get(0))?;
    if answers != all_answers {
        return Err(StoreError::Corrupt {
            table: "outbox_answer",
            detail: format!("of {all_answers} answers {answers} belong to a request"),
        });
    }
    for id in damaged {
        connection.execute(
            "UPDATE outbox SET is_parked = 1, parked_unix_ms = ?2, error = ?3 WHERE id = ?1",
            params![id, now_unix_ms, DAMAGED],
        )?;
    }
    connection.execute("UPDATE outbox_peer SET waiting = 0, parked = 0", [])?;
    for ((peer, extension), [waiting, parked, last_sequence]) in counts {
        connection.execute(
            "UPDATE outbox_peer
             SET waiting = ?3, parked = ?4, last_sequence = max(last_sequence, ?5)
             WHERE peer = ?1 AND extension = ?2",
            params![peer, extension, waiting, parked, last_sequence],
        )?;
    }
    set_back::check(connection)?;
    process_started(connection)
}

fn corrupt(detail: String) -> StoreError {
    StoreError::Corrupt {
        table: "outbox",
        detail,
    }
}

/// What the operator reads beside a damaged request.
pub(crate) const DAMAGED: &str =
    "damaged on disk; restore a backup that has it whole, or discard it";
