//! The old mint's active keyset: its key is watched, and what lies there is announced to the pools.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use winze_client::{QuoteResponder, Store, StoreError};
use winze_legacy::Keyset;
use winze_redis::KeysetKey;

use super::desk::Desk;
use super::limits::WATCH_INTERVAL;
use super::place;

pub(super) struct KeysetWatch {
    desk: Arc<Desk>,
    key: KeysetKey,
    /// In lower case; a keyset of another one is not announced.
    unit: String,
    responder: QuoteResponder,
    store: Store,
    /// That of the mint which the open requests were pushed to.
    theirs: Option<Vec<u8>>,
    /// What was read last and needs no second thought.
    seen: Option<Vec<u8>>,
}

impl KeysetWatch {
    pub(super) fn new(
        desk: Arc<Desk>,
        key: KeysetKey,
        unit: String,
        responder: QuoteResponder,
        store: Store,
        theirs: Option<Vec<u8>>,
    ) -> KeysetWatch {
        KeysetWatch {
            desk,
            key,
            unit,
            responder,
            store,
            theirs,
            seen: None,
        }
    }

    /// Until it is told to stop. What was announced stays announced where the key is gone, or holds no keyset.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let watch = async {
            let mut ticks = interval(WATCH_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                self.look().await;
            }
        };
        tokio::select! {
            () = watch => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn look(&mut self) {
        let read = match self.key.read().await {
            Ok(Some(read)) => read,
            Ok(None) => return self.problem("there is none under its key"),
            // That Redis is away, the courier says.
            Err(fault) => return self.problem(&fault.to_string()),
        };
        if self.seen.as_ref() == Some(&read) {
            return;
        }
        match Keyset::parse(&read) {
            Ok(keyset) if keyset.unit == self.unit => {
                if let Err(error) = self.is_of(&keyset.id).await {
                    return self.problem(&error.to_string());
                }
                if let Err(error) = self.responder.announce(keyset.to_announcement()).await {
                    return self.problem(&error.to_string());
                }
                let id = hex::encode(&keyset.id);
                tracing::info!(keyset = id, "the old mint's keyset is announced");
                let mut inner = self.desk.lock();
                inner.status.keyset_id = Some(id);
                inner.status.keyset_problem = None;
                inner.status.counts.keysets += 1;
            }
            Ok(keyset) => {
                let (found, unit) = (keyset.unit, &self.unit);
                self.problem(&format!("it is of unit {found:?}, not of {unit:?}"));
            }
            Err(error) => self.problem(&error.to_string()),
        }
        self.seen = Some(read);
    }

    /// Another keyset may be another mint's, which would make second quotes.
    async fn is_of(&mut self, id: &[u8]) -> Result<(), StoreError> {
        if self.theirs.as_deref() == Some(id) {
            return Ok(());
        }
        {
            let mut inner = self.desk.lock();
            if self.theirs.is_some() && inner.open.hold() {
                if !inner.status.is_held {
                    tracing::error!(
                        keyset = hex::encode(id),
                        "the keyset changed while requests are open: none of them is pushed again"
                    );
                }
                inner.status.is_held = true;
                return Ok(());
            }
        }
        place::keep_keyset_id(&self.store, id.to_vec()).await?;
        self.theirs = Some(id.to_vec());
        Ok(())
    }

    fn problem(&mut self, problem: &str) {
        self.seen = None;
        let mut inner = self.desk.lock();
        if inner.status.keyset_problem.as_deref() != Some(problem) {
            tracing::warn!(problem, "the old mint's keyset");
            inner.status.keyset_problem = Some(problem.to_owned());
        }
    }
}
