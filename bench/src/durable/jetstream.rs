//! Durable requests through two JetStream streams on files, one for requests and one for answers, over TLS. Whether each
//! message is synced is the server's configuration.
//!
//! A request is acknowledged to its stream once its answer is stored in the other one, an answer when it has come. One
//! acknowledgement goes for all before it (`AckPolicy::All`), which is the leanest that loses nothing.

use std::fmt::Display;
use std::sync::Arc;

use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::stream::{self, StorageType};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::JoinSet;

use crate::durable::{ANSWER_BYTES, BATCH, Progress, REQUEST_BYTES};
use crate::error::BenchError;

const REQUESTS: &str = "requests";
const ANSWERS: &str = "answers";

/// Requests that are asked and not answered, at most: fewer than the other systems have, because storing as many as they
/// have takes a server that syncs each message longer than a measurement does. More do not make it faster.
pub const OUTSTANDING: usize = 1_024;

/// Messages that are taken together, at most.
const TAKEN_MAX: usize = 512;

/// Asks, answers and takes the answers: `requester` and `responder` are connections of the two. Ends by being dropped,
/// or with an error.
pub async fn keep_going(
    requester: Client,
    responder: Client,
    progress: &Arc<Progress>,
) -> Result<(), BenchError> {
    let (requester, responder) = (context(requester), context(responder));
    let requests = consumer(&responder, REQUESTS).await?;
    let answers = consumer(&requester, ANSWERS).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(answer(responder, requests));
    tasks.spawn(take(answers, Arc::clone(progress)));
    for _ in 0..OUTSTANDING / BATCH {
        tasks.spawn(ask(requester.clone(), Arc::clone(progress)));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(failed)??;
    }
    Ok(())
}

fn context(client: Client) -> Context {
    jetstream::context::ContextBuilder::new()
        .max_ack_inflight(OUTSTANDING)
        .build(client)
}

/// The stream of this name, made anew, and who takes from it.
async fn consumer(context: &Context, name: &str) -> Result<PullConsumer, BenchError> {
    let config = stream::Config {
        name: name.to_owned(),
        subjects: vec![name.to_owned()],
        storage: StorageType::File,
        ..stream::Config::default()
    };
    let stream = context.create_stream(config).await.map_err(failed)?;
    let config = pull::Config {
        durable_name: Some(name.to_owned()),
        ack_policy: AckPolicy::All,
        max_ack_pending: OUTSTANDING as i64,
        ..pull::Config::default()
    };
    stream.create_consumer(config).await.map_err(failed)
}

async fn ask(context: Context, progress: Arc<Progress>) -> Result<(), BenchError> {
    let room = progress.room();
    let request = Bytes::from(vec![b'v'; REQUEST_BYTES]);
    loop {
        let permits = room.acquire_many(BATCH as u32).await.map_err(failed)?;
        permits.forget();
        store(&context, REQUESTS, &request, BATCH).await?;
    }
}

async fn answer(context: Context, requests: PullConsumer) -> Result<(), BenchError> {
    let answer = Bytes::from(vec![b'v'; ANSWER_BYTES]);
    let requests = messages(&requests).await?;
    let mut batches = requests.ready_chunks(TAKEN_MAX);
    while let Some(batch) = batches.next().await {
        let batch: Vec<_> = batch
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        store(&context, ANSWERS, &answer, batch.len()).await?;
        if let Some(last) = batch.last() {
            last.ack().await.map_err(failed)?;
        }
    }
    Ok(())
}

async fn take(answers: PullConsumer, progress: Arc<Progress>) -> Result<(), BenchError> {
    let answers = messages(&answers).await?;
    let mut batches = answers.ready_chunks(TAKEN_MAX);
    while let Some(batch) = batches.next().await {
        let batch: Vec<_> = batch
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        if let Some(last) = batch.last() {
            last.ack().await.map_err(failed)?;
        }
        progress.count(batch.len());
    }
    Ok(())
}

async fn messages(consumer: &PullConsumer) -> Result<pull::Stream, BenchError> {
    let messages = consumer
        .stream()
        .max_messages_per_batch(OUTSTANDING)
        .messages();
    messages.await.map_err(failed)
}

/// Publishes `count` times, and comes back when all of it is stored.
async fn store(
    context: &Context,
    subject: &'static str,
    payload: &Bytes,
    count: usize,
) -> Result<(), BenchError> {
    let mut stored: Vec<PublishAckFuture> = Vec::with_capacity(count);
    for _ in 0..count {
        let sent = context.publish(subject, payload.clone()).await;
        stored.push(sent.map_err(failed)?);
    }
    for ack in stored {
        ack.await.map_err(failed)?;
    }
    Ok(())
}

fn failed(problem: impl Display) -> BenchError {
    BenchError::peer("jetstream", problem)
}
