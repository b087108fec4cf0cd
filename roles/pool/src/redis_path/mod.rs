//! Quote requests over a list in Redis, as old mints and bridges read it, beside the hub or in its place.
//!
//! The outbox is the same for both ways, one row for each share. What is pushed stays there until its quote is known,
//! whichever way that comes first; so nothing is lost with Redis, and nothing counts twice: the mint goes by the header
//! hash, and the row has one answer. Answers out of Redis carry no authenticator: whoever can write there can make the
//! pool believe in a quote.
//!
//! [`RedisPathCore`] says what to do when; this is the shell around it, and the watch over the keyset's key.

mod core;
mod keyset;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use winze_client::delivery::Now;
use winze_client::{QuoteRequester, StoreError};
use winze_legacy::{Keyset, QuoteRequest};
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_messages::text::header_hash_to_text;
use winze_redis::{Handover, KeysetKey, QuoteId, RedisFault};
use winze_runtime::clock::now_unix_ms;

pub use self::core::{Next, RedisPathCore, Rules, Seen, SeenPush, Selected};
pub(crate) use keyset::{KeysetWatch, watch_keyset};

use crate::limits::{REDIS_AGAIN_LIST_MAX, REDIS_LOOK_MAX, REDIS_PUSH_MAX, REDIS_STORE_PAUSE_MS};
use crate::metrics::Metrics;
use crate::store::{GivenUp, LookedUp, Pushes, WaitingRow};

/// How it stands with Redis, for `/health`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RedisStatus {
    /// It answers.
    pub(crate) is_connected: bool,
    /// It refused the last push: a Redis that is read can be one that takes nothing.
    pub(crate) refuses: bool,
    /// What went wrong last; it may be over.
    pub(crate) last_fault: Option<String>,
}

/// Notes what Redis says, and tells the operator when that changes.
#[derive(Clone)]
pub(crate) struct StatusSink(watch::Sender<RedisStatus>);

impl StatusSink {
    pub(crate) fn new() -> StatusSink {
        StatusSink(watch::Sender::new(RedisStatus::default()))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<RedisStatus> {
        self.0.subscribe()
    }

    pub(crate) fn answers(&self) {
        self.0.send_if_modified(|status| {
            let changed = !std::mem::replace(&mut status.is_connected, true);
            if changed {
                tracing::info!("Redis is there");
            }
            changed
        });
    }

    pub(crate) fn pushed(&self) {
        self.answers();
        self.0.send_if_modified(|status| {
            let changed = std::mem::replace(&mut status.refuses, false);
            if changed {
                tracing::info!("Redis takes quote requests again");
            }
            changed
        });
    }

    pub(crate) fn push_failed(&self, fault: &RedisFault) {
        self.failed(fault);
        if !is_away(fault) {
            self.0.send_modify(|status| status.refuses = true);
        }
    }

    pub(crate) fn failed(&self, fault: &RedisFault) {
        self.wrong(fault.to_string(), is_away(fault));
    }

    /// `text` says what is wrong.
    pub(crate) fn wrong(&self, text: String, is_away: bool) {
        self.0.send_if_modified(|status| {
            let was_connected = status.is_connected;
            status.is_connected &= !is_away;
            let is_news = status.last_fault.as_ref() != Some(&text);
            if is_news || was_connected != status.is_connected {
                tracing::warn!(problem = text, "Redis; quote requests wait in the store");
            }
            status.last_fault = Some(text);
            true
        });
    }
}

/// The second sender: pushes requests, and looks for their quotes.
pub(crate) struct RedisPath {
    pub(crate) core: RedisPathCore,
    pub(crate) handover: Handover,
    /// Whose mint reads the list.
    pub(crate) keyset: KeysetKey,
    /// What the pool goes by at present.
    pub(crate) known_keyset: watch::Receiver<Option<Vec<u8>>>,
    pub(crate) pushes: Pushes,
    pub(crate) requester: QuoteRequester,
    pub(crate) metrics: Metrics,
    pub(crate) status: StatusSink,
    /// How the list writes the unit.
    pub(crate) list_unit: String,
    pub(crate) list_length_max: u64,
    /// More is not pushed.
    pub(crate) list_amount_max: u64,
    /// Requests over more, since the first one that waits was gone through.
    pub(crate) too_large: u64,
    pub(crate) writes_quote_ids: bool,
    /// Requests of which no quote comes are parked: nobody else answers them.
    pub(crate) gives_up: bool,
    /// Where whoever takes puts what it refuses.
    pub(crate) dead_letters_list: String,
    pub(crate) epoch: Instant,
    /// Keys that hold no id, since the first one was looked at.
    pub(crate) strange: u64,
}

/// Why a turn came to nothing.
enum Trouble {
    Redis(RedisFault),
    Store(StoreError),
    /// The pool is shutting down.
    Stopped,
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Store(error)
    }
}

