//! What is said at the end: the object of `--json`, the summary for people, and what was not as it must be.

use serde::Serialize;
use winze_testbed::{Account, Problem};

use super::error::DemoError;

/// Problems that the summary tells one by one. What went wrong once often did so a thousand times.
const PROBLEMS_SHOWN_MAX: usize = 20;

/// The last line of standard output with `--json`; its fields are documented in the command's help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub shares_accepted: u64,
    pub quotes_issued: u64,
    pub quotes_redeemed: u64,
    pub ecash_redeemed: u64,
    pub ecash_expected: u64,
    pub blocks_found: u64,
    pub quote_latency_ms: Latency,
}

/// Nearest-rank percentiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Latency {
    pub p50: Option<u64>,
    pub p99: Option<u64>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub report: Report,
    /// Everything that was not as it must be; empty means success.
    pub problems: Vec<String>,
    shares_refused: u64,
    shares_in_doubt: u64,
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub shares: u64,
    pub miners: u8,
    /// Whether blocks are a node's.
    pub node: bool,
}

/// `1 miner`, `2 miners`.
pub(crate) fn miners(count: u8) -> String {
    match count {
        1 => "1 miner".to_owned(),
        count => format!("{count} miners"),
    }
}

impl Outcome {
    /// Of a run that came to its end, or was broken off for `failures`. `held` is what the wallets hold, `blocks_found`
    /// what the node has, where there is one.
    pub(crate) fn new(
        account: &Account,
        asked: Asked,
        held: u64,
        blocks_found: Option<u64>,
        failures: &[DemoError],
    ) -> Outcome {
        let mut problems: Vec<String> = failures.iter().map(ToString::to_string).collect();
        if account.shares_accepted() != asked.shares {
            problems.push(format!(
                "{} shares were asked for and {} accepted",
                asked.shares,
                account.shares_accepted()
            ));
        }
        // The account knows what the wallets hold only where it was settled; `held` is always of now.
        let share_by_share = account.problems().into_iter();
        let share_by_share =
            share_by_share.filter(|it| !matches!(it, Problem::WrongBalance { .. }));
        problems.extend(share_by_share.map(|problem| problem.to_string()));
        let expected = account.ecash_expected();
        if held != expected {
            let problem = Problem::WrongBalance { held, expected };
            problems.push(problem.to_string());
        }
        Outcome {
            report: Report {
                shares_accepted: account.shares_accepted(),
                quotes_issued: account.quotes_issued(),
                quotes_redeemed: account.quotes_redeemed(),
                ecash_redeemed: held,
                ecash_expected: expected,
                blocks_found: blocks_found.unwrap_or_else(|| account.blocks_found()),
                quote_latency_ms: Latency {
                    p50: account.quote_latency_ms(50),
                    p99: account.quote_latency_ms(99),
                },
            },
            problems,
            shares_refused: account.shares_refused(),
            shares_in_doubt: account.shares_in_doubt(),
        }
    }

    /// For people, several lines.
    pub(crate) fn summary(&self, asked: Asked) -> String {
        let report = &self.report;
        let mut lines = vec![format!(
            "{} shares of {} were accepted, {} quotes issued, {} redeemed.",
            report.shares_accepted,
            miners(asked.miners),
            report.quotes_issued,
            report.quotes_redeemed
        )];
        lines.push(format!(
            "The shares are worth {} hash; the wallets hold {} hash.",
            report.ecash_expected, report.ecash_redeemed
        ));
        if let Latency {
            p50: Some(p50),
            p99: Some(p99),
        } = report.quote_latency_ms
        {
            lines.push(format!(
                "From an accepted share to its quote: {p50} ms (p50), {p99} ms (p99)."
            ));
        }
        if asked.node {
            lines.push(format!(
                "{} blocks of the pool are on the node's chain, and pay its script.",
                report.blocks_found
            ));
        }
        if self.shares_refused > 0 || self.shares_in_doubt > 0 {
            lines.push(format!(
                "Beside these, {} shares were refused, and {} had their answer lost.",
                self.shares_refused, self.shares_in_doubt
            ));
        }
        if self.problems.is_empty() {
            lines.push("Every accepted share became exactly one redeemed quote.".to_owned());
        } else {
            lines.push("NOT as it must be:".to_owned());
            let shown = self.problems.iter().take(PROBLEMS_SHOWN_MAX);
            lines.extend(shown.map(|problem| format!("- {problem}")));
            let more = self.problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
            if more > 0 {
                lines.push(format!("- and {more} more"));
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

impl Report {
    /// On one line.
    pub(crate) fn json(&self) -> String {
        // Numbers and fixed names: there is nothing in it that could not be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_the_documented_fields_in_their_order() {
        let report = Report {
            shares_accepted: 3,
            quotes_issued: 3,
            quotes_redeemed: 2,
            ecash_redeemed: 5,
            ecash_expected: 6,
            blocks_found: 0,
            quote_latency_ms: Latency {
                p50: Some(12),
                p99: None,
            },
        };
        assert_eq!(
            report.json(),
            "{\"shares_accepted\":3,\"quotes_issued\":3,\"quotes_redeemed\":2,\"ecash_redeemed\":5,\
             \"ecash_expected\":6,\"blocks_found\":0,\"quote_latency_ms\":{\"p50\":12,\"p99\":null}}"
        );
    }

    #[test]
    fn a_run_that_was_broken_off_is_no_success_although_nothing_was_lost() {
        let asked = Asked {
            shares: 5,
            miners: 2,
            node: false,
        };
        let outcome = Outcome::new(&Account::new(16), asked, 0, None, &[]);
        assert_eq!(outcome.problems, ["5 shares were asked for and 0 accepted"]);
        let outcome = Outcome::new(&Account::new(16), asked, 7, None, &[]);
        assert_eq!(outcome.problems.len(), 2, "7 hash without a share");
        assert_eq!(outcome.report.ecash_redeemed, 7);
        let outcome = Outcome::new(&Account::new(16), asked, 0, Some(0), &[DemoError::NoBlock]);
        assert_eq!(outcome.problems.len(), 2);
        let summary = outcome.summary(asked);
        assert!(
            summary.contains("NOT as it must be:\n- no block"),
            "{summary}"
        );
    }
}
