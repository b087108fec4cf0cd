//! Goes to Redis: looks for ids, pushes what is due, and writes down what it did.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use winze_client::{Store, StoreError};
use winze_messages::text::header_hash_to_text;
use winze_redis::{Handover, QuoteId, RedisFault};
use winze_runtime::clock::now_unix_ms;

use super::desk::{Desk, Told, Way};
use super::limits::{FULL_PAUSE, OPEN_MAX, ROUND_MAX, TROUBLE_PAUSE, WATCH_INTERVAL};
use super::open::HeaderHash;
use super::rows;
use super::writing::Writing;

/// How long a round that is under way may take to end when the role stops.
const LAST_ROUND_MAX: Duration = Duration::from_millis(500);

pub(super) struct Courier {
    desk: Arc<Desk>,
    store: Store,
    handover: Handover,
    list_length_max: u64,
    writing: Writing,
    /// When Redis was last asked for the list's length.
    watched: Option<Instant>,
    /// When the operator was last told of a strange value.
    warned: Option<Instant>,
}

/// Why a round ended before its end. All of it is tried again.
enum Trouble {
    Redis(RedisFault),
    Store(StoreError),
}

impl From<RedisFault> for Trouble {
    fn from(fault: RedisFault) -> Trouble {
        Trouble::Redis(fault)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Store(error)
    }
}

impl Courier {
    pub(super) fn new(
        desk: Arc<Desk>,
        store: Store,
        handover: Handover,
        list_length_max: u64,
        writing: Writing,
    ) -> Courier {
        Courier {
            desk,
            store,
            handover,
            list_length_max,
            writing,
            watched: None,
            warned: None,
        }
    }

