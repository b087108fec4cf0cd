//! One pool's channel on the answering side, without IO: requests are taken apart, answers and
//! announcements go out.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::RngCore;
use winze_messages::families::mint_quote::{KeysetAnnouncement, QuoteErrorCode};
use winze_messages::{EXT_MINT_QUOTE, PairKeys, PeerName, Side, Unsealed};

use super::asked::{Pool, Request, Taken};
use super::batch::{QuoteBatch, Reply, temporary};
use super::comparison::{Comparison, report};
use super::{QuoteResponderConfig, ResponderCounts};
use crate::answers::{Announcement, Compared};
use crate::delivery::SendChannel;
use crate::identity::Identity;
use crate::limits::STORE_QUERY_DELAY_MS_MIN;
use crate::mint_quote::{Exchanged, StoreExchange, StoreNumbers};
use crate::session::{ChannelEvent, SendError};

/// A responder's end of one channel, without IO.
pub struct ResponderChannelCore {
    pool: Arc<Pool>,
    /// Sealed answers that wait for credit. No more requests are taken while a batch's worth
    /// waits, but for those ahead of a notice that the channel has changed: so there are at most
    /// two batches, and what the channel's credit lets wait.
    outgoing: VecDeque<(u8, Vec<u8>)>,
    /// The serial number of the last announcement that this instance of the pool was told.
    announced: u64,
    /// Which instance of the pool is there.
    instance: Option<u64>,
    /// The channel was closed, and not opened again since.
    is_closed: bool,
    /// Requests that were taken, until [`Self::take_batch`].
    requests: Vec<Request>,
    exchange: StoreExchange,
    standing: Standing,
    batch_max: usize,
    retry_after_ms: u32,
    rng: Box<dyn RngCore + Send>,
}

/// Whether this instance of the pool has told how far its store has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Unknown,
    /// It has; to be compared with the record, not before this time.
    Told {
        compare_at_ms: u64,
    },
    Comparing,
    Known,
}

impl ResponderChannelCore {
    /// For a channel that is said to come from `peer`: what comes on it has still to verify.
    /// `None` where `config` lists no such pool. `rng` makes nonces that nobody may foretell.
    pub fn new(
        identity: &Identity,
        config: &QuoteResponderConfig,
        peer: &str,
        rng: Box<dyn RngCore + Send>,
    ) -> Option<ResponderChannelCore> {
        let name: PeerName = peer.parse().ok()?;
        let keys: Vec<_> = config
            .pools
            .iter()
            .filter(|(pool, _)| *pool == name)
            .map(|(pool, public_key)| {
                let keys = PairKeys::derive(
                    identity.secret(),
                    public_key,
                    EXT_MINT_QUOTE,
                    Side::Responder,
                    pool.role(),
                    identity.role(),
                );
                (*public_key, keys)
            })
            .collect();
        if keys.is_empty() {
            return None;
        }
        Some(ResponderChannelCore {
            pool: Arc::new(Pool {
                text: name.to_string(),
                name,
                keys,
            }),
            outgoing: VecDeque::new(),
            announced: 0,
            instance: None,
            is_closed: false,
            requests: Vec::new(),
            exchange: StoreExchange::new(),
            standing: Standing::Unknown,
            batch_max: config.batch_max.max(1),
            retry_after_ms: config.retry_after_ms,
            rng,
        })
    }

    /// Whose channel it is.
    pub fn pool(&self) -> &PeerName {
        &self.pool.name
    }

    /// Whether the pool is there.
    pub fn is_pool_present(&self) -> bool {
        self.instance.is_some()
    }

    /// Whether the channel was closed: its place is for another, and the pool opens it again when
    /// it wants to.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// How many events to take at once now. Nothing can be sent before a change of the channel is
    /// heard, so that must not wait until something was sent.
    pub fn events_wanted(&self, has_change: bool) -> usize {
        match self.outgoing.len() < self.batch_max || has_change {
            true => self.batch_max,
            false => 0,
        }
    }

