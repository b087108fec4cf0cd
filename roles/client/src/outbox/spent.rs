//! How answered requests go, once they are of no more use.

use rusqlite::{Connection, OptionalExtension, params};

use super::keys::Removing;
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
    let mut spent = due(connection, 0, before_unix_ms, rows_max)?.rows;
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
        spent.extend(further.rows);
        spent.sort_unstable();
        spent.dedup();
    }
    delete(connection, &spent)
}

struct Due {
    /// The id and key of each.
    rows: Vec<(i64, Vec<u8>)>,
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
    // A damaged one is parked, and the operator's.
    let mut not_parked =
        connection.prepare_cached("SELECT key FROM outbox WHERE id = ?1 AND is_parked = 0")?;
    let mut rows = statement.query(params![after_id, before_unix_ms, looked_at_max])?;
    let mut due = Due {
        rows: Vec::new(),
        looked_through: 0,
    };
    let mut looked_at = 0;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        looked_at += 1;
        if row.get(1)?
            && let Some(key) = not_parked.query_row([id], |row| row.get(0)).optional()?
        {
            due.rows.push((id, key));
        }
        if due.rows.len() >= rows_max || looked_at >= looked_at_max {
            due.looked_through = id;
            break;
        }
    }
    Ok(due)
}

fn delete(connection: &Connection, rows: &[(i64, Vec<u8>)]) -> Result<usize, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let places = Places::read(connection)?;
    let mut keys = Removing::new(connection)?;
    for (id, key) in rows {
        keys.remove(&places.of(*id)?, key, *id)?;
        delete_row(connection, *id)?;
    }
    Ok(rows.len())
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
