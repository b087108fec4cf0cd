//! One miner's connection: handshake, then frames in and out until either side ends it.

use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::FutureExt as _;
use futures_util::stream::{FuturesOrdered, StreamExt as _};
use rand::rngs::OsRng;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use winze_runtime::clock::now_unix_ms;
use winze_transport::{FrameReader, FrameWriter, Limits, Session, respond};

use super::{PoolState, until};
use crate::directory::{Addressed, ConnectionId};
use crate::limits::{
    FRAMES_PER_BATCH, HANDSHAKE_TIMEOUT, JOB_PAYLOAD_BYTES_MAX, MINER_PAYLOAD_BYTES_MAX,
    NOTICES_PER_BATCH, SHARES_IN_FLIGHT_MAX, TICK_INTERVAL, WRITE_PENDING_BYTES_MAX,
    WRITE_PENDING_READ_MAX, WRITE_STALL_TIMEOUT,
};
use crate::mining::{AcceptedShare, Action, MiningConnection, Recorded};

type Write = Pin<Box<dyn Future<Output = (AcceptedShare, Recorded)> + Send>>;

/// A miner that has connected.
pub(super) struct Miner {
    pub(super) connection: ConnectionId,
    pub(super) address: SocketAddr,
    pub(super) state: Arc<PoolState>,
}

/// Whom a connection has served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// Somebody who never had a channel open.
    Stranger,
    /// A miner.
    Miner,
}

impl Miner {
    /// Serves the miner until its connection ends, or until `stopped`.
    pub(super) async fn serve(
        self,
        mut stream: TcpStream,
        stopped: watch::Receiver<bool>,
    ) -> Served {
        let metrics = &self.state.metrics;
        metrics.connections.inc();
        // Batches are made here; the kernel must not wait for more. Without it only latency suffers.
        let _ = stream.set_nodelay(true);
        let mut rng = OsRng;
        let handshake = respond(&mut stream, &self.state.identity, &mut rng);
        let shaken = tokio::select! {
            shaken = timeout(HANDSHAKE_TIMEOUT, handshake) => shaken,
            () = until(stopped.clone()) => {
                metrics.connections.dec();
                return Served::Stranger;
            }
        };
        let served = match shaken {
            Ok(Ok(session)) => self.exchange(stream, session, stopped).await,
            Ok(Err(error)) => {
                metrics.handshakes_failed.inc();
                tracing::debug!(address = %self.address, %error, "handshake failed");
                Served::Stranger
            }
            Err(_) => {
                metrics.handshakes_failed.inc();
                tracing::debug!(address = %self.address, "handshake was not done in time");
                Served::Stranger
            }
        };
        metrics.connections.dec();
        served
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        session: Session,
        stopped: watch::Receiver<bool>,
    ) -> Served {
        let (read_half, write_half) = stream.into_split();
        let intake = Limits {
            payload_bytes_max: MINER_PAYLOAD_BYTES_MAX,
        };
        let output = Limits {
            payload_bytes_max: JOB_PAYLOAD_BYTES_MAX,
        };
        let mut reader = FrameReader::new(read_half, session.opener, intake);
        let writer = FrameWriter::new(write_half, session.sealer, output);
        let mut notices = self.state.directory.connected(self.connection);
        let mut templates = self.state.templates.clone();
        let mut exchange = Exchange::new(self, writer);
        exchange.new_work(&mut templates);

        let mut frames = Vec::new();
        let mut ticker = interval(TICK_INTERVAL);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = std::pin::pin!(until(stopped));
        let ended = loop {
            if let Some(why) = exchange.over.take() {
                break why;
            }
            let pending = exchange.writer.pending_bytes();
            let room = exchange.writes.len() + FRAMES_PER_BATCH <= SHARES_IN_FLIGHT_MAX
                && pending < WRITE_PENDING_READ_MAX;
            tokio::select! {
                () = &mut stop => break "the pool is shutting down".to_owned(),
                Some(first) = exchange.writes.next() => exchange.recorded(first),
                written = exchange.writer.write_some(), if pending > 0 => match written {
                    Ok(_) => exchange.progress = Instant::now(),
                    Err(error) => break format!("write: {error}"),
                },
                read = reader.read_batch(&mut frames, FRAMES_PER_BATCH), if room => match read {
                    Ok(0) => break "closed by the miner".to_owned(),
                    Ok(_) => exchange.frames(&mut frames),
                    Err(error) => break error.to_string(),
                },
                changed = templates.changed() => match changed {
                    Ok(()) => exchange.new_work(&mut templates),
                    Err(_) => break "the pool is shutting down".to_owned(),
                },
                // A miner on a slow line loses notices, in their queue, and not its connection to them.
                Some(first) = notices.recv(), if pending < WRITE_PENDING_BYTES_MAX / 2 => {
                    let more = std::iter::from_fn(|| notices.try_recv().ok());
                    exchange.tell(std::iter::once(first).chain(more).take(NOTICES_PER_BATCH));
                }
                _ = ticker.tick() => exchange.tick(),
            }
        };
        self.state.directory.disconnected(self.connection);
        let served = exchange.served;
        exchange.finish().await;
        // Not higher: strangers can come and go as fast as they like, and a log fills a disk.
        tracing::debug!(connection = self.connection, address = %self.address, reason = ended, "miner gone");
        served
    }
}

/// The state of a connection after its handshake.
struct Exchange<'a, W> {
    miner: &'a Miner,
    core: MiningConnection,
    writer: FrameWriter<W>,
    /// Shares on their way to the disk, in the order in which they are answered. At most [`SHARES_IN_FLIGHT_MAX`]:
    /// while there is no room for another batch, nothing is read.
    writes: FuturesOrdered<Write>,
    actions: Vec<Action>,
    /// Channels that count in the metrics.
    channels: HashSet<u32>,
    started: Instant,
    /// When the miner last took bytes that waited for it.
    progress: Instant,
    served: Served,
    /// Set when the connection is to be ended, with the reason.
    over: Option<String>,
}

