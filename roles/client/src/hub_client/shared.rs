use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{HubClientConfig, HubCounts, HubState, HubStatus};
use crate::identity::Identity;
use crate::session::{Credit, SessionConfig, SessionCore, Woken};

/// What the task and the handles share.
pub(super) struct Shared {
    pub(super) identity: Identity,
    state: Mutex<State>,
    /// Tells the task that there may be something to write, or a new time-out.
    pub(super) wake: Notify,
    pub(super) status: watch::Sender<HubStatus>,
    pub(super) counters: Counters,
    epoch: Instant,
}

/// As long as this lives, the task goes on.
pub(super) struct Alive {
    pub(super) stop: watch::Sender<bool>,
}

pub(super) struct State {
    pub(super) core: SessionCore,
    pub(super) stopped: bool,
    owners: BTreeMap<Woken, Arc<Notify>>,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) connects: AtomicU64,
    pub(super) connects_failed: AtomicU64,
    pub(super) frames_sent: AtomicU64,
    pub(super) frames_received: AtomicU64,
}

impl Shared {
    pub(super) fn new(config: &HubClientConfig, identity: Identity) -> Shared {
        let (host, port) = config
            .address
            .rsplit_once(':')
            .unwrap_or((&config.address, ""));
        let session = SessionConfig {
            endpoint_host: host.to_owned(),
            // What cannot be read cannot be dialled either, and fails there with a better reason.
            endpoint_port: port.parse().unwrap_or(0),
            extensions: config.extensions.clone(),
            setup_timeout_ms: config.setup_timeout_ms,
            payload_bytes_max: config.payload_bytes_max,
            window: Credit {
                messages: config.window_messages,
                bytes: config.window_bytes,
            },
            unsent_messages_max: config.unsent_messages_max,
        };
        Shared {
            identity: identity.clone(),
            state: Mutex::new(State {
                core: SessionCore::new(identity, session),
                stopped: false,
                owners: BTreeMap::new(),
            }),
            wake: Notify::new(),
            status: watch::Sender::new(HubStatus {
                state: HubState::Connecting,
                last_error: None,
            }),
            counters: Counters::default(),
            epoch: Instant::now(),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The time that [`Self::now_ms`] will call `at_ms`.
    pub(super) fn instant(&self, at_ms: u64) -> Instant {
        // Far enough for "never", near enough for the clock's arithmetic.
        const NEVER_MS: u64 = 1 << 40;
        self.epoch + std::time::Duration::from_millis(at_ms.min(NEVER_MS))
    }

    /// Calls the core, wakes the owners that it names, and the task where something is to be
    /// written.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut SessionCore, u64) -> T) -> T {
        let mut state = self.lock();
        let out = f(&mut state.core, self.now_ms());
        state.wake_owners();
        let wants_to_transmit = state.core.wants_to_transmit();
        drop(state);
        if wants_to_transmit {
            self.wake.notify_one();
        }
        out
    }

    /// For the task, which looks for something to write by itself.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside the core leaves at worst a connection that the hub closes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who waits on the returned object is woken when there is something new, and once at once.
    pub(super) fn register(&self, owner: Woken) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        notify.notify_one();
        self.lock().owners.insert(owner, Arc::clone(&notify));
        notify
    }

    pub(super) fn unregister(&self, owner: Woken) {
        self.lock().owners.remove(&owner);
    }

    pub(super) fn counts(&self) -> HubCounts {
        let session = self.lock().core.counts();
        HubCounts {
            connects: self.counters.connects.load(Ordering::Relaxed),
            connects_failed: self.counters.connects_failed.load(Ordering::Relaxed),
            frames_sent: self.counters.frames_sent.load(Ordering::Relaxed),
            frames_received: self.counters.frames_received.load(Ordering::Relaxed),
            rejects: session.rejects,
            ignored: session.ignored,
            offers_refused: session.offers_refused,
        }
    }
}

impl State {
    pub(super) fn wake_owners(&mut self) {
        while let Some(owner) = self.core.poll_woken() {
            if let Some(notify) = self.owners.get(&owner) {
                notify.notify_one();
            }
        }
    }

    /// The task has ended: nobody is to wait for it any longer.
    pub(super) fn stop(&mut self) {
        self.core.disconnected();
        self.stopped = true;
        for notify in self.owners.values() {
            notify.notify_one();
        }
    }
}
