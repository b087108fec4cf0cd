//! The requester's task: brings core, channel and store together.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use winze_runtime::clock::now_unix_ms;

use super::settlement::RecordedBatch;
use super::{
    HousekeepingWanted, NumbersFound, QuoteAnswers, QuoteEvent, QuoteRequesterCore, Shared,
    withdrawn,
};
use crate::delivery::Now;
use crate::hub_client::ChannelHandle;
use crate::limits::{ANSWERED_DELETED_MS_MAX, EVENTS_PER_TURN_MAX, HOUSEKEEPING_MS};
use crate::outbox::{Backlog, StoredRequest};
use crate::session::ChannelEvent;
use crate::store::{Store, StoreError};

type Pending<T> = Option<Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>>;

/// What a housekeeping gave, and it itself.
type Kept = (Backlog, Vec<QuoteEvent>, Arc<HousekeepingWanted>);

/// The requester's task. One at a time of each kind of access to the store is under way; meanwhile
/// it goes on sending and receiving.
pub(super) struct Task {
    shared: Arc<Shared>,
    channel: ChannelHandle,
    settled_elsewhere: mpsc::Receiver<Vec<u64>>,
    core: QuoteRequesterCore,
    store: Store,
    answers: Arc<dyn QuoteAnswers>,
    loading: Pending<Vec<StoredRequest>>,
    recording: Pending<RecordedBatch>,
    housekeeping: Pending<Kept>,
    deleting: Pending<()>,
    numbers: Pending<NumbersFound>,
    events: Vec<ChannelEvent>,
    epoch: Instant,
}

impl Task {
    pub(super) fn new(
        shared: Arc<Shared>,
        channel: ChannelHandle,
        settled_elsewhere: mpsc::Receiver<Vec<u64>>,
        core: QuoteRequesterCore,
        store: Store,
        answers: Arc<dyn QuoteAnswers>,
    ) -> Task {
        Task {
            shared,
            channel,
            settled_elsewhere,
            core,
            store,
            answers,
            loading: None,
            recording: None,
            housekeeping: None,
            deleting: None,
            numbers: None,
            events: Vec::new(),
            epoch: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut tick = interval(Duration::from_millis(HOUSEKEEPING_MS));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.start_loading();
            self.start_looking();
            let now = self.now();
            self.core.send_what_is_due(&mut self.channel, now);
            self.start_recording();
            self.publish();
            let timeout_at = self.next_timeout();
            tokio::select! {
                stopped = stop.wait_for(|stop| *stop) => {
                    drop(stopped);
                    break;
                }
                changed = self.channel.changed(), if self.core.takes_events() => {
                    if changed.is_err() {
                        break;
                    }
                    self.take_events();
                }
                () = self.shared.nudged.notified() => self.core.nudged(),
                Some(settled) = self.settled_elsewhere.recv() => {
                    self.core.settled_elsewhere(&settled);
                }
                page = ready(&mut self.loading) => self.core.loaded(page),
                batch = ready(&mut self.recording) => self.recorded(batch),
                kept = ready(&mut self.housekeeping) => self.housekept(kept),
                deleted = ready(&mut self.deleting) => {
                    if let Err(error) = deleted {
                        tracing::error!(mint = %self.core.mint(), %error, "deleting old requests");
                    }
                }
                found = ready(&mut self.numbers) => {
                    let now = self.now();
                    self.core.numbers_found(found, now);
                }
                _ = tick.tick() => self.keep_house(),
                () = sleep_until(timeout_at) => {
                    let now = self.now();
                    self.core.handle_timeout(now);
                }
            }
        }
        // What the mint has said is worth more than the moment that it takes to write it down.
        loop {
            self.start_recording();
            if self.recording.is_none() {
                break;
            }
            let batch = ready(&mut self.recording).await;
            self.recorded(batch);
        }
        self.core.stopped();
        self.publish();
    }

    fn start_loading(&mut self) {
        let Some(page) = self.core.page_wanted() else {
            return;
        };
        let store = self.store.clone();
        self.loading = Some(Box::pin(
            async move { store.read(move |c| page.read(c)).await },
        ));
    }

