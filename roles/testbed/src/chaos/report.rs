//! What came of a run: counted by miners and wallets, and what is wrong with it.

use std::fmt;

use serde::Serialize;

use super::schedule::Target;
use crate::account::Account;
use crate::deployment::Role;

/// How often each process was killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kills {
    /// `winze hub`
    pub hub: u64,
    /// `winze pool`
    pub pool: u64,
    /// `winze mint`
    pub mint: u64,
    /// `winze bridge`; `None` where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<u64>,
    /// `redis-server`; `None` where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<u64>,
}

impl Kills {
    /// None yet.
    pub(super) fn none(redis: bool) -> Kills {
        Kills {
            bridge: redis.then_some(0),
            redis: redis.then_some(0),
            ..Kills::default()
        }
    }

    /// Of all processes.
    pub fn all(&self) -> u64 {
        let way_round = self.bridge.unwrap_or(0) + self.redis.unwrap_or(0);
        self.hub + self.pool + self.mint + way_round
    }

    pub(super) fn count(&mut self, target: Target) {
        match target {
            Target::Role(Role::Hub) => self.hub += 1,
            Target::Role(Role::Pool) => self.pool += 1,
            Target::Role(Role::Mint) => self.mint += 1,
            Target::Role(Role::Bridge) => *self.bridge.get_or_insert(0) += 1,
            Target::Redis => *self.redis.get_or_insert(0) += 1,
        }
    }
}

impl fmt::Display for Kills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "hub {}, pool {}, mint {}",
            self.hub, self.pool, self.mint
        )?;
        for (name, count) in [("bridge", self.bridge), ("Redis", self.redis)] {
            if let Some(count) = count {
                write!(f, ", {name} {count}")?;
            }
        }
        Ok(())
    }
}

/// The object of `--json`. Amounts are in the deployment's unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChaosReport {
    /// What miners were told.
    pub shares_accepted: u64,
    /// What miners were told was not accepted: stale ones, of a pool that has restarted since.
    pub shares_refused: u64,
    /// Quotes that wallets turned into ecash.
    pub quotes_redeemed: u64,
    /// What the wallets hold.
    pub ecash_redeemed: u64,
    /// What accepted shares are worth by their own hashes, and those in doubt that have a quote.
    pub ecash_expected: u64,
    /// Accepted shares without a redeemed quote.
    pub lost: u64,
    /// Quotes beyond one for a share, quotes for nobody's share, and shares that were accepted again.
    pub duplicates: u64,
    /// Shares whose reply was lost with a killed pool.
    pub in_doubt: u64,
    /// SIGKILLs.
    pub kills: Kills,
    /// What repeats the schedule of kills.
    pub seed: u64,
    /// What is not as it must be, for people. Empty: all is well.
    #[serde(skip)]
    pub problems: Vec<String>,
}

impl ChaosReport {
    /// Of a run that came to its end, or was broken off for `failures`.
    pub(super) fn new(account: &Account, kills: Kills, seed: u64, failures: Vec<String>) -> Self {
        let mut problems = failures;
        if account.shares_accepted() == 0 {
            problems.push("no share was accepted: nothing was tested".to_owned());
        }
        problems.extend(account.problems().iter().map(ToString::to_string));
        ChaosReport {
            shares_accepted: account.shares_accepted(),
            shares_refused: account.shares_refused(),
            quotes_redeemed: account.quotes_redeemed(),
            ecash_redeemed: account.ecash_redeemed(),
            ecash_expected: account.ecash_expected(),
            lost: account.lost(),
            duplicates: account.duplicates(),
            in_doubt: account.shares_in_doubt(),
            kills,
            seed,
            problems,
        }
    }

    /// On one line.
    pub fn json(&self) -> String {
        // Numbers and fixed names: there is nothing in it that could not be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_the_documented_fields_and_a_run_without_shares_is_no_success() {
        let kills = Kills {
            hub: 1,
            pool: 2,
            mint: 3,
            ..Kills::default()
        };
        let report = ChaosReport::new(&Account::new(16), kills, 9, Vec::new());
        assert_eq!(
            report.json(),
            "{\"shares_accepted\":0,\"shares_refused\":0,\"quotes_redeemed\":0,\"ecash_redeemed\":0,\
             \"ecash_expected\":0,\"lost\":0,\"duplicates\":0,\"in_doubt\":0,\
             \"kills\":{\"hub\":1,\"pool\":2,\"mint\":3},\"seed\":9}"
        );
        assert_eq!(
            report.problems,
            ["no share was accepted: nothing was tested"]
        );
    }

    #[test]
    fn a_run_over_redis_says_how_often_it_and_the_bridge_were_killed() {
        let mut kills = Kills::none(true);
        kills.count(Target::Redis);
        let report = ChaosReport::new(&Account::new(16), kills, 9, Vec::new());
        let counts = "\"kills\":{\"hub\":0,\"pool\":0,\"mint\":0,\"bridge\":0,\"redis\":1}";
        assert!(report.json().contains(counts), "{}", report.json());
        assert_eq!(kills.all(), 1);
    }
}
