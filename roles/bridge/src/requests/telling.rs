//! Tells Redis what the mint has said: the ids of quotes under their keys, refusals as dead letters.
//!
//! Both lie in the store until Redis has them, so they are told at least once. A key that is written again is what it was;
//! a refusal may become two dead letters where the bridge or Redis was killed in between.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use winze_client::{Store, StoreError, outbox};
use winze_messages::EXT_MINT_QUOTE;
use winze_redis::{DeadLetter, Handover, Link, LinkPart, RedisFault, Taken};

use super::pause::Pause;
use super::status::Counts;
use crate::limits::{PARKED_KEPT_MAX, TOLD_AT_ONCE_MAX};
use crate::store::{self, Untold};

/// The one who tells.
pub(super) struct Teller {
    pub(super) keys: Handover,
    /// Its list is that of the dead letters.
    pub(super) dead_letters: Handover,
    pub(super) quote_kept_s: u64,
    /// Its peer name.
    pub(super) mint: Arc<str>,
    pub(super) store: Store,
    pub(super) news: Arc<Notify>,
    pub(super) counts: Arc<Counts>,
    pub(super) link: Link,
}

enum Failed {
    Redis(RedisFault),
    Store(StoreError),
}

/// Whoever nudges may have gone between the commit and the nudge.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

impl Teller {
    /// Tells until `stopping`, and then once more what is there.
    pub(super) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut pause = Pause::new();
        loop {
            let is_last = *stopping.borrow();
            match self.tell_all().await {
                Ok(()) => {
                    pause.reset();
                    if is_last {
                        return;
                    }
                    tokio::select! {
                        () = self.news.notified() => {}
                        () = tokio::time::sleep(LOOK_INTERVAL) => {}
                        _ = stopping.changed() => {}
                    }
                }
                Err(failed) => {
                    self.note(&failed);
                    if is_last {
                        return;
                    }
                    tokio::select! {
                        () = pause.wait() => {}
                        _ = stopping.changed() => {}
                    }
                }
            }
        }
    }

    fn note(&self, failed: &Failed) {
        match failed {
            Failed::Redis(fault) => self.link.note(LinkPart::Telling, Err(fault)),
            Failed::Store(error) => {
                self.counts.store_failed();
                tracing::error!(%error, "what the mint has said cannot be read or struck off; trying again");
            }
        }
    }

    async fn tell_all(&mut self) -> Result<(), Failed> {
        while self.tell_quote_ids().await? {}
        while self.tell_refusals().await? {}
        while self.let_go().await? {}
        Ok(())
    }

    /// Gives up what is parked beyond what is kept. Whether there may be more.
    async fn let_go(&self) -> Result<bool, Failed> {
        let mint = Arc::clone(&self.mint);
        let read = self
            .store
            .read(move |c| outbox::backlog(c, &mint, EXT_MINT_QUOTE));
        let over = read.await.map_err(Failed::Store)?.parked;
        let over = over.saturating_sub(PARKED_KEPT_MAX);
        if over == 0 {
            return Ok(false);
        }
        let rows_max = over.min(TOLD_AT_ONCE_MAX as u64);
        let let_go = self.store.write(move |tx| store::let_go(tx, rows_max));
        let_go.await.map_err(Failed::Store)
    }

    /// Whether there may be more.
    async fn tell_quote_ids(&mut self) -> Result<bool, Failed> {
        let read = self.store.read(|c| store::quote_ids(c, TOLD_AT_ONCE_MAX));
        let page = read.await.map_err(Failed::Store)?;
        if page.rows.is_empty() {
            return Ok(false);
        }
        let set = self.keys.set_quote_ids(&page.rows, self.quote_kept_s);
        set.await.map_err(Failed::Redis)?;
        self.link.note(LinkPart::Telling, Ok(()));
        let told = self.store.write(page.told(Untold::QuoteIds));
        told.await.map_err(Failed::Store)?;
        self.counts.keys_written(page.rows.len());
        Ok(page.rows.len() == TOLD_AT_ONCE_MAX)
    }

    /// Whether there may be more.
    async fn tell_refusals(&mut self) -> Result<bool, Failed> {
        let read = self.store.read(|c| store::refusals(c, TOLD_AT_ONCE_MAX));
        let page = read.await.map_err(Failed::Store)?;
        if page.rows.is_empty() {
            return Ok(false);
        }
        let letters: Vec<String> = page
            .rows
            .iter()
            .map(|refusal| {
                let letter = DeadLetter {
                    taken: Taken::Entry(refusal.entry.clone().into_bytes()),
                    reason: refusal.reason.clone(),
                    unix_ms: refusal.unix_ms,
                };
                letter.to_json()
            })
            .collect();
        let pushed = self.dead_letters.push(&letters, u64::MAX);
        pushed.await.map_err(Failed::Redis)?;
        self.link.note(LinkPart::Telling, Ok(()));
        let told = self.store.write(page.told(Untold::Refusals));
        told.await.map_err(Failed::Store)?;
        self.counts.dead_letters(letters.len());
        self.counts.told(letters.len());
        Ok(page.rows.len() == TOLD_AT_ONCE_MAX)
    }
}
