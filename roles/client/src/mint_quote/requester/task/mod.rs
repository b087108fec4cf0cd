//! The requester's task: its state, its turns, and what the operator sees of it.

mod disk;
mod wire;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::OsRng;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use winze_messages::families::mint_quote::KeysetAnnouncement;
use winze_messages::{EXT_MINT_QUOTE, PairKeys, Side};
use winze_runtime::clock::now_unix_ms;

use super::held::{HeldRequest, HeldRequests};
use super::settlement::{RecordedBatch, Settlement};
use super::{QuoteAnswers, QuoteRequesterConfig, Shared};
use crate::delivery::{RequesterCore, Schedule};
use crate::hub_client::ChannelHandle;
use crate::identity::Identity;
use crate::limits::{HELD_WINDOWS, HOUSEKEEPING_MS, RESEND_PER_TIMEOUT_MAX};
use crate::outbox::{AttemptNote, Backlog, StoredRequest};
use crate::session::ChannelEvent;
use crate::store::{Store, StoreError};

type Pending<T> = Option<Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>>;

/// The requester's task. One at a time of each kind of access to the store is under way; meanwhile
/// it goes on sending and receiving.
pub(super) struct Task {
    shared: Arc<Shared>,
    channel: ChannelHandle,
    store: Store,
    config: QuoteRequesterConfig,
    mint: String,
    announcer: String,
    answers: Arc<dyn QuoteAnswers>,
    keys: PairKeys,
    core: RequesterCore,
    held: HeldRequests,
    /// Where the next page of the outbox begins.
    cursor: u64,
    /// The outbox may hold requests beyond the cursor.
    more_to_load: bool,
    /// More waits on disk than here: below the cursor there may be requests that the operator has
    /// released, or that could not be read. Looked for from the start, once the end was reached.
    look_below_cursor: bool,
    /// Rows that the page which is being read may have: one with fewer is the last.
    loading_rows_max: usize,
    loading: Pending<Vec<StoredRequest>>,
    /// What waits to be recorded; bounded by [`Task::takes_events`].
    settlements: Vec<Settlement>,
    /// The requests in the batch that is being recorded.
    recording_sequences: Vec<u64>,
    recording: Pending<RecordedBatch>,
    /// Keysets in that batch, and those that could not be recorded and are tried again with the
    /// housekeeping: unlike an answer, nobody asks for one again. At most one per unit.
    recording_keysets: Vec<(u64, KeysetAnnouncement)>,
    failed_keysets: Vec<(u64, KeysetAnnouncement)>,
    /// Notes for the operator, written with the housekeeping.
    notes: Vec<AttemptNote>,
    housekeeping: Pending<Backlog>,
    events: Vec<ChannelEvent>,
    epoch: Instant,
}

impl Task {
    pub(super) fn new(
        shared: Arc<Shared>,
        channel: ChannelHandle,
        identity: &Identity,
        store: Store,
        config: QuoteRequesterConfig,
        answers: Arc<dyn QuoteAnswers>,
    ) -> Task {
        let keys = PairKeys::derive(
            identity.secret(),
            &config.mint_key,
            EXT_MINT_QUOTE,
            Side::Requester,
            identity.role(),
            config.mint.role(),
        );
        let window = config.window.max(1);
        let schedule = Schedule {
            window,
            held_max: window.saturating_mul(HELD_WINDOWS),
            timeout_ms: config.timeout_ms,
            timeout_max_ms: config.timeout_max_ms,
            resend_max: RESEND_PER_TIMEOUT_MAX,
            delay_ms: config.delay_ms,
            delay_max_ms: config.delay_max_ms,
            rejects_max: config.rejects_max,
        };
        Task {
            shared,
            channel,
            store,
            mint: config.mint.to_string(),
            announcer: format!("{} {}", config.mint, config.mint_key),
            config,
            answers,
            keys,
            core: RequesterCore::new(schedule),
            held: HeldRequests::default(),
            cursor: 0,
            more_to_load: true,
            look_below_cursor: false,
            loading_rows_max: 0,
            loading: None,
            settlements: Vec::new(),
            recording_sequences: Vec::new(),
            recording: None,
            recording_keysets: Vec::new(),
            failed_keysets: Vec::new(),
            notes: Vec::new(),
            housekeeping: None,
            events: Vec::new(),
            epoch: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut tick = interval(Duration::from_millis(HOUSEKEEPING_MS));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.start_loading();
            self.send_what_is_due();
            self.start_recording();
            self.publish();
            let timeout_at = self.next_timeout();
            tokio::select! {
                stopped = stop.wait_for(|stop| *stop) => {
                    drop(stopped);
                    break;
                }
                changed = self.channel.changed(), if self.takes_events() => {
                    if changed.is_err() {
                        break;
                    }
                    self.take_events();
                }
                () = self.shared.nudged.notified() => self.more_to_load = true,
                page = ready(&mut self.loading) => self.loaded(page),
                batch = ready(&mut self.recording) => self.recorded(batch),
                backlog = ready(&mut self.housekeeping) => self.housekept(backlog),
                _ = tick.tick() => self.keep_house(),
                () = sleep_until(timeout_at) => {
                    let now_ms = self.now_ms();
                    if self.core.handle_timeout(now_ms, &mut OsRng) {
                        self.count(|counts| counts.timeouts += 1);
                        tracing::warn!(mint = %self.mint, "no answer; the oldest requests are sent again");
                    }
                }
            }
        }
        // What the mint has said is worth more than the moment that it takes to write it down.
        while self.recording.is_some() || !self.settlements.is_empty() {
            self.start_recording();
            let batch = ready(&mut self.recording).await;
            self.recorded(batch);
        }
        self.core.lost();
        self.publish();
    }

    // ---- what the operator sees

    /// At most one note per request is kept, and so no more than requests.
    fn note(&mut self, request: &HeldRequest, error: Option<String>) {
        let note = AttemptNote {
            sequence: request.sequence,
            attempts: request.attempts(),
            last_sent_unix_ms: now_unix_ms(),
            error,
        };
        match self
            .notes
            .iter_mut()
            .find(|other| other.sequence == note.sequence)
        {
            Some(other) => *other = note,
            None => self.notes.push(note),
        }
    }

    fn store_failed(&self, doing: &'static str, error: &StoreError) {
        self.count(|counts| counts.store_failures += 1);
        tracing::error!(mint = %self.mint, %error, doing, "the store failed");
    }

    fn count(&self, f: impl FnOnce(&mut super::RequesterCounts)) {
        self.shared.update(|status| f(&mut status.counts));
    }

    fn show_backlog(&self, backlog: Backlog) {
        let now_unix_ms = now_unix_ms();
        self.shared.update(|status| {
            status.waiting = backlog.waiting;
            status.parked = backlog.parked;
            status.oldest_age_ms = backlog
                .oldest_unix_ms
                .map(|made_unix_ms| now_unix_ms.saturating_sub(made_unix_ms));
        });
    }

    fn publish(&self) {
        self.shared.update(|status| {
            status.peer_present = self.core.is_peer_present();
            status.in_flight = self.core.unanswered() as u64;
        });
    }

    // ---- time

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn next_timeout(&self) -> Instant {
        /// Housekeeping comes more often.
        const LONGEST_MS: u64 = 60_000;
        let at_ms = self.core.next_timeout_ms().unwrap_or(u64::MAX);
        let in_ms = at_ms.saturating_sub(self.now_ms()).min(LONGEST_MS);
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
