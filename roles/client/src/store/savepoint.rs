use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;

use super::StoreError;

/// Runs `f` in a savepoint inside the transaction that is under way: when it fails or panics, what
/// it did is rolled back and the transaction goes on. Savepoints nest.
///
/// # Errors
/// That of `f`, or [`StoreError::Panicked`]; [`StoreError::RolledBack`] when no transaction is under
/// way (any more); [`StoreError::Sqlite`] when the savepoint itself fails, and with it then the
/// whole transaction.
pub fn in_savepoint<T>(
    connection: &Connection,
    f: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Outside of a transaction a savepoint would make one of its own, and commit it.
    if connection.is_autocommit() {
        return Err(StoreError::RolledBack {
            cause: "the transaction has ended".to_owned(),
        });
    }
    execute(connection, "SAVEPOINT winze")?;
    match caught(f) {
        Ok(value) => {
            if let Err(error) = execute(connection, "RELEASE winze") {
                if !connection.is_autocommit() {
                    undo(connection)?;
                }
                return Err(error);
            }
            Ok(value)
        }
        Err(error) => {
            // A full disk may have ended the whole transaction; then no savepoint is left.
            if !connection.is_autocommit() {
                undo(connection)?;
            }
            Err(error)
        }
    }
}

/// Runs `f`; what it leaves half done in the database where it panics is for the caller to roll back.
pub(super) fn caught<T>(f: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or(Err(StoreError::Panicked))
}

/// Rolls the savepoint back, or everything where that fails: half of what a job did must never be
/// committed with the work of others.
fn undo(connection: &Connection) -> Result<(), StoreError> {
    let undone = execute(connection, "ROLLBACK TO winze")
        .and_then(|()| execute(connection, "RELEASE winze"));
    if undone.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    undone
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