impl<'a, W: AsyncWrite + Unpin> Exchange<'a, W> {
    fn new(miner: &'a Miner, writer: FrameWriter<W>) -> Exchange<'a, W> {
        Exchange {
            miner,
            core: MiningConnection::new(miner.state.shared.clone(), 0),
            writer,
            writes: FuturesOrdered::new(),
            actions: Vec::new(),
            channels: HashSet::new(),
            started: Instant::now(),
            progress: Instant::now(),
            served: Served::Stranger,
            over: None,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn frames(&mut self, frames: &mut Vec<winze_transport::Frame>) {
        let intake = self.miner.state.intake();
        let now_ms = self.now_ms();
        for frame in frames.drain(..) {
            self.core.handle(frame, intake, now_ms, &mut self.actions);
        }
        self.act();
    }

    fn tell(&mut self, notices: impl Iterator<Item = Addressed>) {
        for (channel_id, notice) in notices {
            self.core.notify(channel_id, &notice, &mut self.actions);
        }
        self.act();
    }

    fn new_work(&mut self, templates: &mut watch::Receiver<Option<crate::template::feed::Work>>) {
        let work = templates.borrow_and_update().clone();
        if let Some(work) = work {
            self.core.new_work(work, &mut self.actions);
            self.act();
        }
    }

    /// Answers the share whose write has ended, and all after it whose writes have ended as well.
    fn recorded(&mut self, first: (AcceptedShare, Recorded)) {
        let mut outcomes = vec![first];
        while let Some(Some(next)) = self.writes.next().now_or_never() {
            outcomes.push(next);
        }
        let state = &self.miner.state;
        let stored = |outcome: &&(AcceptedShare, Recorded)| outcome.1 == Recorded::Stored;
        let accepted = outcomes.iter().filter(stored).count();
        if accepted > 0 {
            state.metrics.shares_accepted.inc_by(accepted as u64);
            state.nudge();
        }
        self.core.recorded(outcomes, &mut self.actions);
        self.act();
    }

    fn tick(&mut self) {
        let now_ms = self.now_ms();
        self.core.tick(now_ms, &mut self.actions);
        self.act();
        if self.writer.pending_bytes() > 0 && self.progress.elapsed() >= WRITE_STALL_TIMEOUT {
            self.end("the miner does not read");
        }
    }

    /// Does what the core wants done.
    fn act(&mut self) {
        let state = &self.miner.state;
        let connection = self.miner.connection;
        if self.writer.pending_bytes() == 0 {
            self.progress = Instant::now();
        }
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Send(frame) => {
                    if let Err(error) = self.writer.push(&frame) {
                        tracing::error!(%error, "cannot encrypt a frame");
                        self.over = Some("a frame could not be written".to_owned());
                    }
                }
                Action::Record(share) => {
                    let hash = share.header_hash;
                    state.directory.found(connection, share.channel_id, hash);
                    let write = record(Arc::clone(state), share);
                    self.writes.push_back(Box::pin(write));
                }
                Action::Submit(block) => state.blocks.found(*block),
                Action::Opened {
                    channel_id,
                    locking_key,
                    wants_quotes,
                } => {
                    self.served = Served::Miner;
                    if self.channels.insert(channel_id) {
                        state.metrics.channels.inc();
                    }
                    if wants_quotes {
                        state.directory.opened(connection, channel_id, locking_key);
                    }
                    // Not higher: a miner opens and closes as often as it likes, and a log fills a disk.
                    tracing::debug!(connection, channel_id, %locking_key, "channel opened");
                }
                Action::Closed { channel_id } => {
                    if self.channels.remove(&channel_id) {
                        state.metrics.channels.dec();
                    }
                    state.directory.closed(connection, channel_id);
                    tracing::debug!(connection, channel_id, "channel closed");
                }
                Action::Refused(code) => state.metrics.share_refused(code),
                Action::ChannelRefused(code) => state.metrics.channel_refused(code),
                Action::Hangup(why) => self.over = Some(format!("{why:?}")),
            }
        }
        if self.writer.pending_bytes() > WRITE_PENDING_BYTES_MAX {
            self.end("the miner does not read");
        }
    }

    fn end(&mut self, why: &str) {
        self.over.get_or_insert_with(|| why.to_owned());
    }

    /// Waits for the shares that are on their way to the disk, so that what the miner has sent counts even if it is
    /// gone, and hands over the answers that it will still take.
    async fn finish(mut self) {
        while let Some(outcome) = self.writes.next().await {
            self.recorded(outcome);
        }
        for _ in self.channels.drain() {
            self.miner.state.metrics.channels.dec();
        }
        // Whoever does not take it now has no use for it; the shares are on disk.
        let _ = timeout(super::listen::DRAIN_TIMEOUT, self.writer.shutdown()).await;
    }
}

async fn record(state: Arc<PoolState>, share: AcceptedShare) -> (AcceptedShare, Recorded) {
    let keyset_id = state.keyset.borrow().clone();
    let Some(keyset_id) = keyset_id else {
        // No channel opens before a keyset is known, and none is ever forgotten.
        tracing::error!("a share came before the mint's keyset was known");
        return (share, Recorded::Failed);
    };
    let started = Instant::now();
    let outcome = state.ledger.record(&share, keyset_id, now_unix_ms()).await;
    let seconds = started.elapsed().as_secs_f64();
    state.metrics.share_commit_seconds.observe(seconds);
    (share, outcome)
}
