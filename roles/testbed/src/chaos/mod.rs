//! A deployment under load whose processes are killed at random moments, and the account of what came of it.
//!
//! Moments and victims are drawn from a seed. What the processes are doing at a moment is up to the machine, so a seed
//! repeats the blows and not the bruises.

mod report;
mod schedule;

pub use report::{ChaosReport, Kills};

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::account::Account;
use crate::configs::{QuotePath, RedisSettings};
use crate::crew::{Crew, CrewPlan};
use crate::deployment::{Deployment, DeploymentPlan};
use crate::error::TestbedError;
use crate::limits::CHAOS_SETTLE_WITHIN;
use crate::process::log_tail;
use schedule::{Schedule, Target, Victim};

/// Of each miner: leaves the machine to the processes that are tried.
const HASHES_PER_SECOND_MAX: u32 = 400_000;
/// With these hashes, some twelve shares a second of each miner: more of them are on their way when a role is killed.
const MINIMUM_ZERO_BITS: u32 = 15;
/// What each miner's difficulty aims at.
const SHARES_PER_MINUTE: f32 = 1_200.0;

/// When a request without a quote is pushed again, in seconds: for even seeds so soon that many are although nothing of
/// them was lost; for odd ones so late that what was lost on the way stays lost, and is counted.
const PUSH_AGAIN_AFTER_S: [u64; 2] = [2, 86_400];

/// A run.
#[derive(Clone, Debug)]
pub struct ChaosPlan {
    /// The `winze` binary.
    pub executable: PathBuf,
    /// How long processes are killed at least. It takes longer where the machine is too slow for
    /// [`Self::kills_min`] by then.
    pub lasts: Duration,
    /// How many kills there are at least.
    pub kills_min: u64,
    /// What the schedule is drawn from.
    pub seed: u64,
    /// Miners, each with a wallet.
    pub miners: usize,
    /// Every share's request goes over a list in Redis and a bridge, which are killed, too.
    pub redis: bool,
}

/// Runs it: deploys, mines, kills and restarts; then lets everything come to rest, and counts. `say` gets a line about
/// every blow. Dropping the future ends all processes.
///
/// A run in which something is wrong is a report with problems, and its folder, with stores and logs, is left in place
/// and named.
///
/// # Errors
/// [`TestbedError`] where the deployment or its miners could not be started at all.
pub async fn run(plan: &ChaosPlan, mut say: impl FnMut(&str)) -> Result<ChaosReport, TestbedError> {
    let mut deployed = DeploymentPlan::new(&plan.executable);
    deployed.settings.minimum_zero_bits = MINIMUM_ZERO_BITS;
    deployed.settings.shares_per_minute = SHARES_PER_MINUTE;
    if plan.redis {
        deployed.settings.redis = Some(RedisSettings {
            durable: true,
            quote_path: QuotePath::Redis,
            push_again_after_s: Some(PUSH_AGAIN_AFTER_S[usize::from(plan.seed % 2 == 1)]),
            bridge_requests: true,
            ..RedisSettings::default()
        });
    }
    let mut deployment = Deployment::start(deployed).await?;
    let crew = CrewPlan {
        miners: plan.miners,
        hash_rate_max: Some(HASHES_PER_SECOND_MAX),
        ..CrewPlan::default()
    };
    let mut crew = Crew::start(&deployment, crew).await?;
    say(&format!(
        "hub, pool, mint{} and {} miners are at work in {}",
        if plan.redis { ", bridge, Redis" } else { "" },
        plan.miners,
        deployment.folder().display()
    ));
    let mut kills = Kills::none(plan.redis);
    let outcome = async {
        strike(plan, &mut deployment, &crew, &mut kills, &mut say).await?;
        deployment.healthy().await?;
        say("no more kills; waiting until every quote is redeemed");
        crew.settle(CHAOS_SETTLE_WITHIN).await
    };
    let mut failures: Vec<String> = Vec::new();
    if let Err(error) = outcome.await {
        failures.push(error.to_string());
        // What there is without an end in good order is counted all the same.
        crew.stop_mining().await;
        let counted = crew.count_ecash().await;
        failures.extend(counted.err().map(|error| error.to_string()));
    }
    let report = ChaosReport::new(&crew.account(), kills, plan.seed, failures);
    drop(crew);
    if !report.problems.is_empty() {
        deployment.keep_folder();
        say(&format!(
            "configuration, stores and logs are left in {}",
            deployment.folder().display()
        ));
    }
    Ok(report)
}

/// Blow after blow until the time is over and there were enough. Everything runs at the end.
async fn strike(
    plan: &ChaosPlan,
    deployment: &mut Deployment,
    crew: &Crew,
    kills: &mut Kills,
    say: &mut impl FnMut(&str),
) -> Result<(), TestbedError> {
    let begun = Instant::now();
    for blow in Schedule::new(plan.seed, plan.redis) {
        sleep(blow.quiet).await;
        if begun.elapsed() >= plan.lasts && kills.all() >= plan.kills_min {
            break;
        }
        let mut names = Vec::new();
        for victim in &blow.victims {
            kill(deployment, victim.target)?;
            kills.count(victim.target);
            names.push(victim.target.name());
        }
        let killed_at = Instant::now();
        for victim in &blow.victims {
            bring_back(deployment, *victim, kills).await?;
        }
        say(&format!(
            "killed {}, back after {:.1} s; {}; kills: {kills}",
            names.join(" and "),
            killed_at.elapsed().as_secs_f64(),
            progress(&crew.account())
        ));
    }
    Ok(())
}

/// SIGKILL. A role that has ended by itself before is a failure of its own.
fn kill(deployment: &mut Deployment, target: Target) -> Result<(), TestbedError> {
    let Target::Role(role) = target else {
        return deployment.kill_redis();
    };
    let by_itself = !deployment.is_running(role);
    let status = deployment.kill_hard(role)?;
    if by_itself {
        return Err(TestbedError::Ended {
            name: format!("winze {role}"),
            status,
            log_tail: log_tail(&deployment.log_file(role)),
        });
    }
    Ok(())
}

async fn bring_back(
    deployment: &mut Deployment,
    victim: Victim,
    kills: &mut Kills,
) -> Result<(), TestbedError> {
    sleep(victim.away).await;
    let Target::Role(role) = victim.target else {
        return deployment.restart_redis();
    };
    if let Some(cut_off) = victim.cut_off {
        // A process that is given up before it is ready is killed as it is dropped.
        match timeout(cut_off, deployment.restart(role)).await {
            Ok(ready) => return ready,
            Err(_) => kills.count(victim.target),
        }
    }
    deployment.restart(role).await
}

fn progress(account: &Account) -> String {
    format!(
        "{} shares accepted, {} in doubt, {} refused, {} quotes, {} redeemed",
        account.shares_accepted(),
        account.shares_in_doubt(),
        account.shares_refused(),
        account.quotes_issued(),
        account.quotes_redeemed()
    )
}