    /// Takes events of the channel. What the store has to do for them comes first
    /// ([`Self::numbers_wanted`], [`Self::comparison_wanted`]), then the requests among them
    /// ([`Self::take_batch`]).
    pub fn take_events(
        &mut self,
        events: impl IntoIterator<Item = ChannelEvent>,
        counts: &mut ResponderCounts,
    ) {
        let events: Vec<_> = events.into_iter().collect();
        // Who wrote them depends on nothing that they say, so it is found out about all of them at once.
        let messages = events.iter().filter_map(|event| match event {
            ChannelEvent::Message { msg_type, bytes } if !StoreExchange::takes(*msg_type) => {
                Some((*msg_type, &bytes[..]))
            }
            _ => None,
        });
        let mut taken = self.pool.take(messages).into_iter();
        for event in events {
            match event {
                ChannelEvent::Message { msg_type, bytes } if StoreExchange::takes(msg_type) => {
                    self.take_exchange(msg_type, &bytes, counts);
                }
                ChannelEvent::Message { .. } => {
                    let taken = taken.next().unwrap_or(Taken::Malformed);
                    self.take_message(taken, counts);
                }
                ChannelEvent::Present { instance } => {
                    self.is_closed = false;
                    self.set_instance(Some(instance));
                }
                ChannelEvent::Away | ChannelEvent::Lost => self.set_instance(None),
                ChannelEvent::Closed { code, detail } => {
                    self.is_closed = true;
                    self.set_instance(None);
                    tracing::info!(pool = %self.pool.name, ?code, ?detail, "the channel was closed");
                }
                // An answer that did not arrive is asked for again.
                ChannelEvent::Reject { .. }
                | ChannelEvent::GroupReject { .. }
                | ChannelEvent::RejectsOverflowed => {}
            }
        }
    }

    /// The requests that were taken. Nothing new is made for a pool that has not told how far its
    /// store has come.
    pub fn take_batch(&mut self) -> Option<QuoteBatch> {
        if self.requests.is_empty() {
            return None;
        }
        let requests = std::mem::take(&mut self.requests);
        let pool = Arc::clone(&self.pool);
        let is_known = self.standing == Standing::Known;
        Some(QuoteBatch::new(
            pool,
            requests,
            is_known,
            self.retry_after_ms,
        ))
    }

    /// Whether [`StoreNumbers`] of this [`Self::pool`] are to be read
    /// ([`numbers`](crate::answers::numbers)) and brought to [`Self::numbers_read`].
    pub fn numbers_wanted(&mut self, now_ms: u64) -> bool {
        self.exchange.numbers_wanted(now_ms)
    }

    /// How far the record has come with the pool; `None` where it could not be read.
    pub fn numbers_read(&mut self, numbers: Option<StoreNumbers>, now_ms: u64) {
        self.exchange.numbers_read(numbers, now_ms, &mut *self.rng);
    }

    /// What the pool has told, to be compared in a transaction; its outcome goes to
    /// [`Self::compared`].
    pub fn comparison_wanted(&mut self, now_ms: u64) -> Option<Comparison> {
        let far = self.exchange.far()?;
        match self.standing {
            Standing::Told { compare_at_ms } if compare_at_ms <= now_ms => {
                self.standing = Standing::Comparing;
                Some(Comparison::new(Arc::clone(&self.pool), far))
            }
            _ => None,
        }
    }

    /// What came of a comparison; `None` where the store failed, and it is tried again after a
    /// while.
    pub fn compared(
        &mut self,
        compared: Option<Compared>,
        now_ms: u64,
        counts: &mut ResponderCounts,
    ) {
        // Of an instance that is gone.
        let (Standing::Comparing, Some(far)) = (self.standing, self.exchange.far()) else {
            return;
        };
        self.standing = match compared {
            Some(compared) => {
                report(&self.pool.text, far.far, &compared, counts);
                Standing::Known
            }
            None => Standing::Told {
                compare_at_ms: now_ms.saturating_add(STORE_QUERY_DELAY_MS_MIN),
            },
        };
    }

    /// When to look again at the latest, and to [`Self::send`].
    pub fn next_timeout_ms(&self) -> Option<u64> {
        let compare_ms = match self.standing {
            Standing::Told { compare_at_ms } => Some(compare_at_ms),
            _ => None,
        };
        let exchange_ms = self.exchange.next_timeout_ms();
        exchange_ms.into_iter().chain(compare_ms).min()
    }

    fn take_message(&mut self, taken: Taken, counts: &mut ResponderCounts) {
        counts.received += 1;
        match taken {
            Taken::Request(request) => self.requests.push(request),
            Taken::Unauthentic {
                header_hash,
                digest,
            } => {
                counts.unauthentic += 1;
                counts.put_off += 1;
                self.refuse_unauthentic(&header_hash, digest);
            }
            Taken::Malformed => counts.malformed += 1,
        }
    }

