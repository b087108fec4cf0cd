//! What two ends tell each other of how far their stores have come (specification, section 6.1):
//! one end's half, without IO.

use std::borrow::Borrow;

use rand::RngCore;
use winze_messages::families::mint_quote::{StoreQuery, StoreState};
use winze_messages::{EXT_MINT_QUOTE, PairKeys, request_digest};

use crate::backoff::backoff_ms;
use crate::delivery::SendChannel;
use crate::limits::{STORE_QUERY_DELAY_MS_MAX, STORE_QUERY_DELAY_MS_MIN};
use crate::sabotage::{Rule, is_broken};
use crate::session::SendError;

/// The highest numbers that a store has with one peer, as committed rows say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreNumbers {
    /// Of a request: a requester's highest that it ever gave, a responder's highest among those
    /// that it has given a final answer to.
    pub requests: u64,
    /// Of a final answer: a responder's highest that it ever gave, a requester's highest among
    /// those whose effect it has recorded.
    pub answers: u64,
}

/// What the instance of the far end that is there now has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FarStore {
    /// What it has.
    pub far: StoreNumbers,
    /// What the own store had before the far end was asked. What the far end must know of us is
    /// compared with these: it may have come further since, and we with it. What we must know of
    /// the far end is compared with what the own store has after the answer was there.
    pub own_before: StoreNumbers,
}

/// What a message of the exchange was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchanged {
    /// The far end asks; [`StoreExchange::send`] answers once the numbers were read.
    Query,
    /// The far end has answered: [`StoreExchange::far`] has it.
    State,
    /// It does not verify, or answers no query that is open: it has no effect.
    Unauthentic,
}

/// One end's half on one channel. Whoever drives it reads the own numbers when
/// [`numbers_wanted`](Self::numbers_wanted) says so, and sends after every input.
///
/// The same query is repeated until it is answered, and every other instance of the far end gets
/// a new one. Of the far end's queries the last alone waits for its answer, so a flood of them
/// costs one read at a time.
#[derive(Default)]
pub struct StoreExchange {
    instance: Option<u64>,
    query: Option<Query>,
    far: Option<FarStore>,
    /// The far end's last query, by its digest, with the place of the key that it was sealed with.
    asked: Option<Asked>,
    reading: Option<Reading>,
    /// The store could not be read: not to be tried before this.
    read_again_at_ms: Option<u64>,
    reads_failed: u32,
    /// The channel did not take what was due, and says when to go on.
    is_held_up: bool,
}

struct Query {
    nonce: [u8; 32],
    own_before: Option<StoreNumbers>,
    /// When it is to be sent (again).
    due_at_ms: u64,
    /// Under how many of the keys it has gone out since it was due: where there is room for one
    /// message at a time each still has its turn.
    keys_asked: usize,
    sent: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Asked {
    digest: [u8; 32],
    key_index: usize,
    answer: Option<StoreNumbers>,
}

/// Who is served by the read that is under way: those who were there when it began.
struct Reading {
    nonce: Option<[u8; 32]>,
    digest: Option<[u8; 32]>,
}

impl StoreExchange {
    /// Knows of no far end.
    pub fn new() -> StoreExchange {
        StoreExchange::default()
    }

    /// What the present instance of the far end has said; `None` while it has said nothing.
    pub fn far(&self) -> Option<FarStore> {
        self.far
    }

    /// The far end is there in this instance. `rng` makes the query's nonce: it must be one that
    /// nobody can foretell.
    pub fn present(&mut self, instance: u64, rng: &mut dyn RngCore) {
        if self.instance == Some(instance) {
            return;
        }
        self.away();
        let mut nonce = [0; 32];
        if !is_broken(Rule::FreshQueries) {
            rng.fill_bytes(&mut nonce);
        }
        self.instance = Some(instance);
        self.query = Some(Query {
            nonce,
            own_before: None,
            due_at_ms: 0,
            keys_asked: 0,
            sent: 0,
        });
    }

