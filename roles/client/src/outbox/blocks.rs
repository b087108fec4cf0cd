//! Which rows wait, by the block: rows side by side, of which it is known how many wait.
//!
//! An index over the waiting rows would be changed with each of them, twice. A block is written once for all that a
//! transaction adds or answers in it, and one in which nothing waits is not looked at.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use crate::store::StoreError;

/// Rows in a block: about what a transaction of a busy role adds, and few enough to be looked through for one.
const BLOCK_BITS: u32 = 8;

/// How many rows of each block begin or cease to wait, until that is written.
#[derive(Default)]
pub(super) struct Changes(BTreeMap<i64, i64>);

impl Changes {
    /// So many more rows wait, or fewer, in the block of this one.
    pub(super) fn add(&mut self, id: i64, rows: i64) {
        *self.0.entry(id >> BLOCK_BITS).or_default() += rows;
    }

    /// To be called before the transaction ends, and before anything else looks for what waits.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for (block, rows) in std::mem::take(&mut self.0) {
            if rows > 0 {
                connection
                    .prepare_cached(
                        "INSERT INTO outbox_block (block, waiting) VALUES (?1, ?2)
                         ON CONFLICT (block) DO UPDATE SET waiting = waiting + excluded.waiting",
                    )?
                    .execute(params![block, rows])?;
            } else if rows < 0 {
                connection
                    .prepare_cached(
                        "UPDATE outbox_block SET waiting = waiting + ?2 WHERE block = ?1",
                    )?
                    .execute(params![block, rows])?;
                connection
                    .prepare_cached("DELETE FROM outbox_block WHERE block = ?1 AND waiting <= 0")?
                    .execute([block])?;
            }
        }
        Ok(())
    }
}

/// One row begins or ceases to wait.
pub(super) fn change(connection: &Connection, id: i64, rows: i64) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    changes.add(id, rows);
    changes.write(connection)
}

/// SQL that selects `columns` of the waiting rows `o`, with what is known of an answer to them as `a`, with ids above ?1
/// through ?2, in their order, and at most ?3 of them.
pub(super) fn waiting_rows(columns: &str) -> String {
    format!(
        // `is_parked = 0` SQLite would take for worth an index of its own, made for this query.
        "SELECT {columns}, o.attempts FROM outbox_block b
         CROSS JOIN outbox o
             ON o.id > max(?1, (b.block << {BLOCK_BITS}) - 1)
             AND o.id < (b.block + 1) << {BLOCK_BITS}
         LEFT JOIN outbox_answer a ON a.id = o.id
         WHERE b.block >= ?1 >> {BLOCK_BITS} AND b.block <= ?2 >> {BLOCK_BITS}
             AND NOT o.is_parked AND (a.id IS NULL OR a.is_asked_again)
         ORDER BY b.block, o.id LIMIT ?3"
    )
}
