//! What is shown and said of a move.

use std::time::Duration;

use serde::Serialize;

use super::super::report::{Asked, Outcome, Report};
use super::stages::Seen;
use super::tally::Tally;

/// The last line of standard output with `--json`; its fields are documented in the command's help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct MoveReport {
    requests_pushed: u64,
    quotes_old_mint: u64,
    quotes_new_mint: u64,
    lost: u64,
    duplicates: u64,
    dead_letters: u64,
    seconds: u64,
    miners: Report,
}

/// What is left in Redis.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Left {
    /// Entries that nobody took.
    pub in_list: u64,
    /// Entries that were put aside.
    pub dead_letters: u64,
}

/// How a move ended.
#[derive(Clone, Debug)]
pub(super) struct MoveOutcome {
    report: MoveReport,
    /// Everything that was not as it must be; empty means success.
    pub(super) problems: Vec<String>,
}

impl MoveOutcome {
    /// `miners` has what came of the miners' shares, and whatever broke the run off.
    pub(super) fn new(miners: Outcome, tally: &Tally, left: Left, took: Duration) -> MoveOutcome {
        let Left {
            in_list,
            dead_letters,
        } = left;
        let mut problems = miners.problems;
        problems.extend(tally.problems());
        if dead_letters > 0 {
            problems.push(format!("{dead_letters} requests are dead letters"));
        }
        if in_list > 0 {
            problems.push(format!("{in_list} requests are left in the list"));
        }
        MoveOutcome {
            report: MoveReport {
                requests_pushed: tally.pushed.len() as u64,
                quotes_old_mint: tally.made_by_old(),
                quotes_new_mint: tally.made_by_new_for_pushed(),
                lost: tally.lost().len() as u64,
                duplicates: (tally.doubled().len() + tally.invented().len()) as u64,
                dead_letters,
                seconds: took.as_secs(),
                miners: miners.report,
            },
            problems,
        }
    }

    /// The report on one line.
    pub(super) fn json(&self) -> String {
        // Numbers and fixed names: there is nothing in it that could not be written.
        serde_json::to_string(&self.report).unwrap_or_default()
    }

    /// For people, several lines.
    pub(super) fn summary(&self) -> String {
        let report = &self.report;
        let mut lines = vec![
            format!(
                "The old pool pushed {} requests: {} became quotes of the old mint, {} of the new one.",
                report.requests_pushed, report.quotes_old_mint, report.quotes_new_mint
            ),
            format!(
                "{} shares of miners were accepted, {} quotes issued, {} redeemed for {} hash.",
                report.miners.shares_accepted,
                report.miners.quotes_issued,
                report.miners.quotes_redeemed,
                report.miners.ecash_redeemed
            ),
            format!(
                "It took {} s, and the old pool never stopped.",
                report.seconds
            ),
        ];
        if self.problems.is_empty() {
            lines.push(
                "Every request and every share has exactly one quote among both mints.".to_owned(),
            );
        } else {
            lines.truncate(2);
            lines.push("NOT as it must be:".to_owned());
            lines.extend(self.problems.iter().map(|problem| format!("- {problem}")));
        }
        lines.join("\n")
    }
}

/// How things stand, in one sentence.
pub(super) fn sentence(seen: &Seen) -> String {
    format!(
        "old pool: {} pushed, {} in the list; quotes: {} old mint, {} new mint; miners: {} shares, {} quotes",
        seen.pushed, seen.in_list, seen.old_quotes, seen.new_quotes, seen.accepted, seen.quoted
    )
}

/// The same, for a terminal; each line is shorter than `columns`.
pub(super) fn picture(seen: &Seen, asked: Asked, columns: usize) -> Vec<String> {
    let row = |name: &str, count: u64, more: String| {
        let line = format!("  {name:<9}{count:>7}  {more}");
        line.chars().take(columns.saturating_sub(1)).collect()
    };
    vec![
        row(
            "old pool",
            seen.pushed,
            format!("pushed, {} in the list", seen.in_list),
        ),
        row("old mint", seen.old_quotes, "quotes".to_owned()),
        row("new mint", seen.new_quotes, "quotes".to_owned()),
        row(
            "miners",
            seen.accepted,
            format!(
                "of {} shares accepted, {} quotes",
                asked.shares, seen.quoted
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use winze_testbed::Account;

    use super::*;

    fn outcome(tally: &Tally, dead_letters: u64) -> MoveOutcome {
        let asked = Asked {
            shares: 0,
            miners: 1,
            node: false,
        };
        let miners = Outcome::new(&Account::new(16), asked, 0, None, &[]);
        let left = Left {
            in_list: 0,
            dead_letters,
        };
        MoveOutcome::new(miners, tally, left, Duration::from_secs(31))
    }

    #[test]
    fn a_request_that_the_bridge_put_aside_is_no_success() {
        let mut tally = Tally {
            pushed: BTreeSet::from(["a".to_owned()]),
            ..Tally::default()
        };
        tally
            .new_quotes
            .insert("a".to_owned(), vec!["1".to_owned()]);
        assert_eq!(outcome(&tally, 0).problems, [""; 0]);
        assert_eq!(outcome(&tally, 1).problems, ["1 requests are dead letters"]);
        tally.new_quotes.clear();
        let lost = outcome(&tally, 1);
        assert_eq!(lost.problems.len(), 2);
        assert!(
            !lost.summary().contains("exactly one"),
            "{}",
            lost.summary()
        );
        assert!(
            lost.json().starts_with(
                "{\"requests_pushed\":1,\"quotes_old_mint\":0,\"quotes_new_mint\":0,\"lost\":1,\"duplicates\":0,\
                 \"dead_letters\":1,\"seconds\":31,\"miners\":{\"shares_accepted\":0,"
            ),
            "{}",
            lost.json()
        );
    }

    #[test]
    fn the_picture_fits_terminals_wide_and_narrow() {
        let asked = Asked {
            shares: 100_000,
            miners: 64,
            node: false,
        };
        for columns in [1, 20, 80] {
            for line in picture(&Seen::default(), asked, columns) {
                assert!(line.chars().count() < columns, "{columns}: {line:?}");
            }
        }
    }
}
