//! When the write-ahead log is copied into the database: by the writer, after it has answered those whose transaction was
//! committed. SQLite would do it inside of a commit, and all of them would wait for a copy that is none of theirs.
//!
//! Nobody else copies: in SQLite before 3.51.3 a copy by one connection that meets a commit by another can lose pages. A thread
//! of its own for it, kept from that by a snapshot, made nothing faster.

use rusqlite::Connection;

use super::StoreError;
use crate::limits::STORE_CHECKPOINT_BYTES;

/// Rows that are changed before the first copy, which shows how many pages they take.
const FIRST_AFTER: i64 = 16_384;

/// Transactions before a copy, at most: with small ones a row takes more pages than with large ones, and what was learned from the
/// one says little of the other.
const COMMITS_MAX: u32 = 64;

/// Counts changed rows: how long the log is SQLite only says when it is copied.
pub(super) struct Checkpoints {
    /// Pages of the log that are copied at a time.
    pages: i64,
    /// Rows changed since the log was empty.
    changed: i64,
    /// Transactions since the last copy.
    commits: u32,
    /// With so many the next copy is made.
    due_at: i64,
}

/// What SQLite says of a copy.
#[derive(Clone, Copy, Debug)]
struct Copied {
    /// Pages in the log.
    pages: i64,
    /// All of them are in the database, so the log begins anew with the next transaction.
    is_all: bool,
}

impl Checkpoints {
    pub(super) fn new(connection: &Connection) -> Result<Checkpoints, StoreError> {
        let page_bytes: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        Ok(Checkpoints::of(STORE_CHECKPOINT_BYTES / page_bytes.max(1)))
    }

    fn of(pages: i64) -> Checkpoints {
        Checkpoints {
            pages,
            changed: 0,
            commits: 0,
            due_at: FIRST_AFTER,
        }
    }

    /// A transaction has changed so many rows; to be called when all who wait for it were answered.
    pub(super) fn committed(&mut self, connection: &Connection, changed: i64) {
        if !self.is_due(changed) {
            return;
        }
        let copied = connection
            .prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")
            .and_then(|mut copy| {
                copy.query_row([], |row| {
                    let (is_busy, pages, copied): (bool, i64, i64) =
                        (row.get(0)?, row.get(1)?, row.get(2)?);
                    let is_all = !is_busy && pages == copied;
                    Ok(Copied { pages, is_all })
                })
            });
        match copied {
            Ok(copied) => self.copied(copied),
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log was not copied into the database");
                self.due_at = self.changed.saturating_add(FIRST_AFTER);
            }
        }
    }

    fn is_due(&mut self, changed: i64) -> bool {
        self.changed = self.changed.saturating_add(changed);
        self.commits += u32::from(changed > 0);
        let is_due = self.changed >= self.due_at || self.commits >= COMMITS_MAX;
        if is_due {
            self.commits = 0;
        }
        is_due
    }

    /// As many rows as take the wanted number of pages come before the next copy; or some, where a reader or another process
    /// has kept this one from being whole.
    fn copied(&mut self, copied: Copied) {
        if !copied.is_all {
            self.due_at = self.changed.saturating_add(FIRST_AFTER);
            return;
        }
        let rows =
            i128::from(self.changed) * i128::from(self.pages) / i128::from(copied.pages.max(1));
        self.changed = 0;
        self.due_at = i64::try_from(rows).unwrap_or(i64::MAX).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths, in pages, at which a log is copied that takes a page for so many rows, in transactions of so many.
    fn copied_at(checkpoints: &mut Checkpoints, rows_per_page: i64, transaction: i64) -> Vec<i64> {
        let mut in_log = 0;
        let mut lengths = Vec::new();
        while lengths.len() < 6 {
            in_log += transaction;
            if checkpoints.is_due(transaction) {
                let pages = in_log / rows_per_page;
                lengths.push(pages);
                // One is kept from being whole.
                let is_all = lengths.len() != 3;
                checkpoints.copied(Copied { pages, is_all });
                if is_all {
                    in_log = 0;
                }
            }
        }
        lengths
    }

    #[test]
    fn it_is_copied_when_it_has_become_as_long_as_it_may() {
        for rows_per_page in [1, 5, 30] {
            let mut checkpoints = Checkpoints::of(4_096);
            let transaction = 100 * rows_per_page;
            let lengths = copied_at(&mut checkpoints, rows_per_page, transaction);
            let [_, second, third, fourth, later @ ..] = &lengths[..] else {
                panic!("{lengths:?}");
            };
            let is_right = |pages: &i64| (4_096..=4_096 + 100).contains(pages);
            assert!(is_right(second) && is_right(third), "{lengths:?}");
            assert!(fourth > third, "{lengths:?}");
            assert!(later.iter().all(is_right), "{lengths:?}");
        }
    }

    /// A row that is written alone takes a page of its own.
    #[test]
    fn it_is_not_left_to_sqlite_where_rows_take_more_pages_than_before() {
        let mut checkpoints = Checkpoints::of(4_096);
        copied_at(&mut checkpoints, 100, 10_000);
        let lengths = copied_at(&mut checkpoints, 1, 4);
        assert!(lengths.iter().all(|pages| *pages <= 4_096), "{lengths:?}");
    }
}