    /// The far end, or the channel, is gone: what it said holds no longer.
    pub fn away(&mut self) {
        self.instance = None;
        self.query = None;
        self.far = None;
        self.asked = None;
    }

    // ---- the own store

    /// Whether the own numbers are to be read now; [`Self::numbers_read`] is to be called with what
    /// came of it.
    pub fn numbers_wanted(&mut self, now_ms: u64) -> bool {
        let nonce = self
            .query
            .as_ref()
            .filter(|query| query.own_before.is_none());
        let asked = self.asked.filter(|asked| asked.answer.is_none());
        let is_pausing = self.read_again_at_ms.is_some_and(|at_ms| now_ms < at_ms);
        if self.reading.is_some() || is_pausing || (nonce.is_none() && asked.is_none()) {
            return false;
        }
        self.reading = Some(Reading {
            nonce: nonce.map(|query| query.nonce),
            digest: asked.map(|asked| asked.digest),
        });
        true
    }

    /// The own numbers were read; `None` where they could not be, which is tried again after a
    /// while.
    pub fn numbers_read(
        &mut self,
        numbers: Option<StoreNumbers>,
        now_ms: u64,
        rng: &mut dyn RngCore,
    ) {
        let Some(reading) = self.reading.take() else {
            return;
        };
        let Some(numbers) = numbers else {
            let pause_ms = pause_ms(self.reads_failed, rng);
            self.reads_failed = self.reads_failed.saturating_add(1);
            self.read_again_at_ms = Some(now_ms.saturating_add(pause_ms));
            return;
        };
        self.reads_failed = 0;
        self.read_again_at_ms = None;
        if let Some(query) = &mut self.query
            && reading.nonce == Some(query.nonce)
        {
            query.own_before = Some(numbers);
        }
        if let Some(asked) = &mut self.asked
            && reading.digest == Some(asked.digest)
        {
            asked.answer = Some(numbers);
        }
    }

    // ---- the channel

    /// Whether messages of this type are for [`Self::take`].
    pub fn takes(msg_type: u8) -> bool {
        matches!(msg_type, StoreQuery::MSG_TYPE | StoreState::MSG_TYPE)
    }

    /// Takes a message of type [`StoreQuery`] or [`StoreState`]; `keys` are all that the far end
    /// may go by, in the order in which [`Self::send`] gets them.
    pub fn take<K: Borrow<PairKeys>>(
        &mut self,
        keys: impl IntoIterator<Item = K>,
        msg_type: u8,
        bytes: &[u8],
    ) -> Exchanged {
        match msg_type {
            StoreQuery::MSG_TYPE => self.take_query(keys, bytes),
            StoreState::MSG_TYPE => self.take_state(keys, bytes),
            _ => Exchanged::Unauthentic,
        }
    }

    fn take_query<K: Borrow<PairKeys>>(
        &mut self,
        keys: impl IntoIterator<Item = K>,
        bytes: &[u8],
    ) -> Exchanged {
        for (key_index, keys) in keys.into_iter().enumerate() {
            let Ok(opened) = keys.borrow().open(StoreQuery::MSG_TYPE, bytes, None) else {
                continue;
            };
            self.asked = Some(Asked {
                digest: request_digest(EXT_MINT_QUOTE, StoreQuery::MSG_TYPE, opened.body),
                key_index,
                answer: None,
            });
            return Exchanged::Query;
        }
        Exchanged::Unauthentic
    }

