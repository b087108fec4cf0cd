use std::sync::atomic::Ordering;

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::job::Job;
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
        let (outcome, succeeded) = run_batch(connection, &mut batch);
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
            }
        }
        for job in batch.drain(..) {
            job.finish(outcome.clone());
        }
    }
}

/// Returns what became of the transaction, and how many jobs in it succeeded.
fn run_batch(connection: &Connection, batch: &mut [Box<dyn Job>]) -> (Result<(), StoreError>, u64) {
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        return (Err(error.into()), 0);
    }
    let mut succeeded = 0;
    for job in batch {
        succeeded += u64::from(job.run(connection));
        // SQLite ends a transaction by itself after some failures (full disk, IO error), and with
        // it what the jobs before this one did.
        if connection.is_autocommit() {
            let cause = "the transaction ended inside a job".to_owned();
            return (Err(StoreError::RolledBack { cause }), 0);
        }
    }
    if let Err(error) = connection.execute_batch("COMMIT") {
        if !connection.is_autocommit()
            && let Err(rollback) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(error = %rollback, "rolling back a failed commit");
        }
        return (Err(error.into()), 0);
    }
    (Ok(()), succeeded)
}
