//! What came of a crew's shares: counted by its miners and wallets alone. No process of the deployment is asked for a
//! sum.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;
use winze_messages::text::header_hash_to_text;

use crate::limits::AMOUNT_BITS_MAX;

/// Every share of a crew, and every quote that its miners heard of.
#[derive(Clone, Debug)]
pub struct Account {
    minimum_zero_bits: u32,
    shares: BTreeMap<[u8; 32], Share>,
    quotes: BTreeMap<String, Quote>,
    refusals: BTreeMap<String, u64>,
    accepted_again: u64,
    connections: u64,
    held: u64,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    member: usize,
    worth: u64,
    accepted_at: Option<Instant>,
    meets_network_target: bool,
    failed: bool,
}

#[derive(Clone, Debug)]
struct Quote {
    member: usize,
    header_hash: [u8; 32],
    amount: u64,
    heard_at: Instant,
    redeemed: Option<u64>,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// An accepted share has neither a quote nor a refusal.
    NoQuote {
        /// The share.
        header_hash: [u8; 32],
    },
    /// A share has more than one quote.
    SeveralQuotes {
        /// The share.
        header_hash: [u8; 32],
        /// How many.
        count: usize,
    },
    /// A quote for a share that no miner of the crew found.
    NoShare {
        /// The quote.
        quote_id: String,
        /// What it says it is for.
        header_hash: [u8; 32],
    },
    /// A quote is worth something else than its share.
    WrongAmount {
        /// The quote.
        quote_id: String,
        /// Its amount.
        amount: u64,
        /// What the share's hash is worth.
        worth: u64,
    },
    /// A quote was not redeemed.
    NotRedeemed {
        /// The quote.
        quote_id: String,
    },
    /// The pool accepted shares that it had accepted before.
    AcceptedAgain {
        /// How many.
        count: u64,
    },
    /// The mint finally refused a quote for an accepted share.
    Refused {
        /// The share.
        header_hash: [u8; 32],
    },
    /// The wallets hold something else than the shares are worth.
    WrongBalance {
        /// What the wallets hold.
        held: u64,
        /// What the shares are worth.
        expected: u64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = header_hash_to_text;
        match self {
            Problem::NoQuote { header_hash } => {
                write!(f, "the accepted share {} has no quote", hash(header_hash))
            }
            Problem::SeveralQuotes { header_hash, count } => {
                write!(f, "the share {} has {count} quotes", hash(header_hash))
            }
            Problem::NoShare {
                quote_id,
                header_hash,
            } => write!(
                f,
                "quote {quote_id} is for {}, which nobody here found",
                hash(header_hash)
            ),
            Problem::WrongAmount {
                quote_id,
                amount,
                worth,
            } => write!(
                f,
                "quote {quote_id} is over {amount}, its share is worth {worth}"
            ),
            Problem::NotRedeemed { quote_id } => write!(f, "quote {quote_id} was not redeemed"),
            Problem::AcceptedAgain { count } => {
                write!(f, "{count} shares were accepted once more")
            }
            Problem::Refused { header_hash } => write!(
                f,
                "the mint refused a quote for the accepted share {}",
                hash(header_hash)
            ),
            Problem::WrongBalance { held, expected } => {
                write!(
                    f,
                    "the wallets hold {held}, the shares are worth {expected}"
                )
            }
        }
    }
}

impl Account {
    /// An empty one, for a pool whose quotes begin at `minimum_zero_bits`.
    pub fn new(minimum_zero_bits: u32) -> Account {
        Account {
            minimum_zero_bits,
            shares: BTreeMap::new(),
            quotes: BTreeMap::new(),
            refusals: BTreeMap::new(),
            accepted_again: 0,
            connections: 0,
            held: 0,
        }
    }

    /// Shares that the pool said it accepted, counted by the miners.
    pub fn shares_accepted(&self) -> u64 {
        self.count(|share| share.accepted_at.is_some())
    }

    /// Shares that were submitted and whose answer was lost with the connection.
    pub fn shares_in_doubt(&self) -> u64 {
        self.count(|share| share.accepted_at.is_none())
    }

