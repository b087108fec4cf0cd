//! The task: dial, serve, pause, again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::RngCore;
use rand::rngs::OsRng;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use winze_runtime::repeats::Repeats;
use winze_transport::{
    Frame, FrameReader, FrameWriter, Limits, Session, Transcript, encrypted_frame_bytes,
};

use super::connect::{ConnectionError, connect};
use super::shared::Shared;
use super::{HubClientConfig, HubState, HubStatus};
use crate::backoff::{backoff_ms, with_jitter_ms};
use crate::limits::{
    FRAMES_PER_TURN_MAX, RETRY_AFTER_MS_MAX, SETUP_PAYLOAD_BYTES_MAX, SHUTDOWN_FLUSH_MS,
    STABLE_AFTER_MS, WRITE_BATCH_BYTES,
};
use crate::session::SessionError;

/// `own` is name and key, as the operator of a hub that refuses them has to be told.
pub(super) async fn run(
    shared: Arc<Shared>,
    config: HubClientConfig,
    own: String,
    mut stop: watch::Receiver<bool>,
) {
    let _ended = Ended(Arc::clone(&shared));
    let mut attempts = 0;
    let mut repeats = Repeats::new();
    if !config.is_dialled {
        return stopped(&mut stop).await;
    }
    loop {
        shared
            .status
            .send_modify(|status| status.state = HubState::Connecting);
        let outcome = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            outcome = connect(&config) => outcome,
        };
        let (error, was_ready) = match outcome {
            Ok((stream, session)) => {
                let mut connection = Connection::new(&shared, &config, stream, session);
                let served = connection.serve(&mut stop).await;
                shared.lock().core.disconnected();
                shared.lock().wake_owners();
                if connection.was_stable() {
                    attempts = 0;
                }
                let was_ready = connection.ready_at_ms.is_some();
                match served {
                    Ok(()) => break,
                    Err(error) => (error, was_ready),
                }
            }
            Err(error) => (error, false),
        };
        if was_ready {
            repeats.works();
        } else {
            shared
                .counters
                .connects_failed
                .fetch_add(1, Ordering::Relaxed);
        }
        let retry_in_ms = pause_ms(&error, attempts, &config);
        attempts = attempts.saturating_add(1);
        if repeats.is_due(&error, Instant::now()) {
            tracing::warn!(hub = %config.address, %error, retry_in_ms, "no connection to the hub");
            if matches!(
                &error,
                ConnectionError::Session(SessionError::Refused { .. })
            ) {
                tracing::warn!(
                    own,
                    "the hub's operator decides who is let in; ask for this to be listed"
                );
            }
        }
        shared.status.send_replace(HubStatus {
            state: HubState::Waiting { retry_in_ms },
            last_error: Some(error.to_string()),
        });
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            () = sleep(Duration::from_millis(retry_in_ms)) => {}
        }
    }
}

/// Tells everyone that nothing more will come, also when the task panics.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lock().stop();
        self.0
            .status
            .send_modify(|status| status.state = HubState::Stopped);
    }
}

/// Resolves when the client is shut down or nobody holds a part of it any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn pause_ms(error: &ConnectionError, attempts: u32, config: &HubClientConfig) -> u64 {
    let pause_ms = backoff_ms(
        attempts,
        config.backoff_min_ms,
        config.backoff_max_ms,
        &mut OsRng,
    );
    let asked_ms = match error {
        ConnectionError::Session(SessionError::Closed {
            reason,
            retry_after_ms,
            ..
        }) if reason == "replaced" => u64::from(*retry_after_ms).max(config.replaced_backoff_ms),
        ConnectionError::Session(
            SessionError::Closed { retry_after_ms, .. }
            | SessionError::Refused { retry_after_ms, .. },
        ) => u64::from(*retry_after_ms),
        _ => 0,
    };
    pause_ms.max(with_jitter_ms(asked_ms.min(RETRY_AFTER_MS_MAX), &mut OsRng))
}

/// One connection, from the handshake to its end.
struct Connection<'a> {
    shared: &'a Shared,
    config: &'a HubClientConfig,
    transcript: Transcript,
    reader: FrameReader<OwnedReadHalf>,
    writer: FrameWriter<OwnedWriteHalf>,
    /// What is being encrypted; kept for its room.
    due: Vec<Frame>,
    payload_bytes_max: usize,
    /// When the hub last took something, or had nothing to take.
    wrote_at_ms: u64,
    ready_at_ms: Option<u64>,
}

