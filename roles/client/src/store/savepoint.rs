use rusqlite::Connection;

use super::StoreError;

/// Runs `f` in a savepoint inside the transaction that is under way: when it fails, what it did is
/// rolled back and the transaction goes on. Savepoints nest.
///
/// # Errors
/// That of `f`, or [`StoreError::Sqlite`] when the savepoint itself fails.
pub fn in_savepoint<T>(
    connection: &Connection,
    f: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    execute(connection, "SAVEPOINT winze")?;
    match f() {
        Ok(value) => {
            execute(connection, "RELEASE winze")?;
            Ok(value)
        }
        Err(error) => {
            // A full disk may have ended the whole transaction; then no savepoint is left.
            if !connection.is_autocommit() {
                execute(connection, "ROLLBACK TO winze")?;
                execute(connection, "RELEASE winze")?;
            }
            Err(error)
        }
    }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
