use super::Copied;

/// Rows that are changed before the first copy, which shows how many pages they take.
const FIRST_AFTER: i64 = 16_384;

/// Transactions before a copy, at most: with small ones a row takes more pages than with large ones, and what was learned from the
/// one says little of the other.
const COMMITS_MAX: u32 = 64;

/// A log is short where it has less than one part in so many of the wanted length.
const SHORT_PARTS: i64 = 4;

/// Counts changed rows: how long the log is SQLite only says when it is copied.
pub(super) struct Checkpoints {
    /// Pages of the log that are copied at a time.
    pages: i64,
    /// Rows that take so many pages, as far as is known.
    rows: i64,
    /// Rows changed since the log was empty.
    changed: i64,
    /// Transactions since the last copy.
    commits: u32,
    /// With so many rows the next copy is made.
    due_at: i64,
}

/// Whether the log is to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    NotYet,
    /// It is short: to sync the database takes most of the time, whoever copies.
    Short,
    Long,
}

impl Checkpoints {
    pub(super) fn new(pages: i64) -> Checkpoints {
        Checkpoints {
            pages,
            rows: FIRST_AFTER,
            changed: 0,
            commits: 0,
            due_at: FIRST_AFTER,
        }
    }

    /// A transaction has changed so many rows.
    pub(super) fn committed(&mut self, changed: i64) -> Due {
        self.changed = self.changed.saturating_add(changed);
        self.commits = self.commits.saturating_add(u32::from(changed > 0));
        if self.changed < self.due_at && self.commits < COMMITS_MAX {
            return Due::NotYet;
        }
        self.commits = 0;
        match self.changed < self.rows / SHORT_PARTS {
            true => Due::Short,
            false => Due::Long,
        }
    }

    /// As many rows as take the wanted number of pages come before the next copy; or some, where a reader or another process
    /// has kept this one from being whole.
    pub(super) fn copied(&mut self, copied: Copied) {
        if !copied.is_all {
            self.not_copied();
            return;
        }
        let rows =
            i128::from(self.changed) * i128::from(self.pages) / i128::from(copied.pages.max(1));
        self.rows = i64::try_from(rows).unwrap_or(i64::MAX).max(1);
        self.changed = 0;
        self.commits = 0;
        self.due_at = self.rows;
    }

    /// It comes again after some rows.
    pub(super) fn not_copied(&mut self) {
        self.due_at = self.changed.saturating_add(FIRST_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_of(pages: i64) -> Copied {
        let is_all = true;
        Copied {
            pages,
            copied: pages,
            is_all,
        }
    }

    /// The lengths, in pages, at which a log is copied that takes a page for so many rows, in transactions of so many.
    fn copied_at(checkpoints: &mut Checkpoints, rows_per_page: i64, transaction: i64) -> Vec<i64> {
        let mut in_log = 0;
        let mut lengths = Vec::new();
        while lengths.len() < 6 {
            in_log += transaction;
            if checkpoints.committed(transaction) != Due::NotYet {
                let pages = in_log / rows_per_page;
                lengths.push(pages);
                // One is kept from being whole.
                let is_all = lengths.len() != 3;
                checkpoints.copied(Copied {
                    is_all,
                    ..all_of(pages)
                });
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
            let mut checkpoints = Checkpoints::new(4_096);
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
        let mut checkpoints = Checkpoints::new(4_096);
        copied_at(&mut checkpoints, 100, 10_000);
        let lengths = copied_at(&mut checkpoints, 1, 4);
        assert!(lengths.iter().all(|pages| *pages <= 4_096), "{lengths:?}");
    }

    #[test]
    fn a_log_of_a_few_small_transactions_is_short_and_one_of_the_wanted_length_is_not() {
        let mut checkpoints = Checkpoints::new(4_096);
        let mut next = |changed: i64| {
            std::iter::repeat_with(|| checkpoints.committed(changed))
                .find(|due| *due != Due::NotYet)
                .unwrap()
        };
        // Nothing is known of the first rows, and enough of them make a long log.
        assert_eq!(next(1_000), Due::Long);
        checkpoints.copied(all_of(4_096));
        let mut next = |changed: i64| {
            std::iter::repeat_with(|| checkpoints.committed(changed))
                .find(|due| *due != Due::NotYet)
                .unwrap()
        };
        assert_eq!(next(1), Due::Short);
        // A reader has kept it from being copied: by and by it becomes long.
        assert_eq!(next(40), Due::Short);
        assert_eq!(next(40), Due::Long);
    }

    /// What is committed while another thread copies belongs to the log that is copied in the end.
    #[test]
    fn rows_that_come_while_it_is_copied_are_learned_from_with_the_others() {
        let mut checkpoints = Checkpoints::new(4_096);
        assert_eq!(checkpoints.committed(20_000), Due::Long);
        checkpoints.committed(20_000);
        checkpoints.copied(all_of(4_096));
        assert_eq!(checkpoints.committed(39_999), Due::NotYet);
        assert_eq!(checkpoints.committed(1), Due::Long);
    }
}
