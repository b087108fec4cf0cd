//! When the write-ahead log is copied into the database, and by whom.
//!
//! SQLite would do it inside of a commit, and all who wait for that would wait for a copy that is none of theirs. So the
//! writer sees to it after it has answered them. A short log it copies by itself. A long one is copied by a thread of its own
//! while the writer goes on committing; when that has reported, the writer copies the little that has come in between, and
//! only then is all of the log copied, so that the next transaction begins it anew.

mod copier;
mod count;

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use self::copier::{Gone, Report, sync};
use self::count::{Checkpoints, Due};
use super::open::Held;
use crate::limits::{STORE_CHECKPOINT_BYTES, STORE_WAL_BYTES_KEPT_MAX, STORE_WAL_BYTES_MAX};

pub(super) use self::copier::Copier;

/// How long the write-ahead log becomes.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogBytes {
    /// When it is copied.
    pub(super) wanted: i64,
    /// What of the file is kept when it begins anew.
    pub(super) kept_max: i64,
    /// When the writer waits until it is copied.
    pub(super) max: i64,
}

#[cfg(test)]
impl LogBytes {
    pub(super) fn short() -> LogBytes {
        LogBytes {
            wanted: 1 << 20,
            kept_max: 3 << 19,
            max: 2 << 20,
        }
    }
}

impl Default for LogBytes {
    fn default() -> LogBytes {
        LogBytes {
            wanted: STORE_CHECKPOINT_BYTES,
            kept_max: STORE_WAL_BYTES_KEPT_MAX,
            max: STORE_WAL_BYTES_MAX,
        }
    }
}

/// The log of a store, as its writer knows it.
pub(super) struct Log {
    pub(super) path: PathBuf,
    pub(super) bytes: LogBytes,
    pub(super) page_bytes: i64,
}

impl Log {
    pub(super) fn pages_wanted(&self) -> i64 {
        self.bytes.wanted / self.page_bytes.max(1)
    }

    /// The file is at least as long as the log that lies in it. It is asked, as rows say how long the log is only where
    /// they take as many pages as before.
    fn is_too_long(&self) -> bool {
        fs::metadata(&self.path).map_or(true, |file| file.len() >= self.bytes.max.unsigned_abs())
    }
}

/// What SQLite says of a copy.
#[derive(Clone, Copy, Debug)]
struct Copied {
    /// Pages in the log.
    pages: i64,
    /// Those of them that are in the database, by this copy or an earlier one.
    copied: i64,
    /// All of them are in the database, so the log begins anew with the next transaction.
    is_all: bool,
}

/// The writer's part in it.
pub(super) struct Checkpointer<'a> {
    connection: &'a Connection,
    database: Arc<File>,
    log: Log,
    counted: Checkpoints,
    /// `None` where the writer does it all.
    copier: Option<Copier>,
    /// The copier was asked, and has not reported.
    is_under_way: bool,
    /// The last copy failed, and it was said.
    is_failing: bool,
    /// Why the log is copied no more.
    ended: Option<String>,
}

impl<'a> Checkpointer<'a> {
    pub(super) fn new(writer: &'a Held, log: Log, copier: Option<Copier>) -> Checkpointer<'a> {
        Checkpointer {
            connection: &writer.connection,
            database: Arc::clone(&writer.file),
            counted: Checkpoints::new(log.pages_wanted()),
            log,
            copier,
            is_under_way: false,
            is_failing: false,
            ended: None,
        }
    }

    /// A transaction has changed so many rows; to be called when all who wait for it were answered.
    pub(super) fn committed(&mut self, changed: i64) {
        if self.ended.is_some() {
            return;
        }
        let due = self.counted.committed(changed);
        if self.is_under_way {
            self.look_for_report();
            return;
        }
        match due {
            Due::NotYet => {}
            Due::Long if self.copier.as_ref().is_some_and(Copier::ask) => self.is_under_way = true,
            Due::Short | Due::Long => self.copy_rest(true),
        }
    }

    /// Why the log is not copied until the next start, for the operator.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// To be called before the writer's connection is closed: who closes last copies the log and removes it.
    pub(super) fn close(mut self) {
        if let Some(mut copier) = self.copier.take() {
            copier.close();
            if self.is_under_way {
                self.heard(copier.report());
            }
        }
    }

    fn look_for_report(&mut self) {
        let Some(copier) = &self.copier else {
            return;
        };
        let report = match self.log.is_too_long() {
            true => copier.wait_for_report(),
            false => copier.report(),
        };
        if let Some(is_well) = self.heard(report) {
            self.copy_rest(is_well);
        }
    }

    /// Whether all went well, where the rest can be copied now.
    fn heard(&mut self, report: Result<Option<Report>, Gone>) -> Option<bool> {
        self.is_under_way = matches!(report, Ok(None));
        match report {
            Ok(None) => None,
            Ok(Some(Report::Copied)) => Some(true),
            Ok(Some(Report::Failed(error))) => {
                self.fails(&error);
                Some(false)
            }
            Ok(Some(Report::NotOnDisk(error))) => {
                self.end(&error);
                None
            }
            Err(Gone) => {
                self.copier = None;
                self.fails("the thread that does it is gone");
                // What it has copied it may not have synced.
                match sync(&self.database) {
                    Ok(()) => Some(false),
                    Err(error) => {
                        self.end(&error.to_string());
                        None
                    }
                }
            }
        }
    }

    /// `is_well`: nothing has failed before it.
    fn copy_rest(&mut self, is_well: bool) {
        match copy(self.connection) {
            Ok(copied) => {
                self.counted.copied(copied);
                if is_well && self.is_failing {
                    self.is_failing = false;
                    tracing::info!("the write-ahead log can be copied into the database again");
                }
            }
            Err(error) => {
                self.counted.not_copied();
                self.fails(&error.to_string());
            }
        }
    }

    fn fails(&mut self, error: &str) {
        if !self.is_failing {
            tracing::warn!(
                error,
                "the write-ahead log was not copied into the database; it is tried again"
            );
        }
        self.is_failing = true;
    }

    /// Leaves the log as it is, to be copied from its beginning at the next start. A page that the system could not write it
    /// does not write again, and says so once; SQLite would copy what follows, and give up the only place that has the page.
    fn end(&mut self, error: &str) {
        let kept = self
            .connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .and_then(|_| self.connection.pragma_update(None, "wal_autocheckpoint", 0));
        let trouble = format!(
            "what was copied from the write-ahead log into the database is not on disk ({error}). The log has it and is \
             kept, and grows, until the next start"
        );
        tracing::error!("{trouble}");
        if let Err(error) = kept {
            tracing::error!(%error, "the write-ahead log may be removed when the store is closed");
        }
        self.ended = Some(trouble);
    }
}

/// As much of the log as no reader needs.
fn copy(connection: &Connection) -> rusqlite::Result<Copied> {
    connection
        .prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?
        .query_row([], |row| {
            let (is_busy, pages, copied): (bool, i64, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let is_all = !is_busy && pages == copied;
            Ok(Copied {
                pages,
                copied,
                is_all,
            })
        })
}

#[cfg(test)]
mod tests;
