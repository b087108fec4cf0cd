//! The tasks of the way over Redis: the second sender, and the watch over the keyset's key.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use winze_client::{QuoteRequester, Store};
use winze_redis::{Handover, KeysetKey};

use super::start::PreparedRedis;
use crate::metrics::Metrics;
use crate::redis_path::{
    KeysetWatch, RedisPath, RedisPathCore, RedisStatus, StatusSink, now, watch_keyset,
};
use crate::store::{Answers, Pushes};

/// What the pool's other parts know of it.
pub(super) struct RedisHandle {
    nudged: Arc<Notify>,
    status: watch::Receiver<RedisStatus>,
}

impl RedisHandle {
    /// Shares were written down.
    pub(super) fn nudge(&self) {
        self.nudged.notify_one();
    }

    pub(super) fn status(&self) -> RedisStatus {
        self.status.borrow().clone()
    }
}

/// The running tasks.
pub(super) struct RedisTask {
    stop: watch::Sender<bool>,
    sender: JoinHandle<()>,
    keyset: JoinHandle<()>,
}

impl Drop for RedisTask {
    fn drop(&mut self) {
        // A pool that is dropped on the spot leaves nothing behind. After `stop` both have ended.
        self.sender.abort();
        self.keyset.abort();
    }
}

impl RedisTask {
    /// Ends them, and waits until what was found is written down.
    pub(super) async fn stop(mut self) {
        self.keyset.abort();
        self.stop.send_replace(true);
        // It was cancelled: nothing that it was at is needed.
        let _ = (&mut self.keyset).await;
        if let Err(error) = (&mut self.sender).await {
            tracing::error!(%error, "the task that uses Redis");
        }
    }
}

/// What they need of the pool.
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) answers: Arc<Answers>,
    /// The mint's peer name.
    pub(super) mint: String,
    pub(super) unit: String,
    pub(super) requester: QuoteRequester,
    pub(super) metrics: Metrics,
    pub(super) keyset: watch::Receiver<Option<Vec<u8>>>,
    /// The hub is dialled as well.
    pub(super) has_hub: bool,
}

/// Starts both.
pub(super) fn start(prepared: PreparedRedis, parts: Parts) -> (RedisHandle, RedisTask) {
    let PreparedRedis { redis, settings } = prepared;
    let names = &settings.config;
    let status = StatusSink::new();
    let epoch = Instant::now();
    let path = RedisPath {
        core: RedisPathCore::new(settings.rules, now(epoch)),
        handover: Handover::new(&redis, &names.requests_list, &names.quote_key_prefix),
        keyset: KeysetKey::new(&redis, &names.keyset_key),
        known_keyset: parts.keyset.clone(),
        pushes: Pushes::new(
            parts.store.clone(),
            &parts.mint,
            Arc::clone(&parts.answers),
            parts.has_hub,
        ),
        requester: parts.requester,
        metrics: parts.metrics,
        status: status.clone(),
        list_unit: settings.list_unit,
        list_length_max: settings.list_length_max,
        list_amount_max: settings.list_amount_max,
        too_large: 0,
        writes_quote_ids: settings.writes_quote_ids,
        gives_up: !parts.has_hub,
        dead_letters_list: names.dead_letters_list.clone(),
        epoch,
        strange: 0,
    };
    let handle = RedisHandle {
        nudged: Arc::new(Notify::new()),
        status: status.subscribe(),
    };
    let keyset = KeysetWatch {
        key: KeysetKey::new(&redis, &names.keyset_key),
        store: parts.store,
        answers: parts.answers,
        unit: parts.unit,
        known: parts.keyset,
        has_hub: parts.has_hub,
        status,
    };
    let (stop, stopped) = watch::channel(false);
    let task = RedisTask {
        stop,
        sender: tokio::spawn(path.run(Arc::clone(&handle.nudged), stopped)),
        keyset: tokio::spawn(watch_keyset(keyset)),
    };
    (handle, task)
}
