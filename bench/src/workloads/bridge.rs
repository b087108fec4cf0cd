//! Old lists: entries/s from a list in Redis to the key of a quote's id, through the bridge and the hub, beside what a
//! legacy mint takes off the same list.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join};

use crate::bridge::{self, OUTSTANDING, process};
use crate::durable::hub::Cast;
use crate::durable::{Progress, observe, responder};
use crate::error::BenchError;
use crate::load::meter::Processes;
use crate::pipeline::legacy;
use crate::setting::Setting;
use crate::systems::folder;
use crate::systems::redis::Redis;
use crate::workload::{Case, Plan, RATE, Sample, Workload};

/// 8,192 entries without a quote at most. Redis writes its file once a second, as is its default; in the cases with
/// `always` it has an fsync behind every command.
pub const BRIDGE: Workload = Workload {
    name: "bridge",
    about: "entries off a legacy pool's list: to answered keys through bridge and hub, or to quotes by a legacy mint",
    parameter: "",
    metrics: &[RATE],
    cases,
    measure,
};

fn cases(_: &Plan) -> Vec<Case> {
    ["hub", "legacy-mint", "hub-always", "legacy-mint-always"]
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
            "hub" => through_the_hub(setting, "everysec").await,
            "hub-always" => through_the_hub(setting, "always").await,
            "legacy-mint" => legacy_mint(setting, "everysec").await,
            "legacy-mint-always" => legacy_mint(setting, "always").await,
            other => Err(BenchError::machine(other, "no system of this name")),
        }
    }
    .boxed()
}

async fn through_the_hub(setting: &Setting, fsync: &str) -> Result<Sample, BenchError> {
    let folder = folder()?;
    let redis = old_redis(setting, &folder, fsync).await?;
    let cast = Cast::of("bridge", "mint")?;
    let hub = cast.hub(setting, folder.path()).await?;
    let answers = folder.path().join("responder.sqlite");
    let responder = responder::start(&hub, &cast, &answers, folder.path()).await?;
    let bridge = process::start(&hub, &cast, &redis, folder.path()).await?;
    bridge::first(&redis.client).await?;
    let progress = Progress::new(OUTSTANDING);
    let processes = Processes {
        server: &bridge,
        responder: Some(&responder),
    };
    let pushed: Arc<AtomicU64> = Arc::default();
    let going = try_join(
        bridge::keep_pushing(&redis.client, &progress, &pushed),
        bridge::keep_counting(&redis.client, &progress),
    )
    .map(|ended| ended.map(|_| ()));
    let sample = observe(setting, processes, &progress, going).await?;
    bridge::all_are_answered(&redis.client, pushed.load(Ordering::Relaxed)).await?;
    Ok(sample)
}

async fn legacy_mint(setting: &Setting, fsync: &str) -> Result<Sample, BenchError> {
    let folder = folder()?;
    let redis = old_redis(setting, &folder, fsync).await?;
    let progress = Progress::new(OUTSTANDING);
    let pushed = Arc::default();
    let going = try_join(
        bridge::keep_pushing(&redis.client, &progress, &pushed),
        legacy::keep_taking(&redis.client, folder.path(), &progress),
    )
    .map(|ended| ended.map(|_| ()));
    observe(setting, Processes::of(&redis.server), &progress, going).await
}

/// As a legacy deployment has it: in the clear, with an append-only file.
async fn old_redis(
    setting: &Setting,
    folder: &tempfile::TempDir,
    fsync: &str,
) -> Result<Redis, BenchError> {
    let more = ["--appendonly", "yes", "--appendfsync", fsync];
    Redis::start(setting, folder.path(), false, &more).await
}
