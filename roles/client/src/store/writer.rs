use std::sync::atomic::Ordering;

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::checkpoint::Checkpoints;
use super::job::{Job, Ran, Undo};
use super::{Counters, Schema, StoreError, transaction_begun, transaction_ends};
use crate::limits::STORE_BATCH_JOBS_MAX;

/// Takes jobs until every sender is gone: as many as wait, one transaction for all of them.
pub(super) fn run(
    connection: &Connection,
    schemas: &[Schema],
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
    counters: &Counters,
) {
    let mut checkpoints = match Checkpoints::new(connection) {
        Ok(checkpoints) => Some(checkpoints),
        Err(error) => {
            tracing::warn!(%error, "SQLite copies the write-ahead log by itself");
            None
        }
    };
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
        } = run_batch(connection, schemas, &mut batch);
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
        } else if changed > 0 && counters.trouble().take().is_some() {
            tracing::info!("the store can be written again");
        }
        for job in batch.drain(..) {
            job.finish(outcome.clone());
        }
        if let (Ok(()), Some(checkpoints)) = (outcome, &mut checkpoints) {
            checkpoints.committed(connection, changed);
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
    /// Rows that are other than before.
    changed: i64,
}

impl Batch {
    fn failed(error: StoreError) -> Batch {
        Batch {
            outcome: Err(error),
            succeeded: 0,
            disk_error: None,
            changed: 0,
        }
    }
}

fn run_batch(connection: &Connection, schemas: &[Schema], batch: &mut [Box<dyn Job>]) -> Batch {
    if let Err(error) = begin(connection, schemas) {
        return Batch::failed(error);
    }
    let mut tally = Tally {
        changes_before: total_changes(connection),
        ..Tally::default()
    };
    let outcome = run_all(connection, schemas, batch, &mut tally);
    let Tally {
        succeeded,
        disk_error,
        changes_before,
    } = tally;
    if let Err(error) = outcome {
        roll_back(connection);
        return Batch {
            disk_error,
            ..Batch::failed(error)
        };
    }
    let changed = match (changes_before, total_changes(connection)) {
        (Some(before), Some(after)) => after - before,
        _ => 0,
    };
    if let Err(error) = commit(connection, schemas, changed > 0) {
        roll_back(connection);
        return Batch::failed(error);
    }
    Batch {
        outcome: Ok(()),
        succeeded,
        disk_error,
        changed,
    }
}

/// How the jobs of a transaction went.
#[derive(Default)]
struct Tally {
    succeeded: u64,
    disk_error: Option<String>,
    /// When the transaction began (anew).
    changes_before: Option<i64>,
}

impl Tally {
    /// False where it failed.
    fn count(&mut self, ran: Ran) -> bool {
        match ran {
            Ran::Succeeded => {
                self.succeeded += 1;
                return true;
            }
            Ran::Failed => {}
            Ran::DiskFailed(error) => self.disk_error = Some(error),
        }
        false
    }
}

/// Runs the jobs in the transaction that has just begun; fails where that was lost. The first ones need no savepoint:
/// where one of those fails, the transaction begins anew.
fn run_all(
    connection: &Connection,
    schemas: &[Schema],
    batch: &mut [Box<dyn Job>],
    tally: &mut Tally,
) -> Result<(), StoreError> {
    batch.sort_by_key(|job| !job.is_repeatable());
    let repeatable = batch.partition_point(|job| job.is_repeatable());
    let (first, rest) = batch.split_at_mut(repeatable.max(1).min(batch.len()));
    if !run_bare(connection, first, tally)? {
        connection.execute_batch("ROLLBACK")?;
        begin(connection, schemas)?;
        tally.changes_before = total_changes(connection);
        // One that must not be run again has failed, and nothing else was done yet.
        if repeatable > 0 {
            tally.succeeded = 0;
            tally.disk_error = None;
            run_apart(connection, first, tally)?;
        }
    }
    run_apart(connection, rest, tally)
}

/// Until one fails: false then.
fn run_bare(
    connection: &Connection,
    jobs: &mut [Box<dyn Job>],
    tally: &mut Tally,
) -> Result<bool, StoreError> {
    for job in jobs {
        let succeeded = tally.count(job.run(connection, Undo::Caller));
        still_open(connection)?;
        if !succeeded {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Each in a savepoint of its own.
fn run_apart(
    connection: &Connection,
    jobs: &mut [Box<dyn Job>],
    tally: &mut Tally,
) -> Result<(), StoreError> {
    for job in jobs {
        tally.count(job.run(connection, Undo::Savepoint));
        still_open(connection)?;
    }
    Ok(())
}

/// SQLite ends a transaction by itself after some failures (full disk, IO error), and with it what
/// the jobs before this one did.
fn still_open(connection: &Connection) -> Result<(), StoreError> {
    match connection.is_autocommit() {
        true => Err(StoreError::RolledBack {
            cause: "the transaction ended inside a job".to_owned(),
        }),
        false => Ok(()),
    }
}

fn begin(connection: &Connection, schemas: &[Schema]) -> Result<(), StoreError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let begun = transaction_begun(connection, schemas);
    if begun.is_err() {
        roll_back(connection);
    }
    begun
}

fn commit(connection: &Connection, schemas: &[Schema], changed: bool) -> Result<(), StoreError> {
    if changed {
        transaction_ends(connection, schemas)?;
    }
    Ok(connection.execute_batch("COMMIT")?)
}

/// After a failure; SQLite may have done so by itself.
fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "rolling back a failed transaction");
    }
}

/// Rows that were ever changed on this connection.
fn total_changes(connection: &Connection) -> Option<i64> {
    let mut statement = connection.prepare_cached("SELECT total_changes()").ok()?;
    statement.query_row([], |row| row.get(0)).ok()
}
