use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use rusqlite::Connection;

use super::{Copied, Log, copy};
use crate::store::open::Held;

/// Copies that follow one another, at most, each of what was committed during the last.
const ROUNDS_MAX: u32 = 3;

/// Another round is made where the last one has copied one part in so many of the wanted length, or more.
const ROUND_PARTS: i64 = 16;

/// What the thread has to say when it is done.
pub(super) enum Report {
    /// All but what was committed at the last is in the database, and on disk.
    Copied,
    /// SQLite says why not; it will copy the same pages again.
    Failed(String),
    /// Pages that SQLite takes for copied may be lost, and the log is all that has them.
    NotOnDisk(String),
}

/// The thread is no more.
pub(super) struct Gone;

/// The thread that copies long logs. Both channels hold one message: it is asked when it has reported, and not before.
pub(in crate::store) struct Copier {
    /// `None` only while it is closed.
    ask: Option<SyncSender<()>>,
    reports: Receiver<Report>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Copier {
    pub(in crate::store) fn start(bulk: Held, snapshot: Held, log: &Log) -> io::Result<Copier> {
        let pages_worth_a_round = log.pages_wanted() / ROUND_PARTS;
        let (ask, asked) = sync_channel(1);
        let (report, reports) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || run(&bulk, &snapshot, pages_worth_a_round, &asked, &report))?;
        Ok(Copier {
            ask: Some(ask),
            reports,
            thread: Some(thread),
        })
    }

    #[cfg(test)]
    pub(super) fn played_by(ask: SyncSender<()>, reports: Receiver<Report>) -> Copier {
        Copier {
            ask: Some(ask),
            reports,
            thread: None,
        }
    }

    /// To be called when nothing is under way. False where nobody is there to do it.
    pub(super) fn ask(&self) -> bool {
        self.ask
            .as_ref()
            .is_some_and(|ask| ask.try_send(()).is_ok())
    }

    /// `None` where it is at it still.
    pub(super) fn report(&self) -> Result<Option<Report>, Gone> {
        match self.reports.try_recv() {
            Ok(report) => Ok(Some(report)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Gone),
        }
    }

    pub(super) fn wait_for_report(&self) -> Result<Option<Report>, Gone> {
        self.reports.recv().map(Some).map_err(|_| Gone)
    }

    /// Waits for a copy that is under way, and until the thread has closed its connections.
    pub(super) fn close(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that copies the write-ahead log panicked");
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(
    bulk: &Held,
    snapshot: &Held,
    pages_worth_a_round: i64,
    asked: &Receiver<()>,
    reports: &SyncSender<Report>,
) {
    while asked.recv().is_ok() {
        let report = copy_bulk(bulk, snapshot, pages_worth_a_round);
        // A snapshot that stayed open would keep the log from ever beginning anew. It ends with its connection.
        if reports.send(report).is_err() || !snapshot.connection.is_autocommit() {
            return;
        }
    }
}

/// Each round is shorter than the one before, and what the last one leaves is the writer's.
pub(super) fn copy_bulk(bulk: &Held, snapshot: &Held, pages_worth_a_round: i64) -> Report {
    let mut before = 0;
    for _ in 0..ROUNDS_MAX {
        let copied = copy_beside_writer(&bulk.connection, &snapshot.connection);
        if let Err(error) = sync(&bulk.file) {
            return Report::NotOnDisk(error.to_string());
        }
        match copied {
            Ok(copied) if copied.copied - before >= pages_worth_a_round => before = copied.copied,
            Ok(_) => break,
            Err(error) => return Report::Failed(error.to_string()),
        }
    }
    Report::Copied
}

/// Copies while others commit, which SQLite up to 3.51.2 cannot always do: where all of the log is copied already, and a
/// transaction begins it anew at the moment in which a copy begins, the copy may take pages of the new log for copied, and
/// they are lost (the "WAL-reset bug" of SQLite's documentation of the log). So the log is kept from that meanwhile.
fn copy_beside_writer(bulk: &Connection, snapshot: &Connection) -> rusqlite::Result<Copied> {
    under_snapshot(snapshot, || copy(bulk))?
}

/// A log does not begin anew under a snapshot of it. Where the snapshot needs nothing of the log, as all of it was copied, it
/// keeps SQLite from copying at all.
pub(super) fn under_snapshot<T>(
    snapshot: &Connection,
    f: impl FnOnce() -> T,
) -> rusqlite::Result<T> {
    let held = snapshot.unchecked_transaction()?;
    // The snapshot is of when something is first read.
    held.prepare_cached("SELECT count(*) FROM winze_schema")?
        .query_row([], |_| Ok(()))?;
    let value = f();
    held.finish()?;
    Ok(value)
}

/// SQLite does so only where nothing was committed during the copy. The writer, which ends it, would sync all of it.
pub(super) fn sync(database: &Arc<File>) -> io::Result<()> {
    database.sync_data()
}