    fn start_looking(&mut self) {
        let now = self.now();
        let Some(wanted) = self.core.numbers_wanted(now) else {
            return;
        };
        let store = self.store.clone();
        self.numbers = Some(Box::pin(async move {
            store.write(move |c| wanted.look(c, now_unix_ms())).await
        }));
    }

    fn start_recording(&mut self) {
        let Some(wanted) = self.core.recording_wanted() else {
            return;
        };
        let (store, answers) = (self.store.clone(), Arc::clone(&self.answers));
        self.recording = Some(Box::pin(async move {
            store
                .write(move |c| wanted.record(c, &*answers, now_unix_ms()))
                .await
        }));
    }

    fn recorded(&mut self, batch: Result<RecordedBatch, StoreError>) {
        let now = self.now();
        let events = self.core.recorded(batch, now);
        self.tell(&events);
    }

    fn housekept(&mut self, kept: Result<Kept, StoreError>) {
        let backlog = kept.map(|(backlog, events, wanted)| {
            self.tell(&events);
            self.start_deleting(wanted);
            backlog
        });
        self.core.housekept(backlog);
    }

    fn tell(&self, events: &[QuoteEvent]) {
        if events.is_empty() {
            return;
        }
        // A panic of the role's must not end the task: its requests would wait for ever.
        let told = catch_unwind(AssertUnwindSafe(|| self.answers.committed(events)));
        if told.is_err() {
            tracing::error!(mint = %self.core.mint(), "the role panicked over what was committed");
        }
    }

    fn keep_house(&mut self) {
        let now = self.now();
        let Some(wanted) = self.core.housekeeping_wanted(now) else {
            return;
        };
        let (store, answers) = (self.store.clone(), Arc::clone(&self.answers));
        let wanted = Arc::new(wanted);
        self.housekeeping = Some(Box::pin(async move {
            let work = Arc::clone(&wanted);
            let (backlog, events) = store
                .write(move |c| {
                    let events = withdrawn::take_note(c, &*answers)?;
                    Ok((work.keep(c)?, events))
                })
                .await?;
            Ok((backlog, events, wanted))
        }));
    }

    /// Goes on where there is much of it: as fast as the role's own writes let it.
    fn start_deleting(&mut self, wanted: Arc<HousekeepingWanted>) {
        if self.deleting.is_some() || !wanted.has_more_to_delete() {
            return;
        }
        let ends_at = Instant::now() + Duration::from_millis(ANSWERED_DELETED_MS_MAX);
        let store = self.store.clone();
        self.deleting = Some(Box::pin(async move {
            let mut more = true;
            while more && Instant::now() < ends_at {
                let work = Arc::clone(&wanted);
                more = store.write(move |c| work.delete_more(c)).await?;
            }
            Ok(())
        }));
    }

    fn take_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        self.channel.take_events(&mut events, EVENTS_PER_TURN_MAX);
        let now = self.now();
        self.core.take_events(events.drain(..), now);
        self.events = events;
    }

    fn publish(&self) {
        let now = self.now();
        self.shared.update(|status| *status = self.core.status(now));
    }

    // ---- time

    fn now(&self) -> Now {
        Now {
            ms: u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX),
            unix_ms: now_unix_ms(),
        }
    }

    fn next_timeout(&self) -> Instant {
        /// Housekeeping comes more often.
        const LONGEST_MS: u64 = 60_000;
        let at_ms = self.core.next_timeout_ms().unwrap_or(u64::MAX);
        let in_ms = at_ms.saturating_sub(self.now().ms).min(LONGEST_MS);
        Instant::now() + Duration::from_millis(in_ms)
    }
}

/// Waits for what is under way, if anything is, and takes it away. Cancel-safe.
async fn ready<T>(pending: &mut Pending<T>) -> Result<T, StoreError> {
    match pending {
        Some(future) => {
            let outcome = future.as_mut().await;
            *pending = None;
            outcome
        }
        None => std::future::pending().await,
    }
}
