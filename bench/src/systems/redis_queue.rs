//! Redis + TLS as a queue: 64 messages pushed with one command, and popped 64 at a time or one by one.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd};

use super::redis::Redis;
use super::{Rig, folder};
use crate::error::BenchError;
use crate::load::{AnyEndpoint, Endpoint, Shape};
use crate::setting::Setting;

/// Messages of one RPUSH, and of one BLMPOP, at most.
const BATCH: usize = 64;
/// How long the server holds a pop that finds nothing, in seconds.
const POP_WITHIN_S: u64 = 20;

/// How messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pop {
    /// `BLMPOP ... COUNT 64`.
    Many,
    /// `BRPOP`.
    One,
}

/// A server that keeps nothing on disk, and a connection for each sender and receiver.
///
/// # Errors
/// [`BenchError`].
pub async fn rig(setting: &Setting, shape: Shape, pop: Pop) -> Result<Rig, BenchError> {
    let folder = folder()?;
    let redis = Redis::start(setting, folder.path(), true, &[]).await?;
    let mut senders: Vec<AnyEndpoint> = Vec::new();
    let mut receivers: Vec<AnyEndpoint> = Vec::new();
    for pair in 0..shape.senders {
        let (requests, answers) = (format!("request.{pair}"), format!("answer.{pair}"));
        let bytes = shape.payload_bytes;
        receivers.push(Box::new(
            RedisPeer::connect(&redis, &answers, &requests, pop, bytes).await?,
        ));
        senders.push(Box::new(
            RedisPeer::connect(&redis, &requests, &answers, pop, bytes).await?,
        ));
    }
    Ok(Rig {
        server: redis.server,
        senders,
        receivers,
        folder,
    })
}

struct RedisPeer {
    connection: MultiplexedConnection,
    to: String,
    payload: Vec<u8>,
    pop: Pop,
    popping: Cmd,
}

impl RedisPeer {
    async fn connect(
        redis: &Redis,
        to: &str,
        from: &str,
        pop: Pop,
        payload_bytes: usize,
    ) -> Result<RedisPeer, BenchError> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(Duration::from_secs(2 * POP_WITHIN_S)));
        let connection = redis
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let popping = match pop {
            Pop::Many => {
                let mut popping = redis::cmd("BLMPOP");
                popping.arg(POP_WITHIN_S).arg(1).arg(from).arg("LEFT");
                popping.arg("COUNT").arg(BATCH);
                popping
            }
            Pop::One => {
                let mut popping = redis::cmd("BRPOP");
                popping.arg(from).arg(POP_WITHIN_S);
                popping
            }
        };
        Ok(RedisPeer {
            connection: connection.await.map_err(failed)?,
            to: to.to_owned(),
            payload: vec![0x5a; payload_bytes],
            pop,
            popping,
        })
    }
}

#[async_trait]
impl Endpoint for RedisPeer {
    async fn send(&mut self, messages: usize) -> Result<(), BenchError> {
        let mut left = messages;
        while left > 0 {
            let batch = left.min(BATCH);
            let mut push = redis::cmd("RPUSH");
            push.arg(&self.to);
            for _ in 0..batch {
                push.arg(&self.payload);
            }
            push.query_async::<u64>(&mut self.connection)
                .await
                .map_err(failed)?;
            left -= batch;
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<usize, BenchError> {
        let sent_bytes = self.payload.len();
        let popped: Vec<Vec<u8>> = match self.pop {
            Pop::Many => {
                let popped = self.popping.query_async(&mut self.connection).await;
                let (_, popped): (String, Vec<Vec<u8>>) = popped.map_err(failed)?;
                popped
            }
            Pop::One => {
                let popped = self.popping.query_async(&mut self.connection).await;
                let (_, one): (String, Vec<u8>) = popped.map_err(failed)?;
                vec![one]
            }
        };
        match popped.iter().all(|payload| payload.len() == sent_bytes) {
            true => Ok(popped.len()),
            false => Err(failed("another payload than was sent")),
        }
    }
}

fn failed(problem: impl std::fmt::Display) -> BenchError {
    BenchError::peer("redis", problem)
}
