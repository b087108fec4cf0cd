//! Durable request and answer: requests/s that were stored by who asks, sent, done and answered by who stores that too,
//! and recorded by who asked.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use winze_client::Identity;
use winze_messages::EXT_MINT_QUOTE;

use crate::durable::hub::{Pair, Parties, RequesterStore};
use crate::durable::{OUTSTANDING, Progress, REQUEST_BYTES, jetstream, observe};
use crate::error::BenchError;
use crate::setting::{Plan, Setting};
use crate::systems::folder;
use crate::systems::hub::{Hub, Member};
use crate::systems::nats::Nats;
use crate::workload::{CPU, Case, RATE, Sample, Workload};

/// 16 batches of 64 on their way to the requester's disk, 8,192 requests without a recorded answer at most.
pub const DURABLE: Workload = Workload {
    name: "durable",
    about: "requests on the requester's disk, effect and answer on the responder's, answered and recorded",
    parameter: "",
    metrics: &[RATE, CPU],
    cases,
    measure,
};

fn cases(_: &Plan) -> Vec<Case> {
    ["hub", "jetstream-always", "jetstream-default"]
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
            "jetstream-always" => jetstream(setting, "sync_interval: always").await,
            "jetstream-default" => jetstream(setting, "").await,
            other => Err(BenchError::machine(other, "no system of this name")),
        }
    }
    .boxed()
}

async fn hub(setting: &Setting) -> Result<Sample, BenchError> {
    let folder = folder()?;
    let (hub, parties) = hub_and_parties(setting, folder.path()).await?;
    let progress = Progress::new(OUTSTANDING);
    let requests = folder.path().join("requester.sqlite");
    let answers = folder.path().join("responder.sqlite");
    let store = RequesterStore::open(&requests, parties.responder.peer())?;
    let pair = Pair::start(&parties, store, answers, OUTSTANDING, progress.clone()).await?;
    let asking = pair.keep_asking(progress.room());
    let sample = observe(&setting.plan, &progress, asking, || hub.server.cpu_ns()).await?;
    pair.stop().await?;
    Ok(sample)
}

/// A hub whose windows take all that is outstanding, and one requester and one responder in its list.
pub async fn hub_and_parties(
    setting: &Setting,
    folder: &std::path::Path,
) -> Result<(Hub, Parties), BenchError> {
    let (requester, responder) = (Member::new("pool", "main")?, Member::new("mint", "main")?);
    let responder_name = responder.name.to_string();
    let listed =
        requester.listing(Some((EXT_MINT_QUOTE, &responder_name))) + &responder.listing(None);
    let limits = format!(
        "window_messages = {OUTSTANDING}\nwindow_bytes = {}\n",
        OUTSTANDING * REQUEST_BYTES
    );
    let hub = Hub::start(setting, folder, &listed, &limits).await?;
    let parties = Parties {
        address: hub.address.to_string(),
        authority: hub.authority,
        requester: Identity::of(requester.name, requester.secret),
        responder: Identity::of(responder.name, responder.secret),
    };
    Ok((hub, parties))
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
    let progress = Progress::new(OUTSTANDING);
    let going = jetstream::keep_going(requester, responder, &progress);
    observe(&setting.plan, &progress, going, || nats.server.cpu_ns()).await
}
