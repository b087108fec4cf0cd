//! Entries of a legacy pool's list in Redis, on their way to the key of a quote's id: what is pushed, and how what comes
//! of it is counted.

pub mod process;

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cdk::nuts::SecretKey as MinerKey;
use redis::Client;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::durable::{BATCH, Progress};
use crate::error::BenchError;
use crate::pipeline::legacy::{QUEUE, Share, connect};

/// Entries that were pushed and have no quote, at most, of either system.
pub const OUTSTANDING: usize = 8_192;

/// Batches that are pushed at a time: one after the other would have a Redis with an fsync behind each wait for the pool.
const PUSHING: usize = 8;

/// How often the keys are counted.
const COUNT_EVERY: Duration = Duration::from_millis(2);

/// How long the first entry may take, until all have found each other.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where entries go that are no requests.
const DEAD_LETTERS: &str = "mint:quotes:dead";

/// Every key that is of no quote.
const NO_QUOTES: [&str; 4] = [
    QUEUE,
    "mint:quotes:create:taken:main",
    DEAD_LETTERS,
    "mint:keyset:active",
];

/// Keeps pushing shares as an old pool does, though many to a command, as there is room; `pushed` are surely on the list.
/// Ends by being dropped, or with an error.
pub async fn keep_pushing(
    client: &Client,
    progress: &Progress,
    pushed: &Arc<AtomicU64>,
) -> Result<(), BenchError> {
    let redis = connect(client).await?;
    let pubkey = MinerKey::generate().public_key().to_hex();
    let mut tasks = JoinSet::new();
    for _ in 0..PUSHING {
        let (mut redis, pubkey, room) = (redis.clone(), pubkey.clone(), progress.room());
        let count = Arc::clone(pushed);
        tasks.spawn(async move {
            loop {
                let permits = room.acquire_many(BATCH as u32).await.map_err(failed)?;
                permits.forget();
                let mut push = redis::cmd("RPUSH");
                push.arg(QUEUE);
                for _ in 0..BATCH {
                    push.arg(Share::new(&pubkey).to_json()?);
                }
                let pushed: Result<u64, _> = push.query_async(&mut redis).await;
                pushed.map_err(failed)?;
                count.fetch_add(BATCH as u64, Ordering::Relaxed);
            }
        });
    }
    match tasks.join_next().await {
        None => Ok(()),
        Some(ended) => ended.map_err(failed)?,
    }
}

/// Counts the keys that there are, nearly all of them of quotes' ids: the lists come and go. Ends by being dropped, or with
/// an error.
pub async fn keep_counting(client: &Client, progress: &Arc<Progress>) -> Result<(), BenchError> {
    let mut redis = connect(client).await?;
    let size = redis::cmd("DBSIZE");
    let mut counted: u64 = size.query_async(&mut redis).await.map_err(failed)?;
    loop {
        sleep(COUNT_EVERY).await;
        let keys: u64 = size.query_async(&mut redis).await.map_err(failed)?;
        progress.count(usize::try_from(keys.saturating_sub(counted)).unwrap_or(0));
        counted = counted.max(keys);
    }
}

/// Pushes one share and waits for the key of its quote: from then on all are there.
pub async fn first(client: &Client) -> Result<(), BenchError> {
    let mut redis = connect(client).await?;
    let share = Share::new(&MinerKey::generate().public_key().to_hex());
    let mut push = redis::cmd("RPUSH");
    push.arg(QUEUE).arg(share.to_json()?);
    let pushed: Result<u64, _> = push.query_async(&mut redis).await;
    pushed.map_err(failed)?;
    let mut exists = redis::cmd("EXISTS");
    exists.arg(format!("mint:quotes:hash:{}", share.header_hash));
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up {
        let there: u64 = exists.query_async(&mut redis).await.map_err(failed)?;
        if there == 1 {
            return Ok(());
        }
        sleep(COUNT_EVERY).await;
    }
    Err(BenchError::Stalled {
        what: "the first entry's quote".to_owned(),
        within_s: PATIENCE.as_secs(),
    })
}

/// Waits until every entry that was pushed has its key, the first one included: what was counted is what there is.
pub async fn all_are_answered(client: &Client, pushed: u64) -> Result<(), BenchError> {
    let mut redis = connect(client).await?;
    let mut look = redis::pipe();
    look.cmd("DBSIZE").cmd("LLEN").arg(DEAD_LETTERS);
    look.cmd("EXISTS").arg(&NO_QUOTES);
    let give_up = Instant::now() + PATIENCE;
    loop {
        let looked: Result<(u64, u64, u64), _> = look.query_async(&mut redis).await;
        let (keys, bad, others) = looked.map_err(failed)?;
        if bad > 0 {
            return Err(failed(format!("{bad} dead letters")));
        }
        // Some more may have been pushed by a command that was given up.
        if keys.saturating_sub(others) > pushed {
            return Ok(());
        }
        if Instant::now() > give_up {
            let missing = (pushed + 1).saturating_sub(keys.saturating_sub(others));
            return Err(failed(format!("{missing} entries have no quote")));
        }
        sleep(COUNT_EVERY).await;
    }
}

fn failed(problem: impl Display) -> BenchError {
    BenchError::peer("redis", problem)
}