/// A moment, on the clocks of a task that began at `epoch`.
pub(crate) fn now(epoch: Instant) -> Now {
    Now {
        ms: u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX),
        unix_ms: now_unix_ms(),
    }
}

impl RedisPath {
    /// Until `stop`. `nudged` says that shares were written down.
    pub(crate) async fn run(mut self, nudged: Arc<Notify>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            // A busy pool never comes to wait below.
            if nudged.notified().now_or_never().is_some() {
                self.core.nudged();
            }
            let now = self.now();
            let hub = self.requester.status();
            self.core.hub(hub.peer_present && hub.peer_known, now);
            let (is_push, done) = match self.core.next(now) {
                Next::Push { after } => (true, self.push(after, &mut stop).await),
                Next::Look { after } => (false, self.look(after, &mut stop).await),
                Next::Wait { until_ms } => {
                    let until = self.epoch + Duration::from_millis(until_ms);
                    tokio::select! {
                        _ = stop.changed() => {}
                        () = nudged.notified() => self.core.nudged(),
                        () = sleep_until(until) => {}
                    }
                    continue;
                }
            };
            let now = self.now();
            match done {
                Ok(()) => {}
                Err(Trouble::Stopped) => return,
                Err(Trouble::Store(error)) => {
                    tracing::error!(%error, "the store failed; nothing goes over Redis for a while");
                    self.core.store_failed(now);
                }
                Err(Trouble::Redis(fault)) => match is_push {
                    true => {
                        self.status.push_failed(&fault);
                        self.core.push_failed(now);
                    }
                    false => {
                        self.status.failed(&fault);
                        self.core.look_failed(now);
                    }
                },
            }
        }
    }

    async fn push(&mut self, after: u64, stop: &mut watch::Receiver<bool>) -> Result<(), Trouble> {
        let page = self.pushes.waiting(after, REDIS_PUSH_MAX).await?;
        let is_last = page.len() < REDIS_PUSH_MAX;
        if after == 0 {
            self.too_large = 0;
        }
        let keyset = match page.is_empty() {
            true => None,
            false => self.active_keyset(stop).await?,
        };
        let entries: Vec<Option<Entry>> = page.iter().map(|row| self.entry(row)).collect();
        let is_too_large = |entry: &Entry| entry.amount > self.list_amount_max;
        let too_large = entries.iter().flatten().filter(|entry| is_too_large(entry));
        self.too_large += too_large.count() as u64;
        self.tell_too_large();
        let entries: Vec<Option<Entry>> = entries
            .into_iter()
            .map(|entry| entry.filter(|entry| entry.amount <= self.list_amount_max))
            .collect();
        let rows = page.iter().zip(&entries);
        let seen: Vec<Seen> = rows
            .map(|(row, entry)| Seen {
                sequence: row.request.sequence,
                pushed: row.pushed.as_ref().map(|last| SeenPush {
                    unix_ms: last.unix_ms,
                    times: last.times,
                    is_same_keyset: last.keyset_id == keyset,
                }),
                // While nobody says whose mint it is, nothing goes a second time.
                may_go: entry.is_some() && (row.pushed.is_none() || keyset.is_some()),
            })
            .collect();
        let now = self.now();
        let selected = self.core.select(&seen, now);
        let pick = |places: &[usize]| -> Vec<&Entry> {
            let entries = places.iter().filter_map(|at| entries.get(*at)?.as_ref());
            entries.collect()
        };
        let (new, again) = (pick(&selected.new), pick(&selected.again));
        let over = selected.over.iter().filter_map(|at| page.get(*at));
        self.give_up(over, keyset.as_deref(), stop).await?;
        let list_max = self.list_length_max;
        let new_pushed = self.hand_over(&new, list_max, stop).await?;
        let noted = new.get(..new_pushed).unwrap_or_default();
        self.note_pushed(noted, &keyset, stop).await?;
        self.metrics.redis_pushed.inc_by(new_pushed as u64);
        if new_pushed < new.len() {
            self.metrics.redis_list_full.inc();
        }
        // What is still in the list and what was taken out of it look the same from here.
        let list_max = list_max.min(REDIS_AGAIN_LIST_MAX);
        let again_pushed = self.hand_over(&again, list_max, stop).await?;
        let noted = again.get(..again_pushed).unwrap_or_default();
        self.note_pushed(noted, &keyset, stop).await?;
        self.metrics.redis_pushed_again.inc_by(again_pushed as u64);
        let now = self.now();
        self.core.pushed(&seen, &selected, new_pushed, is_last, now);
        Ok(())
    }

    /// The keyset in Redis; where there is none the one that was there last, or that the hub tells. `None` where it cannot
    /// be read.
    async fn active_keyset(
        &mut self,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        match or_stopped(stop, self.keyset.read()).await {
            Ok(None) => Ok(self.known_keyset.borrow().clone()),
            Ok(Some(text)) => Ok(Keyset::parse(&text).ok().map(|keyset| keyset.id)),
            Err(Trouble::Redis(fault)) if !is_away(&fault) => {
                self.status.failed(&fault);
                Ok(None)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Parks requests of which no quote comes, once everything that was pushed is taken off the list.
    async fn give_up(
        &mut self,
        rows: impl Iterator<Item = &WaitingRow>,
        keyset: Option<&[u8]>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Trouble> {
        let rows: Vec<GivenUp> = rows.filter_map(|row| self.given_up(row, keyset)).collect();
        let Some(first) = rows.first().filter(|_| self.gives_up) else {
            return Ok(());
        };
        if or_stopped(stop, self.handover.length()).await? > 0 {
            return Ok(());
        }
        let reason = first.reason.clone();
        let parked = self.pushes.give_up(rows, now_unix_ms()).await?;
        let requests = parked.len();
        tracing::error!(requests, reason, "requests are parked (`winze outbox`)");
        self.requester.settled_elsewhere(parked).await;
        Ok(())
    }

    fn given_up(&self, row: &WaitingRow, keyset: Option<&[u8]>) -> Option<GivenUp> {
        let last = row.pushed.as_ref()?;
        let told = |id: Option<&[u8]>| id.map_or("unknown".to_owned(), hex::encode);
        let reason = match last.keyset_id.as_deref() == keyset {
            true => format!(
                "pushed to the list in Redis {} times, and no quote came of it: if it was refused, the list {} says why",
                last.times, self.dead_letters_list
            ),
            false => format!(
                "pushed to the list in Redis under the keyset {}, and now there is {}: to be pushed again only if that is the \
                 same mint's, for another one would make a second quote",
                told(last.keyset_id.as_deref()),
                told(keyset)
            ),
        };
        Some(GivenUp {
            sequence: row.request.sequence,
            header_hash: row.request.key.as_slice().try_into().ok()?,
            reason,
        })
    }

    /// How many the list has taken.
    async fn hand_over(
        &mut self,
        entries: &[&Entry],
        list_max: u64,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<usize, Trouble> {
        if entries.is_empty() {
            return Ok(0);
        }
        let texts: Vec<String> = entries.iter().map(|entry| entry.json.clone()).collect();
        let pushed = or_stopped(stop, self.handover.push(&texts, list_max)).await?;
        match pushed {
            0 => self.status.answers(),
            _ => self.status.pushed(),
        }
        Ok(pushed)
    }

    /// Writes down what was pushed; as long as that fails nothing else is pushed, or it would be pushed over and over.
    async fn note_pushed(
        &self,
        entries: &[&Entry],
        keyset: &Option<Vec<u8>>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Trouble> {
        if entries.is_empty() {
            return Ok(());
        }
        loop {
            let rows = entries
                .iter()
                .map(|e| (e.sequence, e.header_hash))
                .collect();
            let noted = match self.writes_quote_ids {
                true => {
                    let pushed = self.pushes.pushed(rows, keyset.clone(), now_unix_ms());
                    pushed.await.map(|()| Vec::new())
                }
                false => self.pushes.handed_over(rows, now_unix_ms()).await,
            };
            match noted {
                Ok(settled) => {
                    if !settled.is_empty() {
                        self.requester.settled_elsewhere(settled).await;
                    }
                    return Ok(());
                }
                Err(error) => tracing::error!(%error, "what was pushed cannot be written down"),
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Err(Trouble::Stopped),
                () = tokio::time::sleep(Duration::from_millis(REDIS_STORE_PAUSE_MS)) => {}
            }
        }
    }

    async fn look(&mut self, after: u64, stop: &mut watch::Receiver<bool>) -> Result<(), Trouble> {
        let page = self.pushes.open(after, REDIS_LOOK_MAX).await?;
        let (last, is_last) = (page.last().copied(), page.len() < REDIS_LOOK_MAX);
        let (over, open): (Vec<_>, Vec<_>) = page.into_iter().partition(|row| row.is_over);
        let hashes: Vec<String> = open
            .iter()
            .map(|row| header_hash_to_text(&row.header_hash))
            .collect();
        let ids = or_stopped(stop, self.handover.quote_ids(&hashes)).await?;
        if !ids.is_empty() {
            self.status.answers();
        }
        let mut found = Vec::new();
        for (row, id) in open.into_iter().zip(ids) {
            match id {
                QuoteId::Known(id) if is_id(&id) => found.push((row, id)),
                QuoteId::Known(_) | QuoteId::Strange => self.strange += 1,
                QuoteId::None => {}
            }
        }
        let has_news = !(found.is_empty() && over.is_empty());
        if has_news {
            let looked = LookedUp { found, over };
            let settled = self.pushes.settle(looked, now_unix_ms()).await?;
            self.metrics.redis_quotes.inc_by(settled.len() as u64);
            if !settled.is_empty() {
                self.requester.settled_elsewhere(settled).await;
            }
        }
        if is_last {
            self.tell_strange();
        }
        let last = last.map(|row| row.sequence);
        self.core.looked(last, has_news, is_last, self.now());
        Ok(())
    }

    fn tell_too_large(&self) {
        let before = self.metrics.redis_too_large.set(self.too_large);
        if before == 0 && self.too_large > 0 {
            let most = self.list_amount_max;
            tracing::warn!(
                most,
                "shares of more than redis_path.list_amount_max wait, and are not pushed to Redis"
            );
        }
    }

    fn tell_strange(&mut self) {
        let strange = std::mem::take(&mut self.strange);
        let before = self.metrics.redis_strange_ids.set(strange);
        if before == 0 && strange > 0 {
            tracing::error!(
                strange,
                "keys in Redis hold something else than the ids of quotes; they are passed over"
            );
        }
    }

    /// `None` where the request cannot be read (the requester parks it), or its quote is known and only the mint has
    /// forgotten it.
    fn entry(&self, row: &WaitingRow) -> Option<Entry> {
        let stored = &row.request;
        if !stored.is_whole || stored.is_asked_again {
            return None;
        }
        let request = MintQuoteRequest::decode_body(&stored.body).ok()?;
        let old = QuoteRequest {
            unit: request.unit,
            amount: request.amount,
            header_hash: request.header_hash,
            description: request.description,
            locking_key: Some(request.locking_key),
            keyset_id: Some(request.keyset_id),
        };
        Some(Entry {
            sequence: stored.sequence,
            header_hash: request.header_hash,
            amount: request.amount,
            json: old.to_json(&self.list_unit),
        })
    }

    fn now(&self) -> Now {
        now(self.epoch)
    }
}

/// What stands in the list for a request.
struct Entry {
    sequence: u64,
    header_hash: [u8; 32],
    amount: u64,
    json: String,
}

/// There is no connection that could be used.
fn is_away(fault: &RedisFault) -> bool {
    matches!(fault, RedisFault::Away { .. } | RedisFault::Login { .. })
}

/// Ids are UUIDs, or at least have no blanks and no control characters. They go into URLs and onto miners' screens.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What Redis says, unless the pool is shut down before: what was sent may be done all the same, and is done again.
async fn or_stopped<T>(
    stop: &mut watch::Receiver<bool>,
    asked: impl Future<Output = Result<T, RedisFault>>,
) -> Result<T, Trouble> {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => Err(Trouble::Stopped),
        said = asked => said.map_err(Trouble::Redis),
    }
}
