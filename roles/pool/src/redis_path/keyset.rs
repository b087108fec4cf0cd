//! The active keyset, as the mint or a bridge keeps it in Redis.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use winze_client::{Store, StoreError};
use winze_legacy::Keyset;
use winze_redis::KeysetKey;
use winze_redis::limits::KEYSET_INTERVAL;

use super::StatusSink;
use crate::store::Answers;

/// What the watch needs.
pub(crate) struct KeysetWatch {
    pub(crate) key: KeysetKey,
    pub(crate) store: Store,
    pub(crate) answers: Arc<Answers>,
    pub(crate) unit: String,
    /// What the pool goes by at present.
    pub(crate) known: watch::Receiver<Option<Vec<u8>>>,
    /// The hub tells of keysets, too, and with the mint's authenticator: then what Redis says counts only where it never
    /// has, in this life or an earlier one.
    pub(crate) has_hub: bool,
    pub(crate) status: StatusSink,
}

/// Reads the key once a second, until it is dropped: also to know whether Redis is there.
pub(crate) async fn watch_keyset(mut watch: KeysetWatch) {
    let mut tick = interval(KEYSET_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut taken: Option<Vec<u8>> = None;
    loop {
        tick.tick().await;
        let text = match watch.key.read().await {
            Ok(text) => text,
            Err(fault) => {
                watch.status.failed(&fault);
                continue;
            }
        };
        watch.status.answers();
        let is_known = watch.known.borrow().is_some();
        if text.is_none() || text == taken || (watch.has_hub && is_known) {
            continue;
        }
        match watch.take(text.as_deref().unwrap_or_default()).await {
            Ok(()) => taken = text,
            Err(problem) => watch.status.wrong(problem, false),
        }
    }
}

impl KeysetWatch {
    /// The error is for the operator.
    async fn take(&self, text: &[u8]) -> Result<(), String> {
        let keyset = Keyset::parse(text).map_err(|error| error.to_string())?;
        if keyset.unit != self.unit {
            let (theirs, ours) = (&keyset.unit, &self.unit);
            return Err(format!(
                "the keyset in Redis is of the unit {theirs:?}, not {ours:?}"
            ));
        }
        // Beside a hub it is forgotten with the process: a later life is to wait for the mint's own word.
        if !self.has_hub {
            let recorded = self.record(keyset.id.clone()).await;
            recorded.map_err(|error| error.to_string())?;
        }
        self.answers.go_by_redis(&keyset.id, self.has_hub);
        Ok(())
    }

    async fn record(&self, keyset_id: Vec<u8>) -> Result<(), StoreError> {
        let answers = Arc::clone(&self.answers);
        let write = self
            .store
            .write(move |tx| answers.on_redis_keyset(tx, &keyset_id));
        write.await
    }
}
