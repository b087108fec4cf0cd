//! The core and what its users wake each other with, behind one mutex.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use winze_transport::{Frame, Transcript};

use crate::core::reasons::CloseReason;
use crate::core::{ConnId, Counters, EndCause, Event, HubCore, Load, Transmit};
use crate::limits::{HubLimits, WRITE_BATCH_BYTES};

/// See the module. Nothing here waits while the mutex is held.
#[derive(Debug)]
pub(super) struct Shared {
    limits: HubLimits,
    started: Instant,
    inner: Mutex<Inner>,
    handshakes_failed: AtomicU64,
    turned_away: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    core: HubCore,
    /// How to wake each connection's task; as many as the core has connections.
    wakers: HashMap<ConnId, Arc<Notify>>,
    shutting_down: bool,
}

/// What a client may still send after a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intake {
    /// Whether more is wanted at all.
    pub(super) open: bool,
    /// The largest payload of a frame, in bytes.
    pub(super) payload_bytes_max: usize,
}

impl Shared {
    pub(super) fn new(core: HubCore, limits: HubLimits) -> Shared {
        Shared {
            limits,
            started: Instant::now(),
            inner: Mutex::new(Inner {
                core,
                wakers: HashMap::new(),
                shutting_down: false,
            }),
            handshakes_failed: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    pub(super) fn limits(&self) -> &HubLimits {
        &self.limits
    }

    pub(super) fn connected(&self, conn: ConnId, transcript: Transcript) -> Arc<Notify> {
        let wake = Arc::new(Notify::new());
        let now_ms = self.now_ms();
        let mut inner = self.lock();
        inner.wakers.insert(conn, Arc::clone(&wake));
        inner.core.connected(conn, transcript, now_ms);
        if inner.shutting_down {
            inner.core.shut_down(self.limits.shutdown_retry_after_ms);
        }
        inner.settle();
        wake
    }

    pub(super) fn frames(&self, conn: ConnId, batch: &mut Vec<Frame>) -> Intake {
        let now_ms = self.now_ms();
        let mut inner = self.lock();
        inner.core.frames(conn, batch, now_ms);
        inner.settle();
        Intake {
            open: inner.core.is_open(conn),
            payload_bytes_max: inner.core.payload_bytes_max(conn),
        }
    }

    pub(super) fn poll_transmit(&self, conn: ConnId, out: &mut Vec<Frame>) -> Transmit {
        let mut inner = self.lock();
        let left = inner.core.poll_transmit(conn, WRITE_BATCH_BYTES, out);
        inner.settle();
        left
    }

    pub(super) fn close(&self, conn: ConnId, reason: CloseReason, detail: String) {
        let mut inner = self.lock();
        inner.core.close(conn, reason, detail);
        inner.settle();
    }

    pub(super) fn closed(&self, conn: ConnId) {
        let mut inner = self.lock();
        inner.core.closed(conn);
        inner.wakers.remove(&conn);
        inner.settle();
    }

    pub(super) fn tick(&self) {
        let now_ms = self.now_ms();
        let mut inner = self.lock();
        inner.core.tick(now_ms);
        inner.settle();
    }

    /// Ends every connection, and each one whose handshake is still under way once it is done.
    pub(super) fn shut_down(&self) {
        let mut inner = self.lock();
        inner.shutting_down = true;
        inner.core.shut_down(self.limits.shutdown_retry_after_ms);
        inner.settle();
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.lock().shutting_down
    }

    pub(super) fn load(&self) -> Load {
        self.lock().core.load()
    }

    pub(super) fn counters(&self) -> Counters {
        self.lock().core.counters().clone()
    }

    pub(super) fn count_handshake_failed(&self) {
        self.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn handshakes_failed(&self) -> u64 {
        self.handshakes_failed.load(Ordering::Relaxed)
    }

    pub(super) fn count_turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in one task must not end the service for all: the core's counts are at worst off by one message.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Wakes whoever has something to send, and logs what happened.
    fn settle(&mut self) {
        for conn in self.core.take_ready() {
            if let Some(wake) = self.wakers.get(&conn) {
                wake.notify_one();
            }
        }
        for event in self.core.take_events() {
            log(&event);
        }
    }
}

fn log(event: &Event) {
    match event {
        Event::Authenticated {
            conn,
            peer,
            instance,
        } => tracing::info!(conn = conn.0, %peer, instance, "authenticated"),
        Event::Ended {
            conn,
            peer: Some(peer),
            cause,
            detail,
        } => {
            tracing::info!(conn = conn.0, %peer, cause = cause.as_str(), detail, "connection ended")
        }
        // Anybody can make these: they stay out of an ordinary log.
        Event::Ended {
            conn,
            peer: None,
            cause,
            detail,
        } => match cause {
            EndCause::AuthenticationRefused(refusal) => {
                tracing::warn!(conn = conn.0, %refusal, detail, "client not let in");
            }
            _ => tracing::debug!(
                conn = conn.0,
                cause = cause.as_str(),
                detail,
                "connection ended"
            ),
        },
        Event::ChannelOpened {
            opener,
            acceptor,
            extension,
        } => tracing::debug!(%opener, %acceptor, extension, "channel opened"),
        Event::OpenRefused {
            opener,
            reason,
            detail,
        } => tracing::debug!(%opener, %reason, detail, "channel refused"),
    }
}
