//! Durable requests through two Redis lists, one for requests and one for answers, over TLS. Whether Redis has an fsync
//! behind every command is its server's configuration.
//!
//! All that is pushed or popped goes in batches of [`BATCH`]. A batch that was popped is on nobody's disk until its
//! answers are pushed: a responder that dies in between has lost it, which the hub's may not. A list that keeps what is
//! under way would cost a write more for each batch.

use std::fmt::Display;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use tokio::task::JoinSet;

use crate::durable::{ANSWER_BYTES, BATCH, FEEDERS, Progress, REQUEST_BYTES};
use crate::error::BenchError;

const REQUESTS: &str = "requests";
const ANSWERS: &str = "answers";

/// Asks, answers and takes the answers; `workers` connections answer, and as many take answers. Ends by being dropped, or with an error.
pub async fn keep_going(
    client: &Client,
    workers: usize,
    progress: &Arc<Progress>,
) -> Result<(), BenchError> {
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        tasks.spawn(answer(connect(client).await?));
        tasks.spawn(take(connect(client).await?, Arc::clone(progress)));
    }
    let requester = connect(client).await?;
    for _ in 0..FEEDERS {
        tasks.spawn(ask(requester.clone(), Arc::clone(progress)));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(failed)??;
    }
    Ok(())
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, BenchError> {
    // What blocks until there is something may block for long.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.map_err(failed)
}

async fn ask(
    mut connection: MultiplexedConnection,
    progress: Arc<Progress>,
) -> Result<(), BenchError> {
    let push = push(REQUESTS, BATCH, REQUEST_BYTES);
    let room = progress.room();
    loop {
        let permits = room.acquire_many(BATCH as u32).await.map_err(failed)?;
        permits.forget();
        push.query_async::<u64>(&mut connection)
            .await
            .map_err(failed)?;
    }
}

async fn answer(mut connection: MultiplexedConnection) -> Result<(), BenchError> {
    let pop = pop(REQUESTS);
    loop {
        let requests = popped(&pop, &mut connection).await?;
        let push = push(ANSWERS, requests, ANSWER_BYTES);
        push.query_async::<u64>(&mut connection)
            .await
            .map_err(failed)?;
    }
}

async fn take(
    mut connection: MultiplexedConnection,
    progress: Arc<Progress>,
) -> Result<(), BenchError> {
    let pop = pop(ANSWERS);
    loop {
        progress.count(popped(&pop, &mut connection).await?);
    }
}

fn push(list: &str, values: usize, bytes: usize) -> redis::Cmd {
    let value = vec![b'v'; bytes];
    let mut push = redis::cmd("RPUSH");
    push.arg(list);
    for _ in 0..values {
        push.arg(&value);
    }
    push
}

fn pop(list: &str) -> redis::Cmd {
    let mut pop = redis::cmd("BLMPOP");
    pop.arg(0).arg(1).arg(list).arg("LEFT");
    pop.arg("COUNT").arg(BATCH);
    pop
}

async fn popped(
    pop: &redis::Cmd,
    connection: &mut MultiplexedConnection,
) -> Result<usize, BenchError> {
    let (_, values): (String, Vec<Vec<u8>>) = pop.query_async(connection).await.map_err(failed)?;
    Ok(values.len())
}

fn failed(problem: impl Display) -> BenchError {
    BenchError::peer("redis", problem)
}