    /// Until it is told to stop, and a moment longer for what is under way.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let outcome = {
                let mut round = std::pin::pin!(self.round());
                tokio::select! {
                    outcome = &mut round => Some(outcome),
                    () = stopped(&mut stop) => timeout(LAST_ROUND_MAX, round).await.ok(),
                }
            };
            let pause = outcome.and_then(|outcome| self.note(outcome));
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                () = wait(&self.desk, pause) => {}
            }
        }
        self.note_what_was_pushed().await;
    }

    /// Does what is due, as far as it can be done at once.
    async fn round(&mut self) -> Result<(), Trouble> {
        self.watch().await?;
        self.look().await?;
        self.push().await?;
        self.note_pushes().await
    }

    /// What came of a round, and how long to wait before the next one; `None` until something is due.
    fn note(&mut self, outcome: Result<(), Trouble>) -> Option<Duration> {
        let mut inner = self.desk.lock();
        match outcome {
            Ok(()) => (inner.way == Way::Full).then_some(FULL_PAUSE),
            Err(Trouble::Redis(fault)) => {
                inner.way = Way::Away;
                let status = &mut inner.status;
                status.redis_connected = false;
                status.counts.faults += 1;
                let text = fault.to_string();
                if status.last_fault.as_ref() != Some(&text) {
                    tracing::warn!(%fault, "the old mint's queue cannot be used");
                    status.last_fault = Some(text);
                }
                Some(TROUBLE_PAUSE)
            }
            Err(Trouble::Store(error)) => {
                drop(inner);
                tracing::error!(%error, "what the old mint was asked cannot be written down");
                Some(TROUBLE_PAUSE)
            }
        }
    }

    /// Every now and then, and where it is away: whether Redis is there, and how long the list is.
    async fn watch(&mut self) -> Result<(), Trouble> {
        let is_away = self.desk.lock().way == Way::Away;
        let is_due = self.watched.is_none_or(|at| at.elapsed() >= WATCH_INTERVAL);
        if !is_due && !is_away {
            return Ok(());
        }
        let length = self.handover.length().await?;
        self.watched = Some(Instant::now());
        let now_ms = self.desk.now_ms();
        let mut inner = self.desk.lock();
        inner.status.redis_connected = true;
        inner.status.list_length = Some(length);
        if length == 0 {
            // Nobody else of us pushes: what was pushed had arrived by then.
            inner.open.list_was_empty(now_ms);
        }
        inner.way = match length < self.list_length_max {
            true => Way::Open,
            false => Way::Full,
        };
        Ok(())
    }

    async fn look(&mut self) -> Result<(), Trouble> {
        let hashes = {
            let inner = self.desk.lock();
            inner.open.looks_due(self.desk.now_ms(), ROUND_MAX)
        };
        if hashes.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = hashes.iter().map(header_hash_to_text).collect();
        let found = self.handover.quote_ids(&texts).await?;
        let mut known = Vec::new();
        let mut strange = None;
        {
            let now_ms = self.desk.now_ms();
            let mut inner = self.desk.lock();
            for (hash, id) in hashes.iter().zip(found) {
                match id {
                    // Whoever waits for it has it on record before anybody hears of it.
                    QuoteId::Known(id) if is_id(&id) && inner.is_awaited(hash) => {
                        inner.status.has_seen_ids = true;
                        inner.done(hash, &Told::Id(id));
                        continue;
                    }
                    QuoteId::Known(id) if is_id(&id) => {
                        inner.status.has_seen_ids = true;
                        known.push((*hash, id));
                        continue;
                    }
                    QuoteId::None => {}
                    QuoteId::Known(_) | QuoteId::Strange => {
                        inner.status.counts.strange += 1;
                        strange = Some(*hash);
                    }
                }
                inner.open.missing(hash, now_ms);
            }
        }
        if let Some(hash) = strange {
            self.warn_of_strange(&hash);
        }
        if known.is_empty() {
            return Ok(());
        }
        // Nobody waits for these: the key may be gone tomorrow, and the old mint makes no second quote.
        let ids = known.clone();
        let written = self
            .store
            .write_repeatable(move |c| rows::note_quote_ids(c, &ids));
        written.await?;
        let mut inner = self.desk.lock();
        for (hash, id) in known {
            inner.done(&hash, &Told::Id(id));
        }
        Ok(())
    }

    async fn push(&mut self) -> Result<(), Trouble> {
        let (mut hashes, mut entries) = {
            let inner = self.desk.lock();
            let due = inner.open.pushes_due(ROUND_MAX);
            let entries = due.iter().map(|hash| inner.fresh.get(hash).cloned());
            let entries: Vec<Option<String>> = entries.collect();
            (due, entries)
        };
        if hashes.is_empty() {
            return Ok(());
        }
        if entries.iter().any(Option::is_none) {
            let asked = hashes.clone();
            entries = self.store.read(move |c| rows::entries(c, &asked)).await?;
        }
        // What is gone or damaged on disk comes again from whoever asked for it.
        {
            let mut inner = self.desk.lock();
            let gone = hashes.iter().zip(&entries);
            for (hash, _) in gone.filter(|(_, entry)| entry.is_none()) {
                inner.open.done(hash);
            }
        }
        let mut there = entries.iter().map(Option::is_some);
        hashes.retain(|_| there.next().unwrap_or_default());
        let entries = entries.into_iter().flatten();
        let entries: Vec<String> = entries.map(|it| self.writing.to_push(it)).collect();

        let pushed = self.handover.push(&entries, self.list_length_max).await?;
        let now_ms = self.desk.now_ms();
        let mut inner = self.desk.lock();
        inner.way = match pushed < entries.len() {
            true => Way::Full,
            false => Way::Open,
        };
        let pushed = hashes.get(..pushed).unwrap_or(&hashes);
        let again = inner.open.pushed(pushed, now_ms);
        inner.status.counts.pushed += (pushed.len() - again) as u64;
        inner.status.counts.pushed_again += again as u64;
        for hash in pushed {
            match inner.open.waits_ms(hash, now_ms) {
                Some(_) => {
                    inner.fresh.remove(hash);
                }
                // A mint that tells no ids.
                None => inner.done(hash, &Told::Pushed),
            }
        }
        Ok(())
    }

    async fn note_pushes(&mut self) -> Result<(), Trouble> {
        let due = {
            let inner = self.desk.lock();
            inner.open.notes_due(self.desk.now_ms(), ROUND_MAX)
        };
        self.write_pushes(due).await
    }

    async fn note_what_was_pushed(&mut self) {
        let due = self.desk.lock().open.notes_due(u64::MAX, OPEN_MAX);
        if let Err(Trouble::Store(error)) = self.write_pushes(due).await {
            tracing::warn!(%error, "what was pushed last will be pushed again");
        }
    }

    async fn write_pushes(&mut self, hashes: Vec<HeaderHash>) -> Result<(), Trouble> {
        if hashes.is_empty() {
            return Ok(());
        }
        let (now_unix_ms, noted) = (now_unix_ms(), hashes.clone());
        let written = self
            .store
            .write_repeatable(move |c| rows::note_pushed(c, &hashes, now_unix_ms));
        written.await?;
        self.desk.lock().open.noted(&noted);
        Ok(())
    }

    fn warn_of_strange(&mut self, hash: &HeaderHash) {
        let is_due = |at: Instant| at.elapsed() >= Duration::from_secs(60);
        if self.warned.is_none_or(is_due) {
            self.warned = Some(Instant::now());
            let header_hash = header_hash_to_text(hash);
            tracing::warn!(
                header_hash,
                "under the key of a quote's id lies something that is none"
            );
        }
    }
}

/// It goes into addresses and logs: no mint's ids have blanks or control characters.
fn is_id(text: &str) -> bool {
    !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Until something is due, at most until Redis is to be looked at again; no less than `pause`.
async fn wait(desk: &Desk, pause: Option<Duration>) {
    match pause {
        Some(pause) => sleep(pause).await,
        None => {
            let due_ms = desk.lock().open.next_due_ms();
            let now_ms = desk.now_ms();
            let due = due_ms.map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)));
            let due = due.unwrap_or(WATCH_INTERVAL).min(WATCH_INTERVAL);
            tokio::select! {
                () = sleep(due) => {}
                () = desk.nudged() => {}
            }
        }
    }
}
