//! How answered requests go, once they are of no more use.

use rusqlite::{Connection, OptionalExtension, params};

use super::keys;
use super::place::Places;
use crate::limits::ANSWERS_SWEPT_PER_ROW;
use crate::store::StoreError;

/// Deletes at most `rows_max` requests that were answered before `before_unix_ms`, of all peers,
/// and says how many. Once a row is gone its key counts as new: whoever enqueues keeps its own
/// record of what it has asked for.
///
/// The oldest requests were, as a rule, answered first. Those that lie above others which are still to be kept are found as
/// well, in time: each call goes on where the last one has stopped looking.
pub fn delete_answered(
    connection: &Connection,
    before_unix_ms: u64,
    rows_max: usize,
) -> Result<usize, StoreError> {
    let mut spent = due(connection, 0, before_unix_ms, rows_max)?.ids;
    if spent.len() < rows_max {
        let after_id = connection
            .prepare_cached("SELECT after_id FROM outbox_looked_through")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let after_id = after_id.unwrap_or(0);
        let further = due(connection, after_id, before_unix_ms, rows_max - spent.len())?;
        if further.looked_through != after_id {
            connection
                .prepare_cached(
                    "INSERT INTO outbox_looked_through (only, after_id) VALUES (0, ?1)
                     ON CONFLICT (only) DO UPDATE SET after_id = excluded.after_id",
                )?
                .execute([further.looked_through])?;
        }
        spent.extend(further.ids);
        spent.sort_unstable();
        spent.dedup();
    }
    delete(connection, &spent)
}

struct Due {
    ids: Vec<i64>,
    /// 0 where the end was reached.
    looked_through: i64,
}

/// Looks at some of the answers above `after_id`, for at most `rows_max`.
fn due(
    connection: &Connection,
    after_id: i64,
    before_unix_ms: u64,
    rows_max: usize,
) -> Result<Due, StoreError> {
    let looked_at_max = rows_max.saturating_mul(ANSWERS_SWEPT_PER_ROW);
    let mut statement = connection.prepare_cached(
        "SELECT id, answered_unix_ms < ?2 AND NOT is_asked_again FROM outbox_answer
         WHERE id > ?1 ORDER BY id LIMIT ?3",
    )?;
    let mut rows = statement.query(params![after_id, before_unix_ms, looked_at_max])?;
    let mut due = Due {
        ids: Vec::new(),
        looked_through: 0,
    };
    let mut looked_at = 0;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        looked_at += 1;
        if row.get(1)? {
            due.ids.push(id);
        }
        if due.ids.len() >= rows_max || looked_at >= looked_at_max {
            due.looked_through = id;
            break;
        }
    }
    Ok(due)
}

fn delete(connection: &Connection, ids: &[i64]) -> Result<usize, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let places = Places::read(connection)?;
    let mut deleted = 0;
    for id in ids {
        let key: Option<Vec<u8>> = connection
            // A damaged one is the operator's.
            .prepare_cached("SELECT key FROM outbox WHERE id = ?1 AND is_parked = 0")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        let Some(key) = key else {
            continue;
        };
        keys::remove(connection, &places.of(*id)?, &key, *id)?;
        delete_row(connection, *id)?;
        deleted += 1;
    }
    Ok(deleted)
}

/// A request, and what is known of its answer.
pub(super) fn delete_row(connection: &Connection, id: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM outbox WHERE id = ?1")?
        .execute([id])?;
    connection
        .prepare_cached("DELETE FROM outbox_answer WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}
