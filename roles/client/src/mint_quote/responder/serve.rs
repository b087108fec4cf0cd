//! The tasks: one that takes channels, one for each of them.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use winze_messages::families::mint_quote::{KeysetAnnouncement, QuoteErrorCode};
use winze_messages::{EXT_MINT_QUOTE, PairKeys, PeerName, Side};

use super::asked::{Pool, Taken};
use super::batch::{Reply, answer, temporary};
use super::shared::Shared;
use crate::answers::Announcement;
use crate::hub_client::{ChannelHandle, ChannelListener};
use crate::identity::Identity;
use crate::limits::HOUSEKEEPING_MS;
use crate::session::{ChannelEvent, SendError};

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
            let Some(pool) = pool_of(&shared, &identity, &channel) else {
                continue;
            };
            tracing::info!(pool = %pool.name, "a pool has opened a channel");
            let serving = Serving::new(Arc::clone(&shared), channel, pool);
            channels.spawn(serving.run(stopped.clone()));
        }
    };
    tokio::select! {
        () = accept_all => {}
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

/// The pool that the channel is said to come from, with its keys: what it sends has still to
/// verify.
fn pool_of(shared: &Shared, identity: &Identity, channel: &ChannelHandle) -> Option<Arc<Pool>> {
    let name: PeerName = channel.name().peer.parse().ok()?;
    let keys: Vec<_> = shared
        .config
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
    Some(Arc::new(Pool {
        text: name.to_string(),
        name,
        keys,
    }))
}

/// One pool's channel.
struct Serving {
    shared: Arc<Shared>,
    channel: ChannelHandle,
    pool: Arc<Pool>,
    /// Sealed answers that wait for credit. No more requests are taken while a batch's worth
    /// waits, but for those ahead of a notice that the channel has changed: so there are at most
    /// two batches, and what the channel's credit lets wait.
    outgoing: VecDeque<(u8, Vec<u8>)>,
    announcements: watch::Receiver<Arc<Vec<Announcement>>>,
    /// The serial number of the last one that this instance of the pool was told.
    announced: u64,
    /// Which instance of the pool is there.
    instance: Option<u64>,
    batch_max: usize,
}

impl Serving {
    fn new(shared: Arc<Shared>, channel: ChannelHandle, pool: Arc<Pool>) -> Serving {
        Serving {
            announcements: shared.announcements.subscribe(),
            batch_max: shared.config.batch_max.max(1),
            shared,
            channel,
            pool,
            outgoing: VecDeque::new(),
            announced: 0,
            instance: None,
        }
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut events = Vec::new();
        loop {
            self.send();
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
            }
            self.send();
            // Nothing can be sent before a change of the channel is heard, so that must not wait
            // until something was sent.
            if self.outgoing.len() < self.batch_max || self.channel.has_change() {
                self.channel.take_events(&mut events, self.batch_max);
                if self.handle(&mut events).await.is_break() {
                    break;
                }
            }
        }
        self.send();
        self.set_instance(None);
    }

    /// Breaks when the channel was closed: its place is for another, and the pool opens it again
    /// when it wants to.
    async fn handle(&mut self, events: &mut Vec<ChannelEvent>) -> ControlFlow<()> {
        let mut requests = Vec::new();
        let mut is_closed = false;
        for event in events.drain(..) {
            match event {
                ChannelEvent::Message { msg_type, bytes } => {
                    self.shared.count(|counts| counts.received += 1);
                    match self.pool.take(msg_type, &bytes) {
                        Taken::Request(request) => requests.push(request),
                        Taken::Unauthentic {
                            header_hash,
                            digest,
                        } => self.refuse_unauthentic(&header_hash, digest),
                        Taken::Malformed => {
                            self.shared.count(|counts| counts.malformed += 1);
                        }
                    }
                }
                ChannelEvent::Present { instance } => {
                    is_closed = false;
                    self.set_instance(Some(instance));
                }
                ChannelEvent::Away | ChannelEvent::Lost => self.set_instance(None),
                ChannelEvent::Closed { code, detail } => {
                    is_closed = true;
                    self.set_instance(None);
                    tracing::info!(pool = %self.pool.name, ?code, ?detail, "the channel was closed");
                }
                // An answer that did not arrive is asked for again.
                ChannelEvent::Reject { .. } | ChannelEvent::RejectsOverflowed => {}
            }
        }
        if is_closed && !self.channel.has_events() {
            return ControlFlow::Break(());
        }
        if !requests.is_empty() {
            for reply in answer(&self.shared, &self.pool, requests).await {
                self.queue(&reply);
            }
        }
        ControlFlow::Continue(())
    }

    fn refuse_unauthentic(&mut self, header_hash: &[u8; 32], request_digest: [u8; 32]) {
        self.shared.count(|counts| {
            counts.unauthentic += 1;
            counts.put_off += 1;
        });
        tracing::warn!(pool = %self.pool.name, "a request's authenticator does not verify");
        self.queue(&Reply {
            answer: temporary(
                header_hash,
                QuoteErrorCode::BadAuthenticator,
                "the authenticator does not verify",
                self.shared.config.retry_after_ms,
            ),
            sequence: 0,
            request_digest,
            key_index: 0,
        });
    }

    fn queue(&mut self, reply: &Reply) {
        let Some((_, keys)) = self.pool.keys.get(reply.key_index) else {
            return;
        };
        let msg_type = reply.answer.msg_type;
        let sealed = keys.seal(
            msg_type,
            &reply.answer.body,
            reply.sequence,
            Some(reply.request_digest),
        );
        self.outgoing.push_back((msg_type, sealed));
    }

    /// Sends what credit allows: announcements first, they are few.
    fn send(&mut self) {
        if self.instance.is_none() || self.send_announcements().is_err() {
            return;
        }
        while let Some((msg_type, sealed)) = self.outgoing.front() {
            match self.channel.try_send(*msg_type, sealed) {
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

    fn send_announcements(&mut self) -> Result<(), SendError> {
        let current = Arc::clone(&self.announcements.borrow_and_update());
        for announcement in current.iter() {
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
                match self.channel.try_send(KeysetAnnouncement::MSG_TYPE, &sealed) {
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
        match (self.instance, instance) {
            (None, Some(_)) => {
                self.shared.pools_present.fetch_add(1, Ordering::Relaxed);
            }
            (Some(_), None) => {
                self.shared.pools_present.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
        self.instance = instance;
    }
}
