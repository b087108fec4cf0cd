//! Peers that exchange messages two by two, and measure how long that takes; each may also feed one that never reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

use super::error::SoakError;
use super::peer::{Channel, Peer};

/// How often one of a pair asks: a hundred pairs leave a hub without optimisation on a small machine time to spare, so
/// that latencies are those of messages and not of a queue.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// A question and its answer, in bytes: about a mint-quote request. The time of asking comes first.
const QUESTION_BYTES: usize = 256;
/// A message to one that never reads, in bytes: almost the largest.
const FEED_BYTES: usize = 65_000;

/// What a message has in front of its body.
const CHANNEL_ID_BYTES: u64 = 4;

/// What all pairs have measured.
#[derive(Clone)]
pub(super) struct Meter {
    since: Instant,
    latencies_us: Arc<Mutex<Vec<u64>>>,
    fed_bytes: Arc<AtomicU64>,
}

impl Meter {
    pub(super) fn new() -> Meter {
        Meter {
            since: Instant::now(),
            latencies_us: Arc::default(),
            fed_bytes: Arc::default(),
        }
    }

    /// From each question to its answer since the last call, in microseconds.
    pub(super) fn take(&self) -> Vec<u64> {
        let mut latencies = self
            .latencies_us
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *latencies)
    }

    /// Bytes that were sent to those that never read.
    pub(super) fn fed_bytes(&self) -> u64 {
        self.fed_bytes.load(Ordering::Relaxed)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn answered(&self, asked_at_us: u64) {
        let latency_us = self.now_us().saturating_sub(asked_at_us);
        let mut latencies = self
            .latencies_us
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        latencies.push(latency_us);
    }
}

/// What of a window of so many bytes can be filled with messages to one that never reads.
pub(super) fn fillable_bytes(window_bytes: u64) -> u64 {
    let message_bytes = FEED_BYTES as u64;
    window_bytes / (message_bytes + CHANNEL_ID_BYTES) * message_bytes
}

/// The questions that a pair asks in `time`.
pub(super) fn questions_in(time: Duration) -> u64 {
    (time.as_millis() / ASK_EVERY.as_millis()) as u64
}

/// One of a pair.
pub(super) struct Other {
    pub peer: Peer,
    /// To the other of the pair.
    pub exchange: Channel,
    /// To one that never reads.
    pub feed: Option<Channel>,
    /// When the first question of one that asks is due; `None` answers.
    pub asks_after: Option<Duration>,
}

impl Other {
    /// Exchanges until something is wrong.
    async fn run(mut self, meter: Meter) -> Result<(), SoakError> {
        let first = tokio::time::Instant::now() + self.asks_after.unwrap_or_default();
        let mut asking = interval_at(first, ASK_EVERY);
        asking.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let asks = self.asks_after.is_some();
        self.feed(&meter).await?;
        loop {
            let frame = tokio::select! {
                _ = asking.tick(), if asks => {
                    let mut question = [0; QUESTION_BYTES];
                    question[..8].copy_from_slice(&meter.now_us().to_le_bytes());
                    // Without credit the last questions have no answers yet, and those say how slow it is.
                    self.peer.try_send(&mut self.exchange, &question).await?;
                    continue;
                }
                frame = self.peer.next() => frame?,
            };
            if frame.channel_id() == Some(self.exchange.id) {
                let body = frame.payload.get(4..).unwrap_or_default();
                match body.first_chunk() {
                    Some(asked_at) if asks => meter.answered(u64::from_le_bytes(*asked_at)),
                    _ => {
                        self.peer.try_send(&mut self.exchange, body).await?;
                    }
                }
            } else if let Some(credit) = self.peer.handle(&frame).await? {
                self.exchange.raise(&credit);
                if let Some(feed) = &mut self.feed {
                    feed.raise(&credit);
                }
                self.feed(&meter).await?;
            }
        }
    }

    /// As much as the hub takes.
    async fn feed(&mut self, meter: &Meter) -> Result<(), SoakError> {
        let Some(feed) = &mut self.feed else {
            return Ok(());
        };
        while self.peer.try_send(feed, &[0; FEED_BYTES]).await? {
            meter
                .fed_bytes
                .fetch_add(FEED_BYTES as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// All of them at work. Dropping it ends them.
pub(super) struct Others {
    tasks: JoinSet<Result<(), SoakError>>,
}

impl Others {
    pub(super) fn start(others: Vec<Other>, meter: &Meter) -> Others {
        let mut tasks = JoinSet::new();
        for other in others {
            tasks.spawn(other.run(meter.clone()));
        }
        Others { tasks }
    }

    /// Lets them exchange for so long.
    ///
    /// # Errors
    /// What one of them met with.
    pub(super) async fn go_on(&mut self, time: Duration) -> Result<(), SoakError> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            Some(ended) = self.tasks.join_next() => match ended {
                Ok(outcome) => outcome,
                Err(error) => Err(SoakError::peer("a peer's task")(error)),
            }
        }
    }
}
