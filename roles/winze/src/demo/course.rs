//! The course of a run: deployment, crew, node; what is waited for, and what ends it early.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use winze_testbed::node::fresh_script;
use winze_testbed::process::log_tail;
use winze_testbed::wait;
use winze_testbed::{Account, Crew, CrewPlan, Deployment, DeploymentPlan, RegtestNode, Role};

use super::error::DemoError;
use super::report::{Asked, Outcome, miners};
use super::view::View;
use super::{Args, bound};

/// Of each miner. A thread can do ten times as many: this leaves the machine to the processes that are to be shown, and
/// gives some six shares a second.
const HASHES_PER_SECOND_MAX: u32 = 400_000;
/// Without a further accepted share, quote or redemption for so long, the run has failed. The slowest of these takes a
/// second on a busy machine.
const STALL_MAX: Duration = Duration::from_secs(60);
/// How long the last quotes and redemptions may take once all is mined; the crew's own limit for each step.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);
/// How long the node may take to have a block of the pool on its chain, once all shares are accepted.
const BLOCK_WITHIN: Duration = Duration::from_secs(10);
/// How often processes and progress are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A run.
pub(crate) struct Course {
    // Dropped in this order: miners, then what they connect to, then the node behind it.
    crew: Crew,
    deployment: Deployment,
    node: Option<Node>,
    asked: Asked,
}

/// The bitcoin node, and what is expected of its chain.
struct Node {
    regtest: RegtestNode,
    /// Blocks above this height are the pool's.
    height_before: u64,
    /// What their coinbases have to pay to, in hexadecimal.
    script: String,
}

impl Course {
    /// Starts everything.
    ///
    /// # Errors
    /// [`DemoError`] with the end of the log of the process that failed.
    pub(crate) async fn start(args: &Args, view: &mut View) -> Result<Course, DemoError> {
        let executable = std::env::current_exe().map_err(DemoError::Executable)?;
        let mut plan = DeploymentPlan::new(executable.clone());
        let node = if args.bitcoind {
            let bitcoind = RegtestNode::find_executable()?;
            view.say(&format!("starting {} on regtest", bitcoind.display()));
            // A role sees by its standard input when nobody holds it any more; bitcoind does not look.
            let launcher = (executable, bound::arguments(std::process::id()));
            let regtest = RegtestNode::start_through(Some(launcher), &bitcoind).await?;
            let script = fresh_script();
            plan.settings.node = Some(regtest.access().clone());
            plan.settings.coinbase_script = Some(script.clone());
            Some(Node {
                height_before: regtest.height().await?,
                regtest,
                script,
            })
        } else {
            None
        };
        view.say("starting hub, mint and pool on free loopback ports");
        let deployment = Deployment::start(plan).await?;
        view.say(&format!(
            "hub {}, pool {}, mint {}; files in {}",
            deployment.hub(),
            deployment.mining(),
            deployment.mint_url(),
            deployment.folder().display()
        ));
        let crew = CrewPlan {
            miners: usize::from(args.miners),
            shares: Some(args.shares),
            hash_rate_max: Some(HASHES_PER_SECOND_MAX),
            ..CrewPlan::default()
        };
        let crew = Crew::start(&deployment, crew).await?;
        view.say(&format!(
            "looking for {} shares with {}; each is worth 1 hash or more from {} leading zero bits on",
            args.shares,
            miners(args.miners),
            deployment.minimum_zero_bits()
        ));
        Ok(Course {
            crew,
            deployment,
            node,
            asked: Asked {
                shares: args.shares,
                miners: args.miners,
                node: args.bitcoind,
            },
        })
    }

    /// What was asked for.
    pub(crate) fn plan(&self) -> Asked {
        self.asked
    }

    /// Mines, redeems and counts, until all is settled or something is wrong.
    pub(crate) async fn run(&mut self, view: &mut View) -> Outcome {
        let mut failures: Vec<DemoError> = self.flow(view).await.err().into_iter().collect();
        let mut blocks_found = None;
        if let Some(node) = &self.node {
            let found = node.blocks().await.unwrap_or_else(|error| {
                failures.push(error);
                0
            });
            blocks_found = Some(found);
        }
        let held = self.held().await.unwrap_or_else(|error| {
            failures.push(error);
            0
        });
        Outcome::new(
            &self.crew.account(),
            self.asked,
            held,
            blocks_found,
            &failures,
        )
    }

    /// What the wallets hold.
    async fn held(&self) -> Result<u64, DemoError> {
        let mut held = 0_u64;
        for wallet in self.crew.wallets() {
            held = held.saturating_add(wallet.balance().await?);
        }
        Ok(held)
    }