    /// Shares that the pool refused.
    pub fn shares_refused(&self) -> u64 {
        self.refusals.values().sum()
    }

    /// Refused shares by the pool's reason.
    pub fn refusals(&self) -> &BTreeMap<String, u64> {
        &self.refusals
    }

    /// Accepted shares that met the network's target too.
    pub fn blocks_found(&self) -> u64 {
        self.count(|share| share.accepted_at.is_some() && share.meets_network_target)
    }

    /// How often a miner has opened a channel: more than there are miners after a pool was away.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Different quotes that the miners heard of.
    pub fn quotes_issued(&self) -> u64 {
        self.quotes.len() as u64
    }

    /// Quotes that were turned into ecash.
    pub fn quotes_redeemed(&self) -> u64 {
        self.quotes
            .values()
            .filter(|quote| quote.redeemed.is_some())
            .count() as u64
    }

    /// Shares that the mint finally refused a quote for.
    pub fn quotes_refused(&self) -> u64 {
        self.count(|share| share.failed)
    }

    /// In-doubt shares that turned out to have a quote.
    pub fn in_doubt_with_quote(&self) -> u64 {
        let quoted = self.quotes_by_share();
        self.shares
            .iter()
            .filter(|(hash, share)| share.accepted_at.is_none() && quoted.contains_key(*hash))
            .count() as u64
    }

    /// Accepted shares that nobody was paid for: without a quote that was turned into ecash.
    pub fn lost(&self) -> u64 {
        let redeemed = self.quotes.values().filter(|it| it.redeemed.is_some());
        let paid_for: BTreeSet<&[u8; 32]> = redeemed.map(|quote| &quote.header_hash).collect();
        self.shares
            .iter()
            .filter(|(hash, share)| share.accepted_at.is_some() && !paid_for.contains(hash))
            .count() as u64
    }

    /// What there is once too often: quotes beyond the first of a share, quotes for shares that nobody here found, and
    /// shares that were accepted again.
    pub fn duplicates(&self) -> u64 {
        let quotes = self.quotes_by_share();
        let paid_for = quotes.keys().filter(|hash| self.shares.contains_key(*hash));
        self.quotes_issued() - paid_for.count() as u64 + self.accepted_again
    }

    /// What the wallets held when they were last asked.
    pub fn ecash_redeemed(&self) -> u64 {
        self.held
    }

    /// What the accepted shares are worth by their own hashes, and those in doubt that have a quote.
    pub fn ecash_expected(&self) -> u64 {
        let quoted = self.quotes_by_share();
        self.shares
            .iter()
            .filter(|(hash, share)| share.accepted_at.is_some() || quoted.contains_key(*hash))
            .map(|(_, share)| share.worth)
            .sum()
    }

    /// What one share is worth: two to the power of its leading zero bits beyond the minimum.
    pub fn worth(&self, zero_bits: u32) -> u64 {
        match zero_bits.checked_sub(self.minimum_zero_bits) {
            Some(bits) => 1 << bits.min(AMOUNT_BITS_MAX),
            None => 0,
        }
    }

