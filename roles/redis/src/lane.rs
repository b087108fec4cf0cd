//! One connection that comes back by itself.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, Pipeline, Script, ScriptInvocation};
use tokio::time::{Instant, sleep_until};

use crate::fault::RedisFault;
use crate::limits::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, RETRY_AFTER_LEAST, RETRY_AFTER_MOST};

/// How to dial a Redis server. Clones are cheap.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    address: Arc<str>,
}

impl Redis {
    pub(crate) fn new(client: Client, address: String) -> Redis {
        Redis {
            client,
            address: address.into(),
        }
    }

    /// Where it is, as in the configuration.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Dials it once, as a role does at its start.
    ///
    /// # Errors
    /// [`RedisFault::Login`] and [`RedisFault::NotAllowed`] are for the operator to put right; with the others a role
    /// starts all the same, and tries again.
    pub async fn greet(&self) -> Result<(), RedisFault> {
        let mut connection = self.dial().await?;
        let pong: Result<(), _> = redis::cmd("PING").query_async(&mut connection).await;
        pong.map_err(|error| RedisFault::from_redis(&self.address, &error))
    }

    /// A connection for one user: its commands run one after the other.
    pub fn lane(&self) -> Lane {
        Lane {
            redis: self.clone(),
            connection: None,
            next_attempt: None,
            pause: RETRY_AFTER_LEAST,
        }
    }

    async fn dial(&self) -> Result<MultiplexedConnection, RedisFault> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let dialled = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        // The library's time-out leaves the login out.
        match tokio::time::timeout(CONNECT_TIMEOUT, dialled).await {
            Ok(connection) => {
                connection.map_err(|error| RedisFault::from_redis(&self.address, &error))
            }
            Err(_) => Err(RedisFault::Away {
                address: self.address.to_string(),
                problem: format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()),
            }),
        }
    }
}

/// A connection to Redis that is dialled when it is needed, and anew after it broke: not before a pause, which grows from
/// attempt to attempt.
pub struct Lane {
    redis: Redis,
    connection: Option<MultiplexedConnection>,
    /// Not before then.
    next_attempt: Option<Instant>,
    pause: Duration,
}

impl Lane {
    /// Runs a script, atomically in Redis.
    pub(crate) async fn script<T: FromRedisValue>(
        &mut self,
        script: &Script,
        arguments: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> Result<T, RedisFault> {
        let mut invocation = script.prepare_invoke();
        arguments(&mut invocation);
        let connection = self.connection().await?;
        let outcome = invocation.invoke_async(connection).await;
        self.note(outcome)
    }

    /// Runs commands that belong together.
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &mut self,
        pipeline: &Pipeline,
    ) -> Result<T, RedisFault> {
        let connection = self.connection().await?;
        let outcome = pipeline.query_async(connection).await;
        self.note(outcome)
    }

    /// Where Redis is, as in the configuration.
    pub(crate) fn address(&self) -> &str {
        self.redis.address()
    }

    /// There is a connection at present.
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    async fn connection(&mut self) -> Result<&mut MultiplexedConnection, RedisFault> {
        if self.connection.is_none() {
            if let Some(at) = self.next_attempt {
                sleep_until(at).await;
            }
            match self.redis.dial().await {
                Ok(connection) => {
                    self.connection = Some(connection);
                    self.next_attempt = None;
                    self.pause = RETRY_AFTER_LEAST;
                }
                Err(fault) => {
                    self.put_off();
                    return Err(fault);
                }
            }
        }
        self.connection.as_mut().ok_or_else(|| RedisFault::Away {
            address: self.redis.address.to_string(),
            problem: "no connection".to_owned(),
        })
    }

    fn note<T>(&mut self, outcome: Result<T, redis::RedisError>) -> Result<T, RedisFault> {
        outcome.map_err(|error| {
            let fault = RedisFault::from_redis(&self.redis.address, &error);
            // After anything that is not an orderly answer nobody knows what the next bytes belong to; and a server that has
            // become a replica stays one, while its name may mean another by now.
            if matches!(fault, RedisFault::Away { .. } | RedisFault::Login { .. })
                || RedisFault::ends_connection(&error)
            {
                self.connection = None;
                self.put_off();
            }
            fault
        })
    }

    fn put_off(&mut self) {
        self.next_attempt = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(RETRY_AFTER_MOST);
    }
}