    async fn flow(&mut self, view: &mut View) -> Result<(), DemoError> {
        let progress = self.crew.watch();
        let shown = draw(view, progress.clone());
        let guard = guard(&mut self.deployment, progress);
        let crew = &mut self.crew;
        let settled = async {
            // The guard ends what makes no progress, so these need no end of their own.
            crew.wait_for("all shares accepted and quoted", Duration::MAX, |account| {
                is_quoted(account, self.asked.shares)
            })
            .await?;
            crew.settle(SETTLE_WITHIN).await
        };
        tokio::select! {
            biased;
            settled = settled => Ok(settled.map(drop)?),
            failure = guard => Err(failure),
            never = shown => match never {},
        }
    }

    /// Leaves the folder in place at the end.
    pub(crate) fn keep_folder(&mut self) {
        self.deployment.keep_folder();
    }

    /// Where everything lies.
    pub(crate) fn folder(&self) -> String {
        self.deployment.folder().display().to_string()
    }

    /// What a person needs to connect to what is running.
    pub(crate) fn how_to_connect(&self) -> String {
        let deployment = &self.deployment;
        let mut lines = vec![
            "Hub, pool and mint are running; Ctrl-C stops them and removes their files.".to_owned(),
            format!("  mining, Sv2    {}", deployment.mining()),
            format!("    authority    {}", deployment.pool_authority()),
            "    user         <compressed public key in hex>[.worker]: quotes are locked to this key".to_owned(),
            format!("  its quotes     http://{}/v1/quotes/<that key>", deployment.pool_http()),
            format!("  mint, NUT API  {}", deployment.mint_url()),
            format!("  hub, Sv2       {}", deployment.hub()),
        ];
        for role in Role::ALL {
            let http = deployment.http(role);
            lines.push(format!(
                "  {role:<6} health  http://{http}/health and /metrics"
            ));
        }
        lines.push(format!("  files          {}", self.folder()));
        lines.push(String::new());
        lines.join("\n")
    }

    /// Ends all processes in good order.
    ///
    /// # Errors
    /// [`DemoError::Testbed`] where one had to be killed.
    pub(crate) async fn end(self) -> Result<(), DemoError> {
        let Course {
            crew,
            mut deployment,
            node,
            ..
        } = self;
        drop(crew);
        deployment.stop().await?;
        if let Some(node) = node {
            node.regtest.stop().await?;
        }
        Ok(())
    }
}

impl Node {
    /// The pool's blocks on the node's best chain. Each has to pay its whole reward to the configured script.
    async fn blocks(&self) -> Result<u64, DemoError> {
        // The pool gives a block to the node beside accepting its share, so the last may come a little later.
        let first = wait::until(
            "block of the pool on the node's chain",
            BLOCK_WITHIN,
            || async {
                match self.regtest.height().await {
                    Ok(height) if height > self.height_before => Ok(()),
                    Ok(height) => Err(format!("its height is still {height}")),
                    Err(error) => Err(error.to_string()),
                }
            },
        );
        first.await.map_err(|_| DemoError::NoBlock)?;
        let height = self.regtest.height().await?;
        for at in self.height_before + 1..=height {
            let payments = self.regtest.coinbase_payments(at).await?;
            if payments.len() != 1 || payments.iter().any(|(script, _)| *script != self.script) {
                return Err(DemoError::OtherScript {
                    height: at,
                    payments,
                    script: self.script.clone(),
                });
            }
        }
        Ok(height.saturating_sub(self.height_before))
    }
}

/// Whether as many shares as that are accepted, and as many quotes known.
fn is_quoted(account: &Account, shares: u64) -> bool {
    account.shares_accepted() >= shares && account.quotes_issued() >= shares
}

/// Ends when a process ends that should not, or nothing has come about for too long.
async fn guard(deployment: &mut Deployment, account: watch::Receiver<Account>) -> DemoError {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = 0;
    let mut since = Instant::now();
    loop {
        looks.tick().await;
        for role in Role::ALL {
            if !deployment.is_running(role) {
                return DemoError::RoleEnded {
                    name: format!("winze {role}"),
                    log_tail: log_tail(&deployment.log_file(role)),
                };
            }
        }
        let account = account.borrow();
        let now = account.shares_accepted() + account.quotes_issued() + account.quotes_redeemed();
        if now > before {
            before = now;
            since = Instant::now();
        } else if since.elapsed() > STALL_MAX {
            return DemoError::Stalled {
                within: STALL_MAX,
                state: format!(
                    "{} shares accepted, refused: {:?}; {} quotes, {} redeemed",
                    account.shares_accepted(),
                    account.refusals(),
                    account.quotes_issued(),
                    account.quotes_redeemed()
                ),
            };
        }
    }
}

/// Shows the account as it changes, for ever.
async fn draw(view: &mut View, account: watch::Receiver<Account>) -> Infallible {
    let mut turns = interval(View::REDRAW_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let now = account.borrow().clone();
        view.show(&now);
    }
}
