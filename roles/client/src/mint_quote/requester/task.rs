use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::OsRng;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use winze_messages::families::mint_quote::{KeysetAnnouncement, MintQuoteError, MintQuoteRequest};
use winze_messages::{EXT_MINT_QUOTE, PairKeys, Side};
use winze_runtime::clock::now_unix_ms;

use super::answer::{Dropped, Judged, judge};
use super::held::{HeldRequest, HeldRequests};
use super::settlement::{Recorded, RecordedBatch, Settlement, record_all, refusal_text};
use super::{QuoteAnswers, QuoteRequesterConfig, Shared};
use crate::delivery::{RejectKind, RequesterCore, Schedule};
use crate::hub_client::ChannelHandle;
use crate::identity::Identity;
use crate::limits::{
    ANSWERED_DELETED_PER_STEP, EVENTS_PER_TURN_MAX, HELD_WINDOWS, HOUSEKEEPING_MS,
    RESEND_PER_TIMEOUT_MAX, SETTLEMENTS_WAITING_MAX,
};
use crate::outbox::{self, AttemptNote, Backlog, StoredRequest};
use crate::session::{ChannelEvent, SendError};
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
    answers: Arc<dyn QuoteAnswers>,
    keys: PairKeys,
    core: RequesterCore,
    held: HeldRequests,
    /// Where the next page of the outbox begins.
    cursor: u64,
    /// The outbox may hold requests beyond the cursor.
    more_to_load: bool,
    loading: Pending<Vec<StoredRequest>>,
    /// What waits to be recorded; at most [`SETTLEMENTS_WAITING_MAX`].
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
            config,
            answers,
            keys,
            core: RequesterCore::new(schedule),
            held: HeldRequests::default(),
            cursor: 0,
            more_to_load: true,
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

    // ---- from the outbox

    fn start_loading(&mut self) {
        let rows_max = self.core.room().min(self.config.window.max(1));
        if !self.more_to_load || self.loading.is_some() || rows_max == 0 {
            return;
        }
        let (store, mint, after) = (self.store.clone(), self.mint.clone(), self.cursor);
        self.loading = Some(Box::pin(async move {
            store
                .read(move |c| outbox::waiting_page(c, &mint, EXT_MINT_QUOTE, after, rows_max))
                .await
        }));
        // A nudge that comes meanwhile makes it true again.
        self.more_to_load = false;
    }

    fn loaded(&mut self, page: Result<Vec<StoredRequest>, StoreError>) {
        let page = match page {
            Ok(page) => page,
            // The next housekeeping finds that more waits on disk than here.
            Err(error) => return self.store_failed("reading the outbox", &error),
        };
        self.more_to_load |= !page.is_empty();
        for stored in page {
            self.cursor = stored.sequence;
            if self.core.holds(stored.sequence)
                || self.recording_sequences.contains(&stored.sequence)
            {
                continue;
            }
            let (sequence, key) = (stored.sequence, stored.key.clone());
            match HeldRequest::read(stored) {
                Ok(request) => {
                    if self.core.hold(sequence, request.payload_bytes()) {
                        self.held.insert(request);
                    }
                }
                Err(error) => self.settlements.push(Settlement::Parked {
                    sequence,
                    key,
                    error: format!("unreadable: {error}"),
                }),
            }
        }
    }

    // ---- to the mint

    fn send_what_is_due(&mut self) {
        loop {
            let credit = self.channel.send_credit();
            let Some(sequence) = self.core.next_to_send(credit) else {
                return;
            };
            let Some(request) = self.held.get(sequence).cloned() else {
                self.core.forget(sequence);
                continue;
            };
            let sealed = self.keys.seal(
                MintQuoteRequest::MSG_TYPE,
                &request.body,
                request.sequence,
                None,
            );
            match self.channel.try_send(MintQuoteRequest::MSG_TYPE, &sealed) {
                Ok(ordinal) => {
                    let now_ms = self.now_ms();
                    self.core.sent(sequence, ordinal, now_ms);
                    let attempts = request.count_attempt();
                    self.count(|counts| {
                        counts.sent += 1;
                        counts.sent_again += u64::from(attempts > 1);
                    });
                    if attempts > 1 {
                        self.note(&request, None);
                    }
                }
                Err(SendError::TooLong { .. }) => {
                    self.park(&request, "longer than what the hub takes".to_owned());
                }
                // The channel says when to go on.
                Err(
                    SendError::NotOpen
                    | SendError::Away
                    | SendError::EventsUnread
                    | SendError::NoCredit
                    | SendError::Unsent,
                ) => return,
            }
        }
    }

    // ---- from the mint

    /// Events stay with the channel, whose credit bounds them, while much waits to be recorded.
    fn takes_events(&self) -> bool {
        self.settlements.len() < SETTLEMENTS_WAITING_MAX
    }

    fn take_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        self.channel.take_events(&mut events, EVENTS_PER_TURN_MAX);
        for event in events.drain(..) {
            self.take_event(event);
        }
        self.events = events;
    }

    fn take_event(&mut self, event: ChannelEvent) {
        let now_ms = self.now_ms();
        match event {
            ChannelEvent::Present { instance } => self.core.presence(Some(instance)),
            ChannelEvent::Away => self.core.presence(None),
            ChannelEvent::Lost => self.core.lost(),
            ChannelEvent::Closed { code, detail } => {
                self.core.lost();
                tracing::warn!(mint = %self.mint, ?code, ?detail, "no channel to the mint");
            }
            ChannelEvent::Message { msg_type, bytes } => self.take_message(msg_type, &bytes),
            ChannelEvent::Reject {
                ordinal,
                code,
                detail,
            } => self.rejected(ordinal, &code, &detail),
            ChannelEvent::RejectsOverflowed => {
                self.core.rejects_overflowed(now_ms, &mut OsRng);
            }
        }
    }

    fn take_message(&mut self, msg_type: u8, bytes: &[u8]) {
        let now_ms = self.now_ms();
        match judge(&self.keys, &self.held, msg_type, bytes) {
            Judged::Issued(request, response) => match self.core.answered(request.sequence, now_ms)
            {
                true => self.settlements.push(Settlement::Issued(request, response)),
                false => self.count(|counts| counts.stale += 1),
            },
            Judged::Refused(request, error) => match self.core.answered(request.sequence, now_ms) {
                true => self.settlements.push(Settlement::Refused(request, error)),
                false => self.count(|counts| counts.stale += 1),
            },
            Judged::PutOff(request, error) => self.put_off(&request, &error),
            Judged::Contradiction(request, error) => {
                self.count(|counts| counts.nonsense += 1);
                tracing::error!(
                    mint = %self.mint, header_hash = request.header_hash_text(), error,
                    "the mint contradicts itself"
                );
                self.park(&request, error);
            }
            Judged::Keyset { serial, keyset } => {
                self.settlements.push(Settlement::Keyset { serial, keyset });
            }
            Judged::Dropped(dropped) => {
                self.count(|counts| match dropped {
                    Dropped::Unauthentic => counts.unauthentic += 1,
                    Dropped::Stale => counts.stale += 1,
                    Dropped::Malformed => counts.nonsense += 1,
                });
                tracing::debug!(mint = %self.mint, msg_type, ?dropped, "a message without effect");
            }
        }
    }

    fn put_off(&mut self, request: &Arc<HeldRequest>, error: &MintQuoteError) {
        let now_ms = self.now_ms();
        let asked_ms = u64::from(error.retry_after_ms);
        if self
            .core
            .put_off(request.sequence, asked_ms, now_ms, &mut OsRng)
        {
            self.count(|counts| counts.put_off += 1);
            self.note(request, Some(refusal_text(error)));
        }
    }

    fn rejected(&mut self, ordinal: u64, code: &str, detail: &str) {
        self.count(|counts| counts.rejected += 1);
        let kind = match code {
            "peer-away" | "unknown-channel" => RejectKind::Passing,
            _ => RejectKind::Lasting,
        };
        let now_ms = self.now_ms();
        let Some(rejected) = self.core.rejected(ordinal, kind, now_ms, &mut OsRng) else {
            return;
        };
        let Some(request) = self.held.get(rejected.sequence).cloned() else {
            return;
        };
        let error = format!("the hub rejects it: {code:?} ({detail:?})");
        tracing::debug!(header_hash = request.header_hash_text(), error);
        match rejected.park {
            true => self.park(&request, error),
            false => self.note(&request, Some(error)),
        }
    }

    /// Puts a request aside for the operator.
    fn park(&mut self, request: &HeldRequest, error: String) {
        let now_ms = self.now_ms();
        if self.core.answered(request.sequence, now_ms) {
            self.settlements.push(Settlement::Parked {
                sequence: request.sequence,
                key: request.request.header_hash.to_vec(),
                error,
            });
        }
    }

    // ---- to the disk

    fn start_recording(&mut self) {
        if self.recording.is_some() || self.settlements.is_empty() {
            return;
        }
        let settlements = std::mem::take(&mut self.settlements);
        self.recording_sequences = settlements
            .iter()
            .filter_map(Settlement::sequence)
            .collect();
        self.recording_keysets = settlements
            .iter()
            .filter_map(|settlement| match settlement {
                Settlement::Keyset { serial, keyset } => Some((*serial, keyset.clone())),
                _ => None,
            })
            .collect();
        let (store, mint) = (self.store.clone(), self.mint.clone());
        let answers = Arc::clone(&self.answers);
        self.recording = Some(Box::pin(async move {
            store
                .write(move |c| record_all(c, &mint, settlements, &*answers, now_unix_ms()))
                .await
        }));
    }

    fn recorded(&mut self, batch: Result<RecordedBatch, StoreError>) {
        let sequences = std::mem::take(&mut self.recording_sequences);
        let keysets = std::mem::take(&mut self.recording_keysets);
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                self.store_failed("recording answers", &error);
                self.ask_again(sequences);
                return keysets
                    .into_iter()
                    .for_each(|(serial, keyset)| self.keyset_failed(serial, keyset));
            }
        };
        let mut events = Vec::new();
        for (settlement, recorded) in batch.settlements {
            let sequence = settlement.sequence();
            match recorded {
                Recorded::Done => {
                    self.count(|counts| match &settlement {
                        Settlement::Issued(..) => counts.issued += 1,
                        Settlement::Refused(..) => counts.refused += 1,
                        Settlement::Parked { .. } | Settlement::Keyset { .. } => {}
                    });
                    events.extend(settlement.into_event());
                }
                Recorded::Stale => self.count(|counts| counts.stale += 1),
                Recorded::Failed(error) => {
                    self.store_failed("recording an answer", &error);
                    self.ask_again(sequence);
                    if let Settlement::Keyset { serial, keyset } = settlement {
                        self.keyset_failed(serial, keyset);
                    }
                    continue;
                }
            }
            if let Some(sequence) = sequence {
                self.core.committed(sequence);
                self.held.remove(sequence);
            }
        }
        self.show_backlog(batch.backlog);
        if !events.is_empty() {
            self.answers.committed(&events);
        }
    }

    fn ask_again(&mut self, sequences: impl IntoIterator<Item = u64>) {
        let now_ms = self.now_ms();
        for sequence in sequences {
            self.core.not_committed(sequence, now_ms, &mut OsRng);
        }
    }

    /// The newest one of each unit is tried again.
    fn keyset_failed(&mut self, serial: u64, keyset: KeysetAnnouncement) {
        self.failed_keysets
            .retain(|(_, other)| other.unit != keyset.unit);
        self.failed_keysets.push((serial, keyset));
    }

    fn keep_house(&mut self) {
        self.settlements.extend(
            std::mem::take(&mut self.failed_keysets)
                .into_iter()
                .map(|(serial, keyset)| Settlement::Keyset { serial, keyset }),
        );
        if let Some(park_after_ms) = self.config.park_after_ms {
            let before = now_unix_ms().saturating_sub(park_after_ms);
            let old: Vec<Arc<HeldRequest>> = self.held.made_before(before).cloned().collect();
            for request in old {
                self.park(&request, format!("no answer within {park_after_ms} ms"));
            }
        }
        if self.housekeeping.is_some() {
            return;
        }
        let notes = std::mem::take(&mut self.notes);
        let before = now_unix_ms().saturating_sub(self.config.keep_answered_ms);
        let (store, mint) = (self.store.clone(), self.mint.clone());
        self.housekeeping = Some(Box::pin(async move {
            store
                .write(move |c| {
                    for note in &notes {
                        outbox::note_attempt(c, &mint, EXT_MINT_QUOTE, note)?;
                    }
                    outbox::delete_answered(c, before, ANSWERED_DELETED_PER_STEP)?;
                    outbox::backlog(c, &mint, EXT_MINT_QUOTE)
                })
                .await
        }));
    }

    fn housekept(&mut self, backlog: Result<Backlog, StoreError>) {
        match backlog {
            Ok(backlog) => {
                // Something was released by the operator, or a page could not be read.
                if backlog.waiting > self.core.held() as u64
                    && !self.more_to_load
                    && self.loading.is_none()
                {
                    self.cursor = 0;
                    self.more_to_load = true;
                }
                self.show_backlog(backlog);
            }
            Err(error) => self.store_failed("housekeeping", &error),
        }
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
