//! Miners with wallets at work on a deployment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use winze_miner::{ChannelKind, Miner, MinerConfig, ShareBudget};
use winze_transport::PublicKey;

use crate::account::Account;
use crate::deployment::Deployment;
use crate::error::TestbedError;
use crate::limits::MINERS_MAX;
use crate::wallet::Wallet;
use crate::{member, quotes, wait};

/// Where to mine and to redeem: of a [`Deployment`], or of processes that somebody started by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where miners connect.
    pub mining: SocketAddr,
    /// The key that signed the pool's certificate.
    pub pool_authority: PublicKey,
    /// Where the pool lists quotes.
    pub pool_http: SocketAddr,
    /// Where wallets reach the mint.
    pub mint_url: String,
    /// What shares are paid in.
    pub unit: String,
    /// A share with so many leading zero bits is worth 1.
    pub minimum_zero_bits: u32,
}

impl From<&Deployment> for Site {
    fn from(deployment: &Deployment) -> Site {
        Site {
            mining: deployment.mining(),
            pool_authority: deployment.pool_authority(),
            pool_http: deployment.pool_http(),
            mint_url: deployment.mint_url(),
            unit: deployment.unit().to_owned(),
            minimum_zero_bits: deployment.minimum_zero_bits(),
        }
    }
}

/// Who shall mine, and how much.
#[derive(Clone, Debug, PartialEq)]
pub struct CrewPlan {
    /// Miners, each with a key and a wallet of its own: 1 to [`MINERS_MAX`].
    pub miners: usize,
    /// Accepted shares of all miners together after which mining ends; `None`: until it is stopped.
    pub shares: Option<u64>,
    /// Threads of each miner.
    pub threads: usize,
    /// Hashes per second of each miner at most. A bound makes shares come evenly on a fast machine.
    pub hash_rate_max: Option<u32>,
    /// Kinds of channel that the miners open, in turns. Not empty.
    pub channels: Vec<ChannelKind>,
}

impl Default for CrewPlan {
    fn default() -> Self {
        CrewPlan {
            miners: 2,
            shares: None,
            threads: 1,
            hash_rate_max: None,
            channels: vec![ChannelKind::Standard, ChannelKind::Extended],
        }
    }
}

/// Miners and wallets at work. Dropping it ends them at once.
pub struct Crew {
    miners: Vec<Miner>,
    wallets: Vec<Arc<Wallet>>,
    recorders: Vec<JoinHandle<()>>,
    helpers: Vec<JoinHandle<()>>,
    budget: ShareBudget,
    account: watch::Sender<Account>,
    pool_http: SocketAddr,
}

impl Crew {
    /// Makes wallets, connects miners to the pool and starts mining.
    ///
    /// # Errors
    /// [`TestbedError::Plan`] for a plan that cannot be carried out; [`TestbedError::Wallet`]; [`TestbedError::Machine`]
    /// where there are no threads to be had.
    pub async fn start(site: impl Into<Site>, plan: CrewPlan) -> Result<Crew, TestbedError> {
        let site = site.into();
        if plan.miners == 0 || plan.miners > MINERS_MAX || plan.channels.is_empty() {
            return Err(TestbedError::Plan(format!(
                "a crew has 1 to {MINERS_MAX} miners and a kind of channel to open, not {} and {:?}",
                plan.miners, plan.channels
            )));
        }
        let budget = match plan.shares {
            Some(shares) => ShareBudget::exactly(shares),
            None => ShareBudget::unlimited(),
        };
        let (account, _) = watch::channel(Account::new(site.minimum_zero_bits));
        let mut crew = Crew {
            miners: Vec::new(),
            wallets: Vec::new(),
            recorders: Vec::new(),
            helpers: Vec::new(),
            budget,
            account,
            pool_http: site.pool_http,
        };
        for (index, kind) in plan.channels.iter().cycle().take(plan.miners).enumerate() {
            let wallet = Arc::new(Wallet::new(&site.mint_url, &site.unit).await?);
            let mut config = MinerConfig::new(
                site.mining.to_string(),
                site.pool_authority,
                *wallet.locking_key(),
            );
            config.worker = Some(format!("miner-{}", index + 1));
            config.channel = *kind;
            config.threads = plan.threads;
            config.hash_rate_max = plan.hash_rate_max;
            if let Some(rate) = plan.hash_rate_max {
                config.nominal_hash_rate = rate as f32;
            }
            crew.add(index, config, wallet)?;
        }
        Ok(crew)
    }

