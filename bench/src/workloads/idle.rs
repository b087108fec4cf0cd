//! Connections on which nothing happens, and the memory that the server keeps for them.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::time::sleep;

use crate::error::BenchError;
use crate::limits::CONNECTING_MAX;
use crate::server::Server;
use crate::setting::Setting;
use crate::systems::folder;
use crate::systems::hub::{Hub, Member, idle_peer};
use crate::systems::naive::Naive;
use crate::systems::nats::Nats;
use crate::workload::{Case, Metric, Plan, Sample, Workload};

/// Connections.
const CONNECTIONS: u64 = 2_000;
/// Memory is read until two readings so far apart are the same, and so often at most.
const SETTLED: Duration = Duration::from_millis(300);
const READINGS_MAX: usize = 10;

/// Growth of the server's resident memory for each connection.
pub const IDLE: Workload = Workload {
    name: "idle",
    about: "authenticated connections that are idle: growth of the server's resident memory for each",
    parameter: "connections",
    metrics: &[Metric {
        key: "kib",
        title: "KiB each",
        decimals: 1,
    }],
    cases,
    measure,
};

fn cases(_: &Plan) -> Vec<Case> {
    let parameter = CONNECTIONS;
    ["hub", "naive", "nats", "nats-tls"]
        .map(|system| Case { system, parameter })
        .to_vec()
}

fn measure<'a>(setting: &'a Setting, case: &'a Case) -> BoxFuture<'a, Result<Sample, BenchError>> {
    async move {
        let folder = folder()?;
        let count = case.parameter as usize;
        let kib = match case.system {
            "hub" => {
                let members: Result<Vec<Member>, BenchError> =
                    (0..count).map(|place| Member::new("pool", place)).collect();
                let members = members?;
                let listed: String = members.iter().map(|member| member.listing(None)).collect();
                let hub = Hub::start(setting, folder.path(), &listed, "").await?;
                let hub_ref = &hub;
                let connect = |place: usize| idle_peer(hub_ref, &members[place]);
                growth(&hub.server, count, connect).await?
            }
            "naive" => {
                let naive = Naive::start(&setting.programs.naive, folder.path()).await?;
                let naive_ref = &naive;
                let connect = |place: usize| naive_ref.connect(0, Some(place as u32), 64);
                growth(&naive.server, count, connect).await?
            }
            system => {
                let tls = system == "nats-tls";
                let nats = Nats::start(setting, folder.path(), tls, &[]).await?;
                let connect = |_| nats.connect();
                growth(&nats.server, count, connect).await?
            }
        };
        Ok(Sample::of([("kib", kib)]))
    }
    .boxed()
}

/// Connects so many and reads the memory before and after, in KiB for each.
async fn growth<T, F>(
    server: &Server,
    count: usize,
    connect: impl Fn(usize) -> F,
) -> Result<f64, BenchError>
where
    F: Future<Output = Result<T, BenchError>>,
{
    let before = settled_kib(server).await?;
    let connected: Vec<T> = stream::iter(0..count)
        .map(connect)
        .buffer_unordered(CONNECTING_MAX)
        .try_collect()
        .await?;
    let after = settled_kib(server).await?;
    Ok(after.saturating_sub(before) as f64 / connected.len() as f64)
}

async fn settled_kib(server: &Server) -> Result<u64, BenchError> {
    let mut last = server.memory_kib()?;
    for _ in 0..READINGS_MAX {
        sleep(SETTLED).await;
        let now = server.memory_kib()?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}
