use std::sync::atomic::Ordering;

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::job::{Job, Ran};
use super::{Counters, StoreError};
use crate::limits::STORE_BATCH_JOBS_MAX;

/// Takes jobs until every sender is gone: as many as wait, one transaction for all of them.
pub(super) fn run(
    connection: &Connection,
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
    counters: &Counters,
) {
    let mut batch = Vec::new();
    while let Some(first) = waiting.blocking_recv() {
        batch.push(first);
        while batch.len() < STORE_BATCH_JOBS_MAX {
            match waiting.try_recv() {
                Ok(job) => batch.push(job),
                Err(_) => break,
            }
        }
        let jobs = batch.len() as u64;
        let Batch {
            outcome,
            succeeded,
            mut disk_error,
            changed,
        } = run_batch(connection, &mut batch);
        match &outcome {
            Ok(()) => {
                counters.commits.fetch_add(1, Ordering::Relaxed);
                counters.writes.fetch_add(succeeded, Ordering::Relaxed);
                counters
                    .writes_failed
                    .fetch_add(jobs - succeeded, Ordering::Relaxed);
            }
            Err(error) => {
                counters.writes_failed.fetch_add(jobs, Ordering::Relaxed);
                tracing::error!(%error, jobs, "a transaction was not committed");
                disk_error.get_or_insert_with(|| error.to_string());
            }
        }
        if disk_error.is_some() {
            *counters.trouble() = disk_error;
        } else if changed && counters.trouble().take().is_some() {
            tracing::info!("the store can be written again");
        }
        for job in batch.drain(..) {
            job.finish(outcome.clone());
        }
    }
}

/// What became of a transaction.
struct Batch {
    outcome: Result<(), StoreError>,
    /// How many of its jobs succeeded.
    succeeded: u64,
    /// What the disk did to one of them.
    disk_error: Option<String>,
    /// Something in the file is other than before.
    changed: bool,
}

impl Batch {
    fn failed(error: StoreError) -> Batch {
        Batch {
            outcome: Err(error),
            succeeded: 0,
            disk_error: None,
            changed: false,
        }
    }
}

fn run_batch(connection: &Connection, batch: &mut [Box<dyn Job>]) -> Batch {
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        return Batch::failed(error.into());
    }
    let changes_before = total_changes(connection);
    let mut succeeded = 0;
    let mut disk_error = None;
    for job in batch {
        match job.run(connection) {
            Ran::Succeeded => succeeded += 1,
            Ran::Failed => {}
            Ran::DiskFailed(error) => disk_error = Some(error),
        }
        // SQLite ends a transaction by itself after some failures (full disk, IO error), and with
        // it what the jobs before this one did.
        if connection.is_autocommit() {
            let cause = "the transaction ended inside a job".to_owned();
            return Batch {
                disk_error,
                ..Batch::failed(StoreError::RolledBack { cause })
            };
        }
    }
    let changed = total_changes(connection) != changes_before;
    if let Err(error) = connection.execute_batch("COMMIT") {
        if !connection.is_autocommit()
            && let Err(rollback) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(error = %rollback, "rolling back a failed commit");
        }
        return Batch::failed(error.into());
    }
    Batch {
        outcome: Ok(()),
        succeeded,
        disk_error,
        changed,
    }
}

/// Rows that were ever changed on this connection.
fn total_changes(connection: &Connection) -> Option<i64> {
    let mut statement = connection.prepare_cached("SELECT total_changes()").ok()?;
    statement.query_row([], |row| row.get(0)).ok()
}