    fn take_state<K: Borrow<PairKeys>>(
        &mut self,
        keys: impl IntoIterator<Item = K>,
        bytes: &[u8],
    ) -> Exchanged {
        let Some(query) = &self.query else {
            return Exchanged::Unauthentic;
        };
        // Without them it was not sent, and nobody can answer it.
        let Some(own_before) = query.own_before else {
            return Exchanged::Unauthentic;
        };
        let digest = request_digest(EXT_MINT_QUOTE, StoreQuery::MSG_TYPE, &query.nonce);
        for keys in keys {
            let opened = keys
                .borrow()
                .open(StoreState::MSG_TYPE, bytes, Some(digest));
            let Some(state) = opened
                .ok()
                .and_then(|opened| StoreState::decode_body(opened.body).ok())
            else {
                continue;
            };
            self.query = None;
            self.far = Some(FarStore {
                far: StoreNumbers {
                    requests: state.requests,
                    answers: state.answers,
                },
                own_before,
            });
            return Exchanged::State;
        }
        Exchanged::Unauthentic
    }

    /// Sends what is due. Where the far end may go by several keys, it is asked under each.
    ///
    /// # Errors
    /// What the channel says; what was not sent stays due.
    pub fn send<K: Borrow<PairKeys>>(
        &mut self,
        keys: &[K],
        channel: &mut impl SendChannel,
        now_ms: u64,
        rng: &mut dyn RngCore,
    ) -> Result<(), SendError> {
        let sent = self.send_what_is_due(keys, channel, now_ms, rng);
        self.is_held_up = sent.is_err();
        sent
    }

    fn send_what_is_due<K: Borrow<PairKeys>>(
        &mut self,
        keys: &[K],
        channel: &mut impl SendChannel,
        now_ms: u64,
        rng: &mut dyn RngCore,
    ) -> Result<(), SendError> {
        if self.instance.is_none() {
            return Ok(());
        }
        if let Some((asked, numbers)) = self.asked.and_then(|a| Some((a, a.answer?))) {
            let state = StoreState {
                requests: numbers.requests,
                answers: numbers.answers,
            };
            let mut body = Vec::new();
            if state.encode_body(&mut body).is_ok()
                && let Some(keys) = keys.get(asked.key_index)
            {
                let sealed = keys
                    .borrow()
                    .seal(StoreState::MSG_TYPE, &body, 0, Some(asked.digest));
                channel.try_send(StoreState::MSG_TYPE, &sealed)?;
            }
            self.asked = None;
        }
        if let Some(query) = &mut self.query
            && query.own_before.is_some()
            && query.due_at_ms <= now_ms
        {
            for keys in keys.iter().skip(query.keys_asked) {
                let sealed = keys
                    .borrow()
                    .seal(StoreQuery::MSG_TYPE, &query.nonce, 0, None);
                channel.try_send(StoreQuery::MSG_TYPE, &sealed)?;
                query.keys_asked += 1;
            }
            query.keys_asked = 0;
            let pause_ms = pause_ms(query.sent, rng);
            query.sent = query.sent.saturating_add(1);
            query.due_at_ms = now_ms.saturating_add(pause_ms);
        }
        Ok(())
    }

    /// When the driver is to look again at the latest: a query that was sent is due again, or the
    /// store is to be read again. What the channel did not take waits for the channel.
    pub fn next_timeout_ms(&self) -> Option<u64> {
        let is_timed = |query: &&Query| query.sent > 0 && !self.is_held_up;
        let query = self.query.as_ref().filter(is_timed);
        let query_ms = query.map(|query| query.due_at_ms);
        let needs_read = self.reading.is_none()
            && (self.asked.is_some_and(|asked| asked.answer.is_none())
                || self.query.as_ref().is_some_and(|q| q.own_before.is_none()));
        let read_ms = self.read_again_at_ms.filter(|_| needs_read);
        query_ms.into_iter().chain(read_ms).min()
    }
}

/// Before the try after `failed` others.
fn pause_ms(failed: u32, rng: &mut dyn RngCore) -> u64 {
    // Half of a back-off is its shortest: twice the first delay, and so never below it.
    backoff_ms(
        failed.saturating_add(1),
        STORE_QUERY_DELAY_MS_MIN,
        STORE_QUERY_DELAY_MS_MAX,
        rng,
    )
}

#[cfg(test)]
mod tests;
