//! A miner: finds shares on the CPU, submits them, and dials again when the pool goes.

use std::time::{Duration, Instant};

use rand::Rng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use winze_transport::PublicKey;

use crate::budget::ShareBudget;
use crate::client::{ClientError, ConnectConfig, MiningClient};
use crate::finder::Finder;
use crate::limits::{EVENTS_QUEUE_MAX, RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN, STOP_TIMEOUT};
use crate::outgoing::OpenChannel;
use crate::proof::Target;
use crate::session::{self, MinerEvent, SessionEnd, Surroundings, emit, stopped};
use crate::work::{ChannelKind, ChannelTerms};

/// Everything a miner is told before it starts.
#[derive(Clone, Debug)]
pub struct MinerConfig {
    /// The pool's mining port, `host:port`.
    pub address: String,
    /// The authority that signed the pool's certificate.
    pub authority: PublicKey,
    /// The compressed key that the quotes of this miner's shares are locked to.
    pub locking_key: [u8; 33],
    /// Name of this machine among those with the same key; part of the user identity.
    pub worker: Option<String>,
    /// Standard or extended channel.
    pub channel: ChannelKind,
    /// Finder threads, 1 to [`THREADS_MAX`](crate::limits::THREADS_MAX).
    pub threads: usize,
    /// Bound on the hashes per second of all threads together; none if `None`.
    pub hash_rate_max: Option<u32>,
    /// Hashes per second told to the pool, which chooses the first target by it.
    pub nominal_hash_rate: f32,
    /// The easiest target the miner takes.
    pub max_target: Target,
    /// Whether to dial again after a connection could not be made, or ended.
    pub reconnect: bool,
}

impl MinerConfig {
    /// One thread on a standard channel without a bound, dialling for ever.
    pub fn new(address: impl Into<String>, authority: PublicKey, locking_key: [u8; 33]) -> Self {
        MinerConfig {
            address: address.into(),
            authority,
            locking_key,
            worker: None,
            channel: ChannelKind::Standard,
            threads: 1,
            hash_rate_max: None,
            nominal_hash_rate: 100_000.0,
            max_target: Target::MAX,
            reconnect: true,
        }
    }

    /// `<compressed locking key in hex>[.worker]`.
    pub fn user_identity(&self) -> String {
        let key = hex::encode(self.locking_key);
        match &self.worker {
            Some(worker) => format!("{key}.{worker}"),
            None => key,
        }
    }
}

/// A running miner. Dropping it ends it without waiting for answers.
pub struct Miner {
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Miner {
    /// Starts a miner on the current tokio runtime. Its events come on a channel of
    /// [`EVENTS_QUEUE_MAX`]: the miner waits for whoever does not take them.
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub fn start(
        config: MinerConfig,
        budget: ShareBudget,
    ) -> std::io::Result<(Miner, mpsc::Receiver<MinerEvent>)> {
        let finder = Finder::start(config.threads, config.hash_rate_max)?;
        let (events_tx, events) = mpsc::channel(EVENTS_QUEUE_MAX);
        let (stop, stop_rx) = watch::channel(false);
        let task = tokio::spawn(run(config, budget, finder, events_tx, stop_rx));
        let miner = Miner {
            stop,
            task: Some(task),
        };
        Ok((miner, events))
    }

    /// Stops finding shares, waits for the answers that are due, closes the channel and the
    /// connection. Takes at most twice [`STOP_TIMEOUT`]; what is unanswered then is in doubt. Its last
    /// events are in the channel afterwards, unless that was full.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(mut task) = self.task.take()
            && timeout(2 * STOP_TIMEOUT, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn run(
    config: MinerConfig,
    budget: ShareBudget,
    mut finder: Finder,
    events: mpsc::Sender<MinerEvent>,
    mut stop: watch::Receiver<bool>,
) {
    let mut wait = RECONNECT_WAIT_MIN;
    loop {
        let opened = tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            opened = open(&config) => opened,
        };
        let end = match opened {
            Ok((client, terms)) => {
                let connected = MinerEvent::Connected {
                    terms: terms.clone(),
                    quotes: client.has_quotes(),
                };
                emit(&events, connected).await;
                let around = Surroundings {
                    finder: &mut finder,
                    budget: &budget,
                    events: &events,
                    stop: &mut stop,
                };
                let begun = Instant::now();
                let end = session::run(client, terms, around).await;
                // A pool that only opens and closes is not to be dialled many times a second.
                if begun.elapsed() > RECONNECT_WAIT_MAX {
                    wait = RECONNECT_WAIT_MIN;
                }
                end
            }
            Err(error) => SessionEnd::Client(error),
        };
        if matches!(end, SessionEnd::Stopped) {
            return;
        }
        let reason = end.to_string();
        tracing::info!(address = %config.address, reason, "mining connection ended");
        emit(&events, MinerEvent::Disconnected { reason }).await;
        if !config.reconnect {
            return;
        }
        // Half of it is random, so that the miners of a pool that restarts do not come as one.
        let jittered = wait.mul_f64(rand::thread_rng().gen_range(0.5..1.0));
        if timeout(jittered, stopped(&mut stop)).await.is_ok() {
            return;
        }
        wait = next_wait(wait);
    }
}

async fn open(config: &MinerConfig) -> Result<(MiningClient, ChannelTerms), ClientError> {
    let mut client = MiningClient::connect(&ConnectConfig {
        address: config.address.clone(),
        authority: config.authority,
        standard_jobs_only: config.channel == ChannelKind::Standard,
        quotes: true,
    })
    .await?;
    let terms = client
        .open_channel(&OpenChannel {
            kind: config.channel,
            request_id: 1,
            user_identity: config.user_identity(),
            nominal_hash_rate: config.nominal_hash_rate,
            max_target: config.max_target,
            extranonce_bytes_min: 2,
        })
        .await?;
    Ok((client, terms))
}

fn next_wait(wait: Duration) -> Duration {
    (2 * wait).min(RECONNECT_WAIT_MAX)
}
