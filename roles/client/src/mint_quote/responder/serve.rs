//! The tasks: one that takes channels, one for each of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::OsRng;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};
use winze_messages::EXT_MINT_QUOTE;
use winze_runtime::clock::now_unix_ms;

use super::batch::{QuoteBatch, RecordedAnswers, Reply};
use super::channel::ResponderChannelCore;
use super::set_back;
use super::shared::Shared;
use crate::answers::{self, Announcement};
use crate::hub_client::{ChannelHandle, ChannelListener};
use crate::identity::Identity;
use crate::limits::HOUSEKEEPING_MS;
use crate::session::ChannelEvent;
use crate::store::StoreError;

pub(super) async fn accept_channels(
    shared: Arc<Shared>,
    mut listener: ChannelListener,
    identity: Identity,
    mut stop: watch::Receiver<bool>,
) {
    let mut channels = JoinSet::new();
    let stopped = stop.clone();
    let accept_all = async {
        while let Err(error) = shared.announcements.load().await {
            shared.count(|counts| counts.store_failures += 1);
            tracing::error!(%error, "reading the announcements");
            sleep(Duration::from_millis(HOUSEKEEPING_MS)).await;
        }
        while let Some(channel) = listener.accept().await {
            // Those that have ended need no more room.
            while let Some(ended) = channels.try_join_next() {
                log_end(ended);
            }
            let peer = &channel.name().peer;
            let rng = Box::new(OsRng);
            let Some(core) = ResponderChannelCore::new(&identity, &shared.config, peer, rng) else {
                continue;
            };
            tracing::info!(pool = %core.pool(), "a pool has opened a channel");
            let serving = Serving::new(Arc::clone(&shared), channel, core);
            channels.spawn(serving.run(stopped.clone()));
        }
    };
    tokio::select! {
        () = accept_all => {}
        () = set_back::watch(Arc::clone(&shared)) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    drop(listener);
    while let Some(ended) = channels.join_next().await {
        log_end(ended);
    }
}

fn log_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a channel's task");
    }
}

/// One pool's channel.
struct Serving {
    shared: Arc<Shared>,
    channel: ChannelHandle,
    core: ResponderChannelCore,
    announcements: watch::Receiver<Arc<Vec<Announcement>>>,
    /// Whether this channel counts among those whose pool is there.
    counted: bool,
    /// Where its clock begins.
    started: Instant,
}

impl Serving {
    fn new(shared: Arc<Shared>, channel: ChannelHandle, core: ResponderChannelCore) -> Serving {
        Serving {
            announcements: shared.announcements.subscribe(),
            shared,
            channel,
            core,
            counted: false,
            started: Instant::now(),
        }
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut events = Vec::new();
        loop {
            self.exchange().await;
            self.send();
            let timeout_ms = self.core.next_timeout_ms();
            let wait_ms = timeout_ms.map(|at_ms| at_ms.saturating_sub(self.now_ms()));
            tokio::select! {
                stopped = stop.wait_for(|stop| *stop) => {
                    drop(stopped);
                    break;
                }
                changed = self.channel.changed() => {
                    if changed.is_err() {
                        break;
                    }
                }
                changed = self.announcements.changed() => {
                    if changed.is_err() {
                        break;
                    }
                }
                () = sleep(Duration::from_millis(wait_ms.unwrap_or_default())), if wait_ms.is_some() => {}
            }
            self.send();
            let events_max = self.core.events_wanted(self.channel.has_change());
            if events_max > 0 {
                self.channel.take_events(&mut events, events_max);
                self.handle(&mut events).await;
                if self.core.is_closed() && !self.channel.has_events() {
                    break;
                }
            }
        }
        self.send();
        self.count_presence(false);
    }

