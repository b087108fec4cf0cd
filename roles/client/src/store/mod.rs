//! One SQLite file for everything that a role must not lose.
//!
//! All writes go through one thread. It takes every job that waits, runs each so that it can be
//! undone alone, and ends with one `COMMIT`: many requests share one fsync, and a job that fails
//! takes nothing with it. Nobody hears `Ok` before that commit is on disk (WAL, `synchronous = FULL`).
//! Reads have a connection and a thread of their own and see what was committed.

pub(crate) mod beside;
mod checkpoint;
mod checksum;
mod error;
mod job;
mod key_index;
mod lock;
mod open;
mod reader;
mod savepoint;
mod schema;
mod wal;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

pub use beside::StoreFileError;
pub(crate) use checksum::{RowChecksums, row_checksum};
pub use error::StoreError;
pub(crate) use key_index::{
    KeyAdder, KeyFinder, KeyHashes, KeyIndex, KeyRemover, key_hash, key_index,
};
pub use savepoint::in_savepoint;
pub use schema::{Schema, begin, keep_new_keys, transaction_begun, transaction_ends};

use crate::limits::{STORE_READS_WAITING_MAX, STORE_WRITES_WAITING_MAX};
use job::{Closure, Job, Once, Repeatable, TypedJob};

/// A role's database; clones share it.
///
/// While a process has the file open no other one can (`<file>.lock`): two pools on one outbox
/// would ask for everything twice. When the last clone is dropped, what was handed in is still
/// committed, then the file is closed; the drop waits for that.
#[derive(Clone)]
pub struct Store {
    threads: Arc<Threads>,
}

/// What a store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Transactions committed: about one fsync each.
    pub commits: u64,
    /// Writes that were committed and answered with `Ok`.
    pub writes: u64,
    /// Writes that were rolled back.
    pub writes_failed: u64,
}

impl Store {
    /// Opens the file at `path`, makes it (mode 0600) where there is none, and brings every schema
    /// of `schemas` up to date, in their order.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when a process has it open, [`StoreError::NewerSchema`] when a newer
    /// program has written it, [`StoreError::File`] and [`StoreError::Sqlite`] when it cannot be
    /// opened or is no database, [`StoreError::Damaged`] when what it holds cannot be relied on.
    ///
    /// It reads the whole file once, to know that it is whole.
    pub fn open(path: &Path, schemas: &[Schema]) -> Result<Store, StoreError> {
        let opened = open::open(path, schemas)?;
        let counters = Arc::new(Counters::default());
        let (writes, waiting_writes) = mpsc::channel(STORE_WRITES_WAITING_MAX);
        let (reads, waiting_reads) = mpsc::channel(STORE_READS_WAITING_MAX);
        let spawn_error = |source| StoreError::File {
            path: opened.path.clone(),
            source: Arc::new(source),
        };
        let writer = {
            let counters = Arc::clone(&counters);
            let (connection, lock) = (opened.writer, opened.lock);
            let schemas = schemas.to_vec();
            thread::Builder::new()
                .name("store-writer".into())
                .spawn(move || {
                    writer::run(&connection, &schemas, waiting_writes, &counters);
                    drop(connection);
                    drop(lock);
                })
                .map_err(spawn_error)?
        };
        let reader = {
            let connection = opened.reader;
            thread::Builder::new()
                .name("store-reader".into())
                .spawn(move || reader::run(&connection, waiting_reads))
                .map_err(spawn_error)?
        };
        Ok(Store {
            threads: Arc::new(Threads {
                writes: Some(writes),
                reads: Some(reads),
                writer: Some(writer),
                reader: Some(reader),
                counters,
                path: opened.path,
                damage: opened.damage,
            }),
        })
    }

    /// Runs `f` inside a transaction and answers once it is on disk.
    ///
    /// When `f` fails or panics, what it did is rolled back, and only that. `f` must not end the
    /// transaction (`COMMIT`, `ROLLBACK`). It runs on the writer thread: others wait meanwhile, so
    /// it does nothing but touch the database. Waits while [`STORE_WRITES_WAITING_MAX`] jobs are
    /// ahead. Cancelling the future after its first await does not call the write off.
    ///
    /// # Errors
    /// That of `f`; [`StoreError::Sqlite`] or [`StoreError::RolledBack`] when the transaction that
    /// it shared could not be committed (a full disk, say): then nothing of it was kept.
    pub async fn write<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        submit(self.threads.writes.as_ref(), Once::new(f)).await
    }

    /// [`Self::write`] for work that may be done again from its beginning: the cheapest way to write much. It may run
    /// before writes that were handed in earlier and are not answered yet, and shares a transaction with others of its
    /// kind without a savepoint; where one of them fails all of it is rolled back and run again, each in a savepoint, so that it
    /// fails alone.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_repeatable<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        submit(self.threads.writes.as_ref(), Repeatable::new(f)).await
    }

    /// Runs `f` on a snapshot of what is committed. `f` cannot write.
    ///
    /// # Errors
    /// That of `f`, or [`StoreError::Sqlite`].
    pub async fn read<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        submit(self.threads.reads.as_ref(), Once::new(f)).await
    }

    /// The file, as an absolute path without symbolic links.
    pub fn path(&self) -> &Path {
        &self.threads.path
    }

    /// Why nothing can be written at present (a full disk, say), for the operator; `None` where
    /// the last write that changed anything was kept. The store goes on by itself when there is
    /// room again.
    pub fn trouble(&self) -> Option<String> {
        self.threads.counters.trouble().clone()
    }

    /// What was found wrong with the write-ahead log at the start, for the operator; `None` where
    /// nothing was. What that log held is lost, as if the store had been set back by so much.
    pub fn damage(&self) -> Option<&str> {
        self.threads.damage.as_deref()
    }

    /// What it has done so far, for the operator's metrics.
    pub fn counts(&self) -> StoreCounts {
        let counters = &self.threads.counters;
        StoreCounts {
            commits: counters.commits.load(Ordering::Relaxed),
            writes: counters.writes.load(Ordering::Relaxed),
            writes_failed: counters.writes_failed.load(Ordering::Relaxed),
        }
    }
}

async fn submit<T, C>(
    queue: Option<&mpsc::Sender<Box<dyn Job>>>,
    closure: C,
) -> Result<T, StoreError>
where
    T: Send + 'static,
    C: Closure<T> + 'static,
{
    let queue = queue.ok_or(StoreError::Closed)?;
    let (reply, answer) = oneshot::channel();
    let job: Box<dyn Job> = Box::new(TypedJob::new(closure, reply));
    queue.send(job).await.map_err(|_| StoreError::Closed)?;
    answer.await.map_err(|_| StoreError::Closed)?
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    writes: AtomicU64,
    writes_failed: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Counters {
    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Threads {
    /// `None` only while dropping.
    writes: Option<mpsc::Sender<Box<dyn Job>>>,
    reads: Option<mpsc::Sender<Box<dyn Job>>>,
    writer: Option<thread::JoinHandle<()>>,
    reader: Option<thread::JoinHandle<()>>,
    counters: Arc<Counters>,
    path: PathBuf,
    damage: Option<String>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        // One after the other: who closes last copies the log into the database and removes it, and of two that close at
        // once neither is the last.
        self.reads = None;
        let reader = self.reader.take();
        self.join(reader);
        self.writes = None;
        let writer = self.writer.take();
        self.join(writer);
    }
}

impl Threads {
    fn join(&self, thread: Option<thread::JoinHandle<()>>) {
        // A job may own the last clone; its thread cannot wait for itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "a thread of the store panicked");
        }
    }
}

#[cfg(test)]
mod tests;