impl<'a> Connection<'a> {
    fn new(
        shared: &'a Shared,
        config: &'a HubClientConfig,
        stream: TcpStream,
        session: Session,
    ) -> Connection<'a> {
        let (read_half, write_half) = stream.into_split();
        let limits = Limits {
            payload_bytes_max: SETUP_PAYLOAD_BYTES_MAX,
        };
        Connection {
            shared,
            config,
            transcript: session.transcript,
            reader: FrameReader::new(read_half, session.opener, limits),
            writer: FrameWriter::new(write_half, session.sealer, limits),
            due: Vec::new(),
            payload_bytes_max: SETUP_PAYLOAD_BYTES_MAX,
            wrote_at_ms: shared.now_ms(),
            ready_at_ms: None,
        }
    }

    /// Moves frames both ways until the connection ends, or, with `Ok`, the client is stopped.
    async fn serve(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), ConnectionError> {
        let mut aux_rand = [0; 32];
        OsRng.fill_bytes(&mut aux_rand);
        let now_ms = self.shared.now_ms();
        self.shared
            .lock()
            .core
            .connected(&self.transcript, aux_rand, now_ms)?;

        let mut frames = Vec::new();
        loop {
            self.encrypt_what_is_due()?;
            let timeout_at_ms = self.next_timeout_ms();
            let shared = self.shared;
            tokio::select! {
                () = stopped(stop) => return self.finish().await,
                read = self.reader.read_batch(&mut frames, FRAMES_PER_TURN_MAX) => {
                    if read? == 0 {
                        return Err(ConnectionError::Ended);
                    }
                    self.take_frames(&mut frames)?;
                }
                written = self.writer.write_some(), if self.writer.pending_bytes() > 0 => {
                    written.map_err(ConnectionError::Write)?;
                    self.wrote_at_ms = shared.now_ms();
                }
                () = shared.wake.notified() => {}
                () = sleep_until(shared.instant(timeout_at_ms)) => self.handle_timeout()?,
            }
        }
    }

    fn encrypt_what_is_due(&mut self) -> Result<(), ConnectionError> {
        if self.writer.pending_bytes() == 0 {
            self.wrote_at_ms = self.shared.now_ms();
        }
        let room_bytes = WRITE_BATCH_BYTES.saturating_sub(self.writer.pending_bytes());
        let mut taken_bytes = 0;
        // Taken under the lock, encrypted without it: the owners go on meanwhile.
        let mut state = self.shared.lock();
        while taken_bytes < room_bytes {
            let Some(frame) = state.core.poll_transmit() else {
                break;
            };
            taken_bytes += encrypted_frame_bytes(frame.payload.len());
            self.due.push(frame);
        }
        state.wake_owners();
        drop(state);
        self.shared
            .counters
            .frames_sent
            .fetch_add(self.due.len() as u64, Ordering::Relaxed);
        for frame in self.due.drain(..) {
            self.writer.push(&frame)?;
        }
        Ok(())
    }

    fn take_frames(&mut self, frames: &mut Vec<Frame>) -> Result<(), ConnectionError> {
        let now_ms = self.shared.now_ms();
        self.shared
            .counters
            .frames_received
            .fetch_add(frames.len() as u64, Ordering::Relaxed);
        let mut state = self.shared.lock();
        let mut outcome = Ok(());
        for frame in frames.drain(..) {
            outcome = state.core.handle_frame(frame, now_ms);
            if outcome.is_err() {
                break;
            }
        }
        state.wake_owners();
        let (is_ready, payload_bytes_max) = (state.core.is_ready(), state.core.payload_bytes_max());
        drop(state);
        outcome?;
        if payload_bytes_max != self.payload_bytes_max {
            let limits = Limits { payload_bytes_max };
            self.reader.set_limits(limits);
            self.writer.set_limits(limits);
            self.payload_bytes_max = payload_bytes_max;
        }
        if is_ready && self.ready_at_ms.is_none() {
            self.ready_at_ms = Some(now_ms);
            self.shared
                .counters
                .connects
                .fetch_add(1, Ordering::Relaxed);
            tracing::info!(hub = %self.config.address, "connected to the hub");
            self.shared
                .status
                .send_modify(|status| status.state = HubState::Connected);
        }
        Ok(())
    }

    fn next_timeout_ms(&self) -> u64 {
        let core_ms = self.shared.lock().core.next_timeout_ms();
        let write_ms = match self.writer.pending_bytes() {
            0 => None,
            _ => Some(
                self.wrote_at_ms
                    .saturating_add(self.config.write_timeout_ms),
            ),
        };
        core_ms
            .into_iter()
            .chain(write_ms)
            .min()
            .unwrap_or(u64::MAX)
    }

    fn handle_timeout(&mut self) -> Result<(), ConnectionError> {
        let now_ms = self.shared.now_ms();
        let timeout_ms = self.config.write_timeout_ms;
        if self.writer.pending_bytes() > 0 && now_ms >= self.wrote_at_ms.saturating_add(timeout_ms)
        {
            return Err(ConnectionError::WriteTimeout { timeout_ms });
        }
        let mut state = self.shared.lock();
        let outcome = state.core.handle_timeout(now_ms);
        state.wake_owners();
        Ok(outcome?)
    }

    /// Writes what the owners have handed over, as far as the hub takes it in a moment.
    async fn finish(&mut self) -> Result<(), ConnectionError> {
        let flushed = timeout(Duration::from_millis(SHUTDOWN_FLUSH_MS), async {
            loop {
                self.encrypt_what_is_due()?;
                if self.writer.pending_bytes() == 0 {
                    break;
                }
                self.writer.flush().await.map_err(ConnectionError::Write)?;
            }
            self.writer.shutdown().await.map_err(ConnectionError::Write)
        })
        .await;
        if let Ok(Err(error)) = flushed {
            tracing::debug!(%error, "the last messages to the hub");
        }
        Ok(())
    }

    /// Whether it lasted long enough not to count as one more failed attempt.
    fn was_stable(&self) -> bool {
        self.ready_at_ms
            .is_some_and(|at_ms| self.shared.now_ms() >= at_ms.saturating_add(STABLE_AFTER_MS))
    }
}