    async fn handle(&mut self, events: &mut Vec<ChannelEvent>) {
        self.shared
            .count(|counts| self.core.take_events(events.drain(..), counts));
        self.count_presence(self.core.is_pool_present());
        self.exchange().await;
        let batch = self.core.take_batch();
        // Where the channel was closed nobody hears the answers; the requests come again.
        let is_over = self.core.is_closed() && !self.channel.has_events();
        if let Some(batch) = batch
            && !is_over
        {
            let replies = answer(&self.shared, batch).await;
            self.core.queue(&replies);
        }
    }

    /// What the store has to do before the pool is told, or believed, how far stores have come.
    async fn exchange(&mut self) {
        if self.core.numbers_wanted(self.now_ms()) {
            let pool = self.core.pool().to_string();
            let store = &self.shared.store;
            let read = store.read(move |c| answers::numbers(c, EXT_MINT_QUOTE, &pool));
            let numbers = read.await.inspect_err(|error| self.store_failed(error));
            self.core.numbers_read(numbers.ok(), self.now_ms());
        }
        if let Some(comparison) = self.core.comparison_wanted(self.now_ms()) {
            let now_unix_ms = now_unix_ms();
            let store = &self.shared.store;
            let compared = store.write(move |c| comparison.run(c, now_unix_ms)).await;
            let compared = compared.inspect_err(|error| self.store_failed(error)).ok();
            if compared.is_some() {
                self.shared.note_compared(self.core.pool().to_string());
            }
            let now_ms = self.now_ms();
            self.shared
                .count(|counts| self.core.compared(compared, now_ms, counts));
        }
    }

    fn store_failed(&self, error: &StoreError) {
        let pool = self.core.pool();
        tracing::error!(%error, %pool, "the store failed; how far it has come with a pool is not known");
        self.shared.count(|counts| counts.store_failures += 1);
    }

    fn send(&mut self) {
        let current = Arc::clone(&self.announcements.borrow_and_update());
        let now_ms = self.now_ms();
        self.core.send(&mut self.channel, &current, now_ms);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn count_presence(&mut self, is_present: bool) {
        if is_present != self.counted {
            let present = &self.shared.pools_present;
            match is_present {
                true => present.fetch_add(1, Ordering::Relaxed),
                false => present.fetch_sub(1, Ordering::Relaxed),
            };
            self.counted = is_present;
        }
    }
}

/// Answers every request of a batch, in their order.
async fn answer(shared: &Shared, mut batch: QuoteBatch) -> Vec<Reply> {
    let outcome = decide_and_record(shared, &mut batch).await;
    let mut counts = shared.counts();
    match outcome {
        Ok(recorded) => batch.recorded(recorded, &mut counts),
        Err(error) => batch.store_failed(&error, &mut counts),
    }
}

async fn decide_and_record(
    shared: &Shared,
    batch: &mut QuoteBatch,
) -> Result<Option<RecordedAnswers>, StoreError> {
    let look_up = batch.look_up();
    let store = &shared.store;
    // Where it is written: only there the index of what was recorded last is seen.
    batch.looked_up(store.write_repeatable(move |c| look_up.find(c)).await?);
    for mut asked in batch.to_decide() {
        let permits = u32::try_from(asked.requests.len()).unwrap_or(u32::MAX);
        let Ok(_permits) = shared.under_way.try_acquire_many(permits) else {
            batch.busy(asked);
            continue;
        };
        shared.count(|counts| counts.batches += 1);
        let requests = std::mem::take(&mut asked.requests);
        let issuer = &shared.issuer;
        if asked.may_issue {
            let outcomes = issuer.issue(batch.pool(), &asked.pool_key, requests).await;
            batch.decided(asked, outcomes);
        } else {
            let outcomes = issuer.recall(requests).await;
            batch.recalled(asked, outcomes);
        }
    }
    let Some(wanted) = batch.recording_wanted() else {
        return Ok(None);
    };
    let now_unix_ms = now_unix_ms();
    let recorded = shared
        .store
        .write(move |c| wanted.record(c, now_unix_ms))
        .await?;
    Ok(Some(recorded))
}
