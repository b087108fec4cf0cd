//! What the demonstration has to say at its end: the object of `--json`, and whether all is as it must be.

use serde::Serialize;

use super::tally::Tally;

/// The last line of standard output with `--json`. Amounts are in units of `hash`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// Shares that the miners heard to be accepted.
    pub shares_accepted: u64,
    /// Quotes that the miners and wallets learnt of.
    pub quotes_issued: u64,
    /// Quotes that a wallet turned into ecash.
    pub quotes_redeemed: u64,
    /// What the wallets hold, by their own count.
    pub ecash_redeemed: u64,
    /// What the shares are worth, computed from their hashes as the miners have them.
    pub ecash_expected: u64,
    /// Shares that met the network's target; with `--bitcoind`, blocks that the node has accepted.
    pub blocks_found: u64,
    /// From hearing that a share was accepted to hearing of its quote.
    pub quote_latency_ms: Percentiles,
}

/// Nearest-rank percentiles in milliseconds; null where nothing was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Percentiles {
    /// Half of all were at most this.
    pub p50: Option<u64>,
    /// 99 of 100 were at most this.
    pub p99: Option<u64>,
}

impl Percentiles {
    /// Of any number of measurements, in any order.
    pub(crate) fn of(mut measured_ms: Vec<u64>) -> Self {
        measured_ms.sort_unstable();
        let rank = |percent: usize| {
            let nth = (measured_ms.len() * percent).div_ceil(100);
            measured_ms.get(nth.checked_sub(1)?).copied()
        };
        Percentiles {
            p50: rank(50),
            p99: rank(99),
        }
    }
}

impl Report {
    /// The numbers of a run. `ecash_held` is what the wallets say they hold.
    pub(crate) fn new(tally: &Tally, ecash_held: u64, blocks_found: u64) -> Self {
        Report {
            shares_accepted: tally.accepted(),
            quotes_issued: tally.quotes(),
            quotes_redeemed: tally.redeemed(),
            ecash_redeemed: ecash_held,
            ecash_expected: tally.expected(),
            blocks_found,
            quote_latency_ms: Percentiles::of(tally.latencies_ms()),
        }
    }

    /// What is wrong with these numbers, beside what [`Tally::problems`] finds share by share.
    pub(crate) fn problems(&self, shares_asked: u64) -> Vec<String> {
        let mut problems = Vec::new();
        if self.shares_accepted != shares_asked {
            problems.push(format!(
                "{shares_asked} shares were asked for and {} accepted",
                self.shares_accepted
            ));
        }
        if self.quotes_redeemed != self.quotes_issued {
            problems.push(format!(
                "{} quotes were issued and {} redeemed",
                self.quotes_issued, self.quotes_redeemed
            ));
        }
        if self.ecash_redeemed != self.ecash_expected {
            problems.push(format!(
                "the shares are worth {} hash and the wallets hold {}",
                self.ecash_expected, self.ecash_redeemed
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measurements_and_none_where_nothing_was_measured() {
        let of = |measured: Vec<u64>| {
            let percentiles = Percentiles::of(measured);
            (percentiles.p50, percentiles.p99)
        };
        assert_eq!(of(vec![]), (None, None));
        assert_eq!(of(vec![7]), (Some(7), Some(7)));
        assert_eq!(of(vec![4, 1, 3, 2]), (Some(2), Some(4)));
        assert_eq!(of((1..=200).rev().collect()), (Some(100), Some(198)));
    }
}
