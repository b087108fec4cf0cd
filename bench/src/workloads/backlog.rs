//! Durable requests/s while much waits in the outbox already. What is answered is what has waited longest; as much is
//! asked anew, so the backlog stays.

use std::collections::btree_map::Entry;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tempfile::TempDir;

use crate::durable::hub::{Cast, Pair, RequesterStore};
use crate::durable::{OUTSTANDING, Progress, observe};
use crate::error::BenchError;
use crate::setting::Setting;
use crate::systems::folder;
use crate::workload::{CLIENTS, CPU, Case, Plan, RATE, REQUESTER, RESPONDER, Sample, Workload};

/// As `durable`, with so many requests in the outbox beside those that are outstanding there.
pub const BACKLOG: Workload = Workload {
    name: "backlog",
    about: "durable requests with a backlog in the requester's outbox",
    parameter: "backlog, requests",
    metrics: &[RATE, CPU, CLIENTS, REQUESTER, RESPONDER],
    cases,
    measure,
};

/// Requests that are put in the outbox in one write.
const FILL_BATCH: usize = 65_536;

/// What a request takes on the disk while it waits and once it is answered, at both ends, in bytes; more than it was seen
/// to take.
const REQUEST_ON_DISK_BYTES: u64 = 512;

/// The slowest that an outbox is filled, in requests a second: what takes longer has stalled.
const FILL_PER_S_MIN: u64 = 5_000;

/// The part of a backlog that may be worked off without being asked anew in a round: answers go on being recorded after
/// the last request was asked.
const SHRINKS_MAX_PART: u64 = 10;

/// Two stores with a backlog, kept from round to round: filling takes longer than measuring.
pub struct Filled {
    cast: Cast,
    requests: RequesterStore,
    folder: TempDir,
}

/// How long filling the outbox of a case may take.
pub fn fill_time_max(case: &Case) -> Duration {
    Duration::from_secs(case.parameter / FILL_PER_S_MIN)
}

fn cases(plan: &Plan) -> Vec<Case> {
    let backlogs: &[u64] = match plan.quick {
        true => &[0, 100_000],
        false => &[0, 100_000, 10_000_000],
    };
    let case = |backlog: &u64| Case {
        system: "hub",
        parameter: *backlog,
    };
    backlogs.iter().map(case).collect()
}

fn measure<'a>(setting: &'a Setting, case: &'a Case) -> BoxFuture<'a, Result<Sample, BenchError>> {
    async move {
        let mut shelf = setting.shelf.lock().await;
        let filled = match shelf.entry(case.parameter) {
            Entry::Occupied(filled) => filled.into_mut(),
            Entry::Vacant(place) => place.insert(fill(case.parameter).await?),
        };
        work_off(setting, case.parameter, filled).await
    }
    .boxed()
}

async fn fill(backlog: u64) -> Result<Filled, BenchError> {
    let folder = folder()?;
    has_room(folder.path(), backlog)?;
    let cast = Cast::new()?;
    let requests = folder.path().join("requester.sqlite");
    let requests = RequesterStore::open(&requests, cast.responder.peer())?;
    let mut left = usize::try_from(backlog).unwrap_or(usize::MAX);
    while left > 0 {
        let now = left.min(FILL_BATCH);
        requests.enqueue(now).await?;
        left -= now;
    }
    Ok(Filled {
        cast,
        requests,
        folder,
    })
}

/// Whether the disk has room for such a backlog.
fn has_room(folder: &Path, backlog: u64) -> Result<(), BenchError> {
    let room = rustix::fs::statvfs(folder)
        .map_err(|error| BenchError::machine(folder.display(), error))?;
    let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
    let needed_bytes = backlog.saturating_mul(REQUEST_ON_DISK_BYTES);
    match free_bytes >= needed_bytes {
        true => Ok(()),
        false => {
            let problem = format!(
                "a backlog of {backlog} needs {} MiB on the disk, {} MiB are free (TMPDIR says where)",
                needed_bytes >> 20,
                free_bytes >> 20
            );
            Err(BenchError::machine(folder.display(), problem))
        }
    }
}

async fn work_off(setting: &Setting, backlog: u64, filled: &Filled) -> Result<Sample, BenchError> {
    let folder = folder()?;
    let hub = filled.cast.hub(setting, folder.path()).await?;
    // What waits from the round before is outstanding here.
    let over = filled.requests.waiting().await?.saturating_sub(backlog);
    let over = usize::try_from(over).unwrap_or(usize::MAX);
    let progress = Progress::new(OUTSTANDING.saturating_sub(over));
    let answers = filled.folder.path().join("responder.sqlite");
    let pair = Pair::start(
        &hub,
        &filled.cast,
        filled.requests.clone(),
        &answers,
        folder.path(),
        progress.clone(),
    )
    .await?;
    let asking = pair.keep_asking(progress.room());
    let sample = observe(setting, pair.processes(&hub), &progress, asking).await?;
    pair.stop().await?;
    let left = filled.requests.waiting().await?;
    match left >= backlog - backlog / SHRINKS_MAX_PART {
        true => Ok(sample),
        false => {
            let problem = format!("the backlog of {backlog} has shrunk to {left}");
            Err(BenchError::peer("the load", problem))
        }
    }
}
