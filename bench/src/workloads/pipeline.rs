//! The whole pipeline: shares/s from the pool's ledger to a quote in a real cdk store.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use winze_messages::EXT_MINT_QUOTE;

use crate::durable::{Progress, observe};
use crate::error::BenchError;
use crate::load::meter::Processes;
use crate::pipeline::winze::{Pool, RunningMint};
use crate::pipeline::{OUTSTANDING, legacy};
use crate::setting::Setting;
use crate::systems::folder;
use crate::systems::hub::{Hub, Member};
use crate::systems::redis::Redis;
use crate::workload::{CLIENTS, CPU, Case, Plan, RATE, Sample, Workload};

/// 512 miners who wait for their shares to be accepted, 8,192 shares without a quote at most. `legacy` has an fsync
/// behind every command of its Redis, `legacy-everysec` one a second.
pub const PIPELINE: Workload = Workload {
    name: "pipeline",
    about: "shares from the pool's ledger to an answered quote in a real cdk store",
    parameter: "",
    metrics: &[RATE, CPU, CLIENTS],
    cases,
    measure,
};

fn cases(_: &Plan) -> Vec<Case> {
    ["hub", "legacy", "legacy-everysec"]
        .into_iter()
        .map(|system| Case {
            system,
            parameter: 0,
        })
        .collect()
}

fn measure<'a>(setting: &'a Setting, case: &'a Case) -> BoxFuture<'a, Result<Sample, BenchError>> {
    async move {
        match case.system {
            "hub" => hub(setting).await,
            "legacy" => legacy(setting, "always").await,
            "legacy-everysec" => legacy(setting, "everysec").await,
            other => Err(BenchError::machine(other, "no system of this name")),
        }
    }
    .boxed()
}

async fn hub(setting: &Setting) -> Result<Sample, BenchError> {
    let folder = folder()?;
    let (pool, mint) = (Member::new("pool", "main")?, Member::new("mint", "main")?);
    let mint_name = mint.name.to_string();
    let listed = pool.listing(Some((EXT_MINT_QUOTE, &mint_name))) + &mint.listing(None);
    let hub = Hub::start(setting, folder.path(), &listed, "").await?;
    let progress = Progress::new(OUTSTANDING);
    let running = RunningMint::start(folder.path(), &hub, &mint, &pool).await?;
    let pool = Pool::start(folder.path(), &hub, pool, &mint, progress.clone()).await?;
    let mining = pool.keep_mining(&progress);
    let sample = observe(setting, Processes::of(&hub.server), &progress, mining).await?;
    pool.stop().await?;
    running.stop().await?;
    Ok(sample)
}

async fn legacy(setting: &Setting, fsync: &str) -> Result<Sample, BenchError> {
    let folder = folder()?;
    // As the legacy deployment has it: in the clear.
    let more = ["--appendonly", "yes", "--appendfsync", fsync];
    let redis = Redis::start(setting, folder.path(), false, &more).await?;
    let progress = Progress::new(OUTSTANDING);
    let going = legacy::keep_going(&redis.client, folder.path(), &progress);
    observe(setting, Processes::of(&redis.server), &progress, going).await
}
