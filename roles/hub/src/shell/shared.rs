//! The core and what its users wake each other with, behind one mutex.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::Notify;
use winze_transport::{Frame, ServerIdentity, Transcript};

use super::log::{Log, Source};
use super::reload::ConfigurationStatus;
use crate::config::Listed;
use crate::core::reasons::CloseReason;
use crate::core::{
    ByConn, ConnId, Counters, HubCore, ListErrors, Load, Outgoing, Reloaded, Transmit,
};
use crate::limits::{DRAIN_QUIET_MS, HubLimits, WRITE_BATCH_BYTES};

/// See the module. Nothing here waits while the mutex is held.
#[derive(Debug)]
pub(super) struct Shared {
    limits: RwLock<Arc<HubLimits>>,
    identity: RwLock<Arc<ServerIdentity>>,
    started: Instant,
    inner: Mutex<Inner>,
    handshakes_failed: AtomicU64,
    turned_away: AtomicU64,
    log: Log,
    pub(super) configuration: ConfigurationStatus,
}

#[derive(Debug)]
struct Inner {
    core: HubCore,
    /// How to wake each connection's task; as many as the core has connections.
    wakers: ByConn<Arc<Notify>>,
    shutting_down: bool,
}

/// What a client may still send after a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intake {
    /// Whether more is wanted at all.
    pub(super) open: bool,
    /// Whether the client has proven who it is.
    pub(super) authenticated: bool,
    /// The largest payload of a frame, in bytes.
    pub(super) payload_bytes_max: usize,
}

impl Shared {
    pub(super) fn new(core: HubCore, limits: HubLimits, identity: ServerIdentity) -> Shared {
        Shared {
            limits: RwLock::new(Arc::new(limits)),
            identity: RwLock::new(Arc::new(identity)),
            started: Instant::now(),
            inner: Mutex::new(Inner {
                core,
                wakers: ByConn::default(),
                shutting_down: false,
            }),
            handshakes_failed: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            log: Log::default(),
            configuration: ConfigurationStatus::read_now(),
        }
    }

    /// The limits of this moment.
    pub(super) fn limits(&self) -> Arc<HubLimits> {
        let limits = self.limits.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&limits)
    }

    /// What connections that come now are shown.
    pub(super) fn identity(&self) -> Arc<ServerIdentity> {
        let identity = self.identity.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&identity)
    }

    /// What connections to come are shown. Those that are there notice nothing.
    pub(super) fn set_identity(&self, identity: ServerIdentity) {
        let mut current = self
            .identity
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(identity);
    }

    /// Takes another list of peers and other limits.
    pub(super) fn reload(
        &self,
        listed: &Listed,
        limits: HubLimits,
    ) -> Result<Reloaded, ListErrors> {
        let taken = limits.clone();
        let reloaded =
            self.with_core(|inner| inner.core.reload(&listed.peers, &listed.groups, taken))?;
        let mut current = self.limits.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(limits);
        Ok(reloaded)
    }

    pub(super) fn connected(&self, conn: ConnId, transcript: Transcript) -> Arc<Notify> {
        let wake = Arc::new(Notify::new());
        let now_ms = self.now_ms();
        self.with_core(|inner| {
            inner.wakers.insert(conn, Arc::clone(&wake));
            inner.core.connected(conn, transcript, now_ms);
        });
        wake
    }

    pub(super) fn frames(&self, conn: ConnId, batch: &mut Vec<Frame>) -> Intake {
        let now_ms = self.now_ms();
        self.with_core(|inner| {
            inner.core.frames(conn, batch, now_ms);
            Intake {
                open: inner.core.is_open(conn),
                authenticated: inner.core.is_authenticated(conn),
                payload_bytes_max: inner.core.payload_bytes_max(conn),
            }
        })
    }

    pub(super) fn poll_transmit(&self, conn: ConnId, out: &mut Vec<Outgoing>) -> Transmit {
        self.with_core(|inner| inner.core.poll_transmit(conn, WRITE_BATCH_BYTES, out))
    }

    /// Whether the client's connection goes on: false once it is ending.
    pub(super) fn is_open(&self, conn: ConnId) -> bool {
        self.lock().core.is_open(conn)
    }

    pub(super) fn close(&self, conn: ConnId, reason: CloseReason, detail: String) {
        self.with_core(|inner| inner.core.close(conn, reason, detail));
    }

    pub(super) fn left(&self, conn: ConnId) {
        self.with_core(|inner| inner.core.left(conn));
    }

    pub(super) fn closed(&self, conn: ConnId) {
        self.with_core(|inner| {
            inner.core.closed(conn);
            inner.wakers.remove(&conn);
        });
    }

    pub(super) fn tick(&self) {
        let now_ms = self.now_ms();
        self.with_core(|inner| inner.core.tick(now_ms));
        self.log.tick(now_ms);
    }

    /// Asks every client to reconnect, and takes no requests any more.
    pub(super) fn wind_down(&self) {
        let retry_after_ms = self.limits().shutdown_retry_after_ms;
        let now_ms = self.now_ms();
        self.with_core(|inner| {
            inner.shutting_down = true;
            inner.core.wind_down(retry_after_ms, now_ms);
        });
    }

    /// Whether nothing is on its way any more.
    pub(super) fn is_drained(&self) -> bool {
        let now_ms = self.now_ms();
        self.with_core(|inner| inner.core.is_drained(DRAIN_QUIET_MS, now_ms))
    }

    /// Ends every connection, and each one whose handshake is still under way once it is done.
    pub(super) fn shut_down(&self) {
        let retry_after_ms = self.limits().shutdown_retry_after_ms;
        self.with_core(|inner| inner.core.shut_down(retry_after_ms));
    }

    /// The listener could not accept a connection.
    pub(super) fn log_accept_error(&self, error: &io::Error) {
        if self.log.may_write(Source::Listener, self.now_ms()) {
            tracing::warn!(%error, "cannot accept a connection");
        }
    }

    pub(super) fn finish_log(&self) {
        self.log.finish();
    }

    pub(super) fn log_lines_suppressed(&self) -> u64 {
        self.log.suppressed_total()
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

    /// Gives the core an input, wakes whoever has something to send for it, and logs what happened: that last without
    /// the mutex, because a log is written as fast as somebody reads it.
    fn with_core<T>(&self, input: impl FnOnce(&mut Inner) -> T) -> T {
        let (result, ready, events) = {
            let mut inner = self.lock();
            let result = input(&mut inner);
            (result, inner.take_ready(), inner.core.take_events())
        };
        // Not before: the first thing that they do is to ask for the mutex.
        for wake in ready {
            wake.notify_one();
        }
        if !events.is_empty() {
            self.log.events(&events, self.now_ms());
        }
        result
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in one task must not end the service for all: at worst the counts are off by the batch that it had, and the
        // channel that it was at stands still until one of its ends goes.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What wakes the tasks of those that have something to send.
    fn take_ready(&mut self) -> Vec<Arc<Notify>> {
        let ready = self.core.take_ready();
        let wakers = ready.iter().filter_map(|conn| self.wakers.get(conn));
        wakers.cloned().collect()
    }
}