    /// From the pool's acceptance of a share until its miner knew the quote, in whole milliseconds: the value below which
    /// `percent` of a hundred shares are. `None` before the first quote.
    pub fn quote_latency_ms(&self, percent: usize) -> Option<u64> {
        let mut latencies: Vec<Duration> = self
            .quotes
            .values()
            .filter_map(|quote| {
                let accepted_at = self.shares.get(&quote.header_hash)?.accepted_at?;
                Some(quote.heard_at.saturating_duration_since(accepted_at))
            })
            .collect();
        latencies.sort_unstable();
        let last = latencies.len().checked_sub(1)?;
        let at = (latencies.len() * percent).div_ceil(100).saturating_sub(1);
        latencies
            .get(at.min(last))
            .map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX))
    }

    /// Everything that is not as it must be once all is settled: each accepted share has exactly one quote, each share in
    /// doubt one or none, every amount is the share's, all is redeemed, and the wallets hold the sum. Empty: all is well.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let quoted = self.quotes_by_share();
        for (header_hash, share) in &self.shares {
            let header_hash = *header_hash;
            let count = quoted.get(&header_hash).copied().unwrap_or(0);
            if share.failed {
                problems.push(Problem::Refused { header_hash });
            }
            if count == 0 && share.accepted_at.is_some() && !share.failed {
                problems.push(Problem::NoQuote { header_hash });
            }
            if count > 1 {
                problems.push(Problem::SeveralQuotes { header_hash, count });
            }
        }
        for (quote_id, quote) in &self.quotes {
            let quote_id = quote_id.clone();
            match self.shares.get(&quote.header_hash) {
                None => problems.push(Problem::NoShare {
                    quote_id: quote_id.clone(),
                    header_hash: quote.header_hash,
                }),
                Some(share) if share.worth != quote.amount => problems.push(Problem::WrongAmount {
                    quote_id: quote_id.clone(),
                    amount: quote.amount,
                    worth: share.worth,
                }),
                Some(_) => {}
            }
            if quote.redeemed.is_none() {
                problems.push(Problem::NotRedeemed { quote_id });
            }
        }
        if self.accepted_again > 0 {
            problems.push(Problem::AcceptedAgain {
                count: self.accepted_again,
            });
        }
        let expected = self.ecash_expected();
        if self.held != expected {
            problems.push(Problem::WrongBalance {
                held: self.held,
                expected,
            });
        }
        problems
    }

    /// Shares, accepted or in doubt, of one member without a quote.
    pub(crate) fn without_quote(&self, member: usize) -> u64 {
        let quoted = self.quotes_by_share();
        self.shares
            .iter()
            .filter(|(hash, share)| share.member == member && !quoted.contains_key(*hash))
            .count() as u64
    }

    /// A quote of one member that is not redeemed yet.
    pub(crate) fn next_to_redeem(&self, member: usize) -> Option<String> {
        self.quotes
            .iter()
            .find(|(_, quote)| quote.member == member && quote.redeemed.is_none())
            .map(|(quote_id, _)| quote_id.clone())
    }

    /// Whether every accepted share has a quote or a refusal, and every quote is redeemed.
    pub(crate) fn is_settled(&self) -> bool {
        let quoted = self.quotes_by_share();
        self.quotes.values().all(|quote| quote.redeemed.is_some())
            && self.shares.iter().all(|(hash, share)| {
                share.accepted_at.is_none() || share.failed || quoted.contains_key(hash)
            })
    }

    pub(crate) fn connected(&mut self) {
        self.connections += 1;
    }

    pub(crate) fn accepted(&mut self, member: usize, share: &winze_miner::Share) {
        self.share(member, share, Some(Instant::now()));
    }

    pub(crate) fn in_doubt(&mut self, member: usize, share: &winze_miner::Share) {
        self.share(member, share, None);
    }

    pub(crate) fn refused(&mut self, error_code: String) {
        *self.refusals.entry(error_code).or_default() += 1;
    }

    pub(crate) fn quote(
        &mut self,
        member: usize,
        quote_id: String,
        header_hash: [u8; 32],
        amount: u64,
    ) {
        self.quotes.entry(quote_id).or_insert(Quote {
            member,
            header_hash,
            amount,
            heard_at: Instant::now(),
            redeemed: None,
        });
    }

    pub(crate) fn quote_failed(&mut self, header_hash: &[u8; 32]) {
        if let Some(share) = self.shares.get_mut(header_hash) {
            share.failed = true;
        }
    }

    pub(crate) fn redeemed(&mut self, quote_id: &str, amount: u64) {
        if let Some(quote) = self.quotes.get_mut(quote_id) {
            quote.redeemed = Some(amount);
        }
    }

    pub(crate) fn holds(&mut self, amount: u64) {
        self.held = amount;
    }

    fn share(&mut self, member: usize, share: &winze_miner::Share, accepted_at: Option<Instant>) {
        let worth = self.worth(share.zero_bits);
        let known = self.shares.entry(share.header_hash).or_insert(Share {
            member,
            worth,
            accepted_at: None,
            meets_network_target: share.meets_network_target,
            failed: false,
        });
        if accepted_at.is_some() && known.accepted_at.is_some() {
            self.accepted_again += 1;
        }
        known.accepted_at = known.accepted_at.or(accepted_at);
    }

    fn count(&self, which: impl Fn(&Share) -> bool) -> u64 {
        self.shares.values().filter(|share| which(share)).count() as u64
    }

    fn quotes_by_share(&self) -> BTreeMap<[u8; 32], usize> {
        let mut counts = BTreeMap::new();
        for quote in self.quotes.values() {
            *counts.entry(quote.header_hash).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMUM_ZERO_BITS: u32 = 16;

    fn share(number: u8, zero_bits: u32) -> winze_miner::Share {
        winze_miner::Share {
            job_id: 1,
            nonce: 0,
            ntime: 0,
            version: 0,
            extranonce: Vec::new(),
            header_hash: [number; 32],
            zero_bits,
            meets_network_target: false,
        }
    }

    fn settled() -> Account {
        let mut account = Account::new(MINIMUM_ZERO_BITS);
        account.accepted(0, &share(1, 16));
        account.accepted(1, &share(2, 19));
        account.in_doubt(0, &share(3, 17));
        account.in_doubt(0, &share(4, 17));
        for (quote_id, number, amount) in [("a", 1, 1), ("b", 2, 8), ("c", 3, 2)] {
            account.quote(0, quote_id.to_owned(), [number; 32], amount);
            account.redeemed(quote_id, amount);
        }
        account.holds(11);
        account
    }

    #[test]
    fn a_share_in_doubt_may_have_a_quote_or_none() {
        let account = settled();
        assert_eq!(account.problems(), []);
        assert_eq!((account.lost(), account.duplicates()), (0, 0));
        assert!(account.is_settled());
        assert_eq!(
            (account.shares_accepted(), account.shares_in_doubt()),
            (2, 2)
        );
        assert_eq!(
            (account.quotes_redeemed(), account.in_doubt_with_quote()),
            (3, 1)
        );
        assert_eq!(
            (account.ecash_expected(), account.ecash_redeemed()),
            (11, 11)
        );
    }

    #[test]
    fn an_accepted_share_is_lost_until_its_quote_is_redeemed_and_not_to_be_accepted_again() {
        let mut account = settled();
        account.accepted(0, &share(5, 16));
        account.quote(0, "d".to_owned(), [5; 32], 1);
        assert_eq!((account.lost(), account.duplicates()), (1, 0));
        account.redeemed("d", 1);
        account.holds(12);
        assert_eq!((account.lost(), account.problems()), (0, vec![]));
        account.accepted(0, &share(5, 16));
        assert_eq!(account.duplicates(), 1);
        assert_eq!(account.problems(), [Problem::AcceptedAgain { count: 1 }]);
    }

    #[test]
    fn everything_that_is_lost_doubled_or_changed_is_a_problem() {
        let mut account = settled();
        account.accepted(1, &share(5, 16));
        account.quote(1, "d".to_owned(), [2; 32], 8);
        account.quote(1, "e".to_owned(), [9; 32], 1);
        account.redeemed("e", 1);
        let mut wrong = settled();
        wrong.accepted(0, &share(6, 18));
        wrong.quote(0, "f".to_owned(), [6; 32], 1);
        wrong.redeemed("f", 1);

        assert!(!account.is_settled());
        assert_eq!(
            (account.lost(), account.duplicates()),
            (1, 2),
            "5 has no quote; d is the second for 2, and e is for nobody's share"
        );
        assert_eq!(
            account.problems(),
            [
                Problem::SeveralQuotes {
                    header_hash: [2; 32],
                    count: 2
                },
                Problem::NoQuote {
                    header_hash: [5; 32]
                },
                Problem::NotRedeemed {
                    quote_id: "d".to_owned()
                },
                Problem::NoShare {
                    quote_id: "e".to_owned(),
                    header_hash: [9; 32]
                },
                Problem::WrongBalance {
                    held: 11,
                    expected: 12
                },
            ]
        );
        assert_eq!(
            wrong.problems(),
            [
                Problem::WrongAmount {
                    quote_id: "f".to_owned(),
                    amount: 1,
                    worth: 4
                },
                Problem::WrongBalance {
                    held: 11,
                    expected: 15
                },
            ]
        );
    }
}