    fn take_exchange(&mut self, msg_type: u8, bytes: &[u8], counts: &mut ResponderCounts) {
        let keys = self.pool.keys.iter().map(|(_, keys)| keys);
        match self.exchange.take(keys, msg_type, bytes) {
            Exchanged::Query => {}
            Exchanged::State => self.standing = Standing::Told { compare_at_ms: 0 },
            Exchanged::Unauthentic => {
                counts.stores_unauthentic += 1;
                tracing::debug!(pool = %self.pool.name, "nobody's word about a store");
            }
        }
    }

    fn refuse_unauthentic(&mut self, header_hash: &[u8; 32], request_digest: [u8; 32]) {
        tracing::warn!(pool = %self.pool.name, "a request's authenticator does not verify");
        self.queue(&[Reply {
            answer: temporary(
                header_hash,
                QuoteErrorCode::BadAuthenticator,
                "the authenticator does not verify",
                self.retry_after_ms,
            ),
            sequence: 0,
            request_digest,
            key_index: 0,
        }]);
    }

    /// Queues answers in their order; [`Self::send`] sends them.
    pub fn queue(&mut self, replies: &[Reply]) {
        // Nearly always all of them are under one key.
        for replies in replies.chunk_by(|one, next| one.key_index == next.key_index) {
            let key_index = replies.first().map(|reply| reply.key_index);
            let Some((_, keys)) = key_index.and_then(|index| self.pool.keys.get(index)) else {
                continue;
            };
            let messages = replies.iter().map(|reply| Unsealed {
                msg_type: reply.answer.msg_type,
                body: &reply.answer.body,
                sequence: reply.sequence,
                request_digest: Some(reply.request_digest),
            });
            let outgoing = &mut self.outgoing;
            keys.seal_all(messages, |message, authenticator| {
                let sealed = [message.body, &authenticator].concat();
                outgoing.push_back((message.msg_type, sealed));
            });
        }
    }

    /// Sends what credit allows: first how far the stores have come, then announcements, they are
    /// few. `announcements` is the state of every topic, by rising serial number.
    pub fn send(
        &mut self,
        channel: &mut impl SendChannel,
        announcements: &[Announcement],
        now_ms: u64,
    ) {
        if self.instance.is_none() {
            return;
        }
        let keys: Vec<&PairKeys> = self.pool.keys.iter().map(|(_, keys)| keys).collect();
        let exchanged = self.exchange.send(&keys, channel, now_ms, &mut *self.rng);
        if exchanged.is_err() || self.send_announcements(channel, announcements).is_err() {
            return;
        }
        while let Some((msg_type, sealed)) = self.outgoing.front() {
            match channel.try_send(*msg_type, sealed) {
                Ok(_) => {}
                Err(error @ SendError::TooLong { .. }) => {
                    tracing::error!(pool = %self.pool.name, %error, "an answer cannot be sent");
                }
                // The channel says when to go on.
                Err(_) => return,
            }
            self.outgoing.pop_front();
        }
    }

    fn send_announcements(
        &mut self,
        channel: &mut impl SendChannel,
        announcements: &[Announcement],
    ) -> Result<(), SendError> {
        for announcement in announcements {
            if announcement.serial <= self.announced {
                continue;
            }
            // While a pool changes its key it is not known which one it goes by: it gets both.
            for (_, keys) in &self.pool.keys {
                let sealed = keys.seal(
                    KeysetAnnouncement::MSG_TYPE,
                    &announcement.body,
                    announcement.serial,
                    None,
                );
                match channel.try_send(KeysetAnnouncement::MSG_TYPE, &sealed) {
                    Ok(_) => {}
                    Err(error @ SendError::TooLong { .. }) => {
                        tracing::error!(pool = %self.pool.name, %error, "a keyset cannot be sent");
                    }
                    Err(error) => return Err(error),
                }
            }
            self.announced = announcement.serial;
        }
        Ok(())
    }

    /// What waits is for the instance before; another one asks for itself, and is told all
    /// announcements.
    fn set_instance(&mut self, instance: Option<u64>) {
        if self.instance == instance {
            return;
        }
        self.outgoing.clear();
        self.announced = 0;
        self.instance = instance;
        self.standing = Standing::Unknown;
        match instance {
            Some(instance) => self.exchange.present(instance, &mut *self.rng),
            None => self.exchange.away(),
        }
    }
}
