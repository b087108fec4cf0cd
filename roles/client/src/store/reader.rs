use rusqlite::Connection;
use tokio::sync::mpsc;

use super::StoreError;
use super::job::{Job, Undo};

/// Runs reads one after the other until every sender is gone, each on a snapshot of its own.
pub(super) fn run(connection: &Connection, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    while let Some(mut job) = waiting.blocking_recv() {
        let outcome = run_one(connection, job.as_mut());
        job.finish(outcome);
    }
}

fn run_one(connection: &Connection, job: &mut dyn Job) -> Result<(), StoreError> {
    connection.execute_batch("BEGIN DEFERRED")?;
    job.run(connection, Undo::Caller);
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("COMMIT")
    {
        // A snapshot that stayed open would be the end of all later reads.
        if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        return Err(error.into());
    }
    Ok(())
}
