//! When the write-ahead log is copied into the database: by the writer, after it has answered those whose transaction was
//! committed. SQLite would do it inside of a commit, and all of them would wait for a copy that is none of theirs.

use rusqlite::Connection;

use super::StoreError;
use crate::limits::STORE_CHECKPOINT_BYTES;

/// Rows that are changed before the first copy, which shows how many pages they take.
const FIRST_AFTER: i64 = 16_384;

/// Counts changed rows: how long the log is SQLite only says when it is copied.
pub(super) struct Checkpoints {
    /// Pages of the log that are copied at a time.
    pages: i64,
    /// Rows changed since the log was empty.
    changed: i64,
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
            due_at: FIRST_AFTER,
        }
    }

    /// A transaction has changed so many rows; to be called when all who wait for it were answered.
    pub(super) fn committed(&mut self, connection: &Connection, changed: i64) {
        self.changed = self.changed.saturating_add(changed);
        if self.changed < self.due_at {
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

    /// Whatever a row takes, the log has the wanted number of pages when it is copied.
    #[test]
    fn it_is_copied_when_it_has_become_as_long_as_it_may() {
        for rows_per_page in [1, 30, 400] {
            let mut checkpoints = Checkpoints::of(4_096);
            let mut lengths = Vec::new();
            let mut in_log = 0;
            for _ in 0..2_000_000 / 1_000 * rows_per_page {
                in_log += 1_000;
                checkpoints.changed += 1_000;
                if checkpoints.changed >= checkpoints.due_at {
                    let pages = in_log / rows_per_page;
                    lengths.push(pages);
                    // One that was kept from being whole goes on.
                    let is_all = lengths.len() != 3;
                    checkpoints.copied(Copied { pages, is_all });
                    if is_all {
                        in_log = 0;
                    }
                }
            }
            let [_, second, third, fourth, later @ ..] = &lengths[..] else {
                panic!("copied {} times", lengths.len());
            };
            let is_right = |pages: &i64| (4_096..=4_096 + 1_000).contains(pages);
            assert!(is_right(second) && is_right(third), "{lengths:?}");
            assert!(*fourth > *third, "{lengths:?}");
            assert!(later.iter().all(is_right), "{lengths:?}");
        }
    }
}