    fn add(
        &mut self,
        index: member::MemberIndex,
        config: MinerConfig,
        wallet: Arc<Wallet>,
    ) -> Result<(), TestbedError> {
        let (miner, events) = Miner::start(config, self.budget.clone())
            .map_err(TestbedError::machine("cannot start a miner's threads"))?;
        let account = || self.account.clone();
        let recorder = tokio::spawn(member::record(index, events, account()));
        let looker = member::look_for_quotes(index, wallet.clone(), self.pool_http, account());
        let looker = tokio::spawn(looker);
        let redeemer = tokio::spawn(member::redeem(index, wallet.clone(), account()));
        self.recorders.push(recorder);
        self.helpers.extend([looker, redeemer]);
        self.miners.push(miner);
        self.wallets.push(wallet);
        Ok(())
    }

    /// Every change of the account, for a live view.
    pub fn watch(&self) -> watch::Receiver<Account> {
        self.account.subscribe()
    }

    /// The account as it is now.
    pub fn account(&self) -> Account {
        self.account.borrow().clone()
    }

    /// The miners' wallets, in order.
    pub fn wallets(&self) -> &[Arc<Wallet>] {
        &self.wallets
    }

    /// Waits until the account is as `condition` wants it.
    ///
    /// # Errors
    /// [`TestbedError::Deadline`] after `within`, with how the account stood.
    pub async fn wait_for(
        &self,
        what: &str,
        within: Duration,
        condition: impl FnMut(&Account) -> bool,
    ) -> Result<(), TestbedError> {
        // Waiting fails where the sender is gone, and that is in `self`.
        let reached = timeout(within, async {
            let _ = self.account.subscribe().wait_for(condition).await;
        });
        reached.await.map_err(|_| self.late(what, within))
    }

    /// Waits until all shares of the plan are accepted; for ever where there is no end to them.
    ///
    /// # Errors
    /// [`TestbedError::Deadline`] after `within`.
    pub async fn mined(&self, within: Duration) -> Result<(), TestbedError> {
        timeout(within, self.budget.done())
            .await
            .map_err(|_| self.late("end of mining", within))
    }

    /// Stops the miners. They wait for answers that are due; what has none by then is in doubt.
    pub async fn stop_mining(&mut self) {
        let stopping: Vec<JoinHandle<()>> = self
            .miners
            .drain(..)
            .map(|miner| tokio::spawn(miner.stop()))
            .collect();
        for stopped in stopping {
            // An error here would be a panic in the miner, and then its last shares are in doubt at the pool.
            let _ = stopped.await;
        }
        for recorder in self.recorders.drain(..) {
            let _ = recorder.await;
        }
    }

    /// Stops mining, waits until the pool waits for no answer of the mint's any more and every quote is redeemed, compares
    /// the pool's lists with what was heard, and asks the wallets what they hold. [`Account::problems`] then says
    /// whether all is as it must be.
    ///
    /// # Errors
    /// [`TestbedError::Deadline`] after `within` for each of these steps; [`TestbedError::Http`] where the pool does not
    /// list quotes; [`TestbedError::Wallet`].
    pub async fn settle(&mut self, within: Duration) -> Result<Account, TestbedError> {
        self.stop_mining().await;
        let pool_http = self.pool_http;
        for (member, wallet) in self.wallets.iter().enumerate() {
            let key = wallet.locking_key();
            let list = wait::until("end of the wait for the mint", within, || async move {
                match quotes::list(pool_http, key, 0).await {
                    Ok(list) if list.pending == 0 => Ok(list),
                    Ok(list) => Err(format!("{} shares wait for their quotes", list.pending)),
                    Err(error) => Err(error.to_string()),
                }
            })
            .await?;
            self.account.send_modify(|account| {
                for quote in list.quotes {
                    account.quote(member, quote.quote_id, quote.header_hash, quote.amount);
                }
                for refusal in &list.refused {
                    account.quote_failed(&refusal.header_hash);
                }
            });
        }
        self.wait_for(
            "quote and ecash for every share",
            within,
            Account::is_settled,
        )
        .await?;
        self.count_ecash().await?;
        Ok(self.account())
    }

    /// Asks the wallets what they hold, for the account.
    ///
    /// # Errors
    /// [`TestbedError::Wallet`].
    pub async fn count_ecash(&self) -> Result<(), TestbedError> {
        let mut held = 0_u64;
        for wallet in &self.wallets {
            held = held.saturating_add(wallet.balance().await?);
        }
        self.account.send_modify(|account| account.holds(held));
        Ok(())
    }

    fn late(&self, what: &str, within: Duration) -> TestbedError {
        let account = self.account.borrow();
        TestbedError::Deadline {
            what: what.to_owned(),
            within,
            state: format!(
                "{} shares accepted, {} in doubt, refused: {:?}; {} quotes, {} redeemed; {} connections",
                account.shares_accepted(),
                account.shares_in_doubt(),
                account.refusals(),
                account.quotes_issued(),
                account.quotes_redeemed(),
                account.connections(),
            ),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for task in self.recorders.iter().chain(&self.helpers) {
            task.abort();
        }
    }
}
