//! Durable request and answer: requests/s that were stored by who asks, sent, done and answered by who stores that too,
//! and recorded by who asked.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::durable::hub::{Cast, Pair, RequesterStore};
use crate::durable::{OUTSTANDING, Progress, jetstream, observe, redis_lists};
use crate::error::BenchError;
use crate::load::meter::Processes;
use crate::setting::Setting;
use crate::systems::folder;
use crate::systems::nats::Nats;
use crate::systems::redis::Redis;
use crate::workload::{CLIENTS, CPU, Case, Plan, RATE, REQUESTER, RESPONDER, Sample, Workload};

/// Responders, and takers of answers, of `redis-always-wide`: Redis makes one fsync for all that have come meanwhile.
const WORKERS_WIDE: usize = 8;

/// Batches of 64; 8,192 requests that are asked and have no recorded answer, those on their way to the disk included.
pub const DURABLE: Workload = Workload {
    name: "durable",
    about: "requests on the requester's disk, effect and answer on the responder's, answered and recorded",
    parameter: "",
    metrics: &[RATE, CPU, CLIENTS, REQUESTER, RESPONDER],
    cases,
    measure,
};

fn cases(_: &Plan) -> Vec<Case> {
    [
        "hub",
        "redis-always",
        "redis-always-wide",
        "jetstream-always",
        "jetstream-default",
    ]
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
            "redis-always" => redis(setting, 1).await,
            "redis-always-wide" => redis(setting, WORKERS_WIDE).await,
            "jetstream-always" => jetstream(setting, "sync_interval: always").await,
            "jetstream-default" => jetstream(setting, "").await,
            other => Err(BenchError::machine(other, "no system of this name")),
        }
    }
    .boxed()
}

async fn hub(setting: &Setting) -> Result<Sample, BenchError> {
    let folder = folder()?;
    let cast = Cast::new()?;
    let hub = cast.hub(setting, folder.path()).await?;
    let progress = Progress::new(OUTSTANDING);
    let requests = folder.path().join("requester.sqlite");
    let requests = RequesterStore::open(&requests, cast.responder.peer())?;
    let answers = folder.path().join("responder.sqlite");
    let pair = Pair::start(
        &hub,
        &cast,
        requests,
        &answers,
        folder.path(),
        progress.clone(),
    )
    .await?;
    let asking = pair.keep_asking(progress.room());
    let sample = observe(setting, pair.processes(&hub), &progress, asking).await?;
    pair.stop().await?;
    Ok(sample)
}

async fn redis(setting: &Setting, workers: usize) -> Result<Sample, BenchError> {
    let folder = folder()?;
    let more = ["--appendonly", "yes", "--appendfsync", "always"];
    let redis = Redis::start(setting, folder.path(), true, &more).await?;
    let progress = Progress::new(OUTSTANDING);
    let going = redis_lists::keep_going(&redis.client, workers, &progress);
    observe(setting, Processes::of(&redis.server), &progress, going).await
}

async fn jetstream(setting: &Setting, sync: &str) -> Result<Sample, BenchError> {
    let folder = folder()?;
    let config = folder.path().join("jetstream.conf");
    let text = format!(
        "jetstream {{\n  store_dir: \"{}\"\n  {sync}\n}}\n",
        folder.path().join("jetstream").display()
    );
    std::fs::write(&config, text).map_err(|error| BenchError::machine(config.display(), error))?;
    let more = ["-c".to_owned(), config.display().to_string()];
    let nats = Nats::start(setting, folder.path(), true, &more).await?;
    let (requester, responder) = (nats.connect().await?, nats.connect().await?);
    let progress = Progress::new(jetstream::OUTSTANDING);
    let going = jetstream::keep_going(requester, responder, &progress);
    observe(setting, Processes::of(&nats.server), &progress, going).await
}
