//! A party's connection to the hub: the real session, and the glue that dials.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, RngCore};
use winze_client::Identity;
use winze_client::delivery::SendChannel;
use winze_client::session::{
    ChannelEnd, ChannelEvent, ChannelKey, ChannelName, Credit, SendError, SessionConfig,
    SessionCore, SessionError, Woken,
};
use winze_hub::core::ConnId;
use winze_messages::EXT_MINT_QUOTE;
use winze_transport::Frame;

use crate::chat::VENDOR;

/// What a channel's owner was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The channel is not open.
    Closed,
    /// It is open, and the far end away.
    Away,
    /// The far end is there as this instance.
    Present(u64),
}

/// See the [module](self).
pub struct Client {
    /// Who it is.
    pub identity: Identity,
    /// The real thing.
    pub session: SessionCore,
    /// Its connection, if it has one.
    pub conn: Option<ConnId>,
    /// When it dials next, without a connection.
    pub dial_at_ms: u64,
    attempts: u32,
    /// The owners that have something to look at.
    pub woken: BTreeSet<Woken>,
    /// What each owner was told.
    pub views: BTreeMap<ChannelKey, View>,
    /// It takes nothing from its socket before.
    pub reads_again_ms: u64,
}

/// A channel of a client, for what sends on it.
pub struct Sending<'a> {
    session: &'a mut SessionCore,
    key: ChannelKey,
}

impl SendChannel for Sending<'_> {
    fn send_credit(&self) -> Credit {
        self.session.send_credit(self.key)
    }

    fn try_send(&mut self, msg_type: u8, bytes: &[u8]) -> Result<u64, SendError> {
        self.session.send(self.key, msg_type, bytes)
    }
}

impl Client {
    /// A process that has just been started.
    pub fn new(identity: Identity, now_ms: u64) -> Client {
        let config = SessionConfig {
            endpoint_host: "hub".to_owned(),
            endpoint_port: 1,
            extensions: vec![EXT_MINT_QUOTE, VENDOR],
            setup_timeout_ms: 2_000,
            payload_bytes_max: 4_096,
            window: Credit {
                messages: 4,
                bytes: 8_192,
            },
            unsent_messages_max: 4,
        };
        Client {
            session: SessionCore::new(identity.clone(), config),
            identity,
            conn: None,
            dial_at_ms: now_ms,
            attempts: 0,
            woken: BTreeSet::new(),
            views: BTreeMap::new(),
            reads_again_ms: 0,
        }
    }

    /// The sending side of a channel.
    pub fn sending(&mut self, key: ChannelKey) -> Sending<'_> {
        Sending {
            session: &mut self.session,
            key,
        }
    }

    /// The name of a channel, and which end of it this is.
    pub fn name(&self, key: ChannelKey) -> Option<(ChannelName, ChannelEnd)> {
        let (name, end) = self.session.channel(key)?;
        Some((name.clone(), end))
    }

    /// Takes up to `events_max` events; where more wait, the owner stays woken.
    pub fn take_events(&mut self, key: ChannelKey, events_max: usize) -> Vec<ChannelEvent> {
        let mut events = Vec::new();
        while events.len() < events_max
            && let Some(event) = self.session.take_event(key)
        {
            let view = match event {
                ChannelEvent::Present { instance } => Some(View::Present(instance)),
                ChannelEvent::Away => Some(View::Away),
                ChannelEvent::Lost | ChannelEvent::Closed { .. } => Some(View::Closed),
                _ => None,
            };
            if let Some(view) = view {
                self.views.insert(key, view);
            }
            events.push(event);
        }
        if self.session.has_events(key) {
            self.woken.insert(Woken::Channel(key));
        }
        events
    }

    /// Whether this owner was woken since the last time.
    pub fn was_woken(&mut self, owner: Woken) -> bool {
        while let Some(woken) = self.session.poll_woken() {
            self.woken.insert(woken);
        }
        self.woken.remove(&owner)
    }

    /// Whether an owner has something to look at.
    pub fn has_woken(&mut self) -> bool {
        while let Some(woken) = self.session.poll_woken() {
            self.woken.insert(woken);
        }
        !self.woken.is_empty()
    }

    /// Frames from the hub, and the time.
    pub fn drive(&mut self, frames: Vec<Frame>, now_ms: u64) -> Result<(), SessionError> {
        for frame in frames {
            self.session.handle_frame(frame, now_ms)?;
        }
        if self
            .session
            .next_timeout_ms()
            .is_some_and(|at| at <= now_ms)
        {
            self.session.handle_timeout(now_ms)?;
        }
        if self.session.is_ready() {
            self.attempts = 0;
        }
        Ok(())
    }

    /// The connection has ended. It is dialled again after a pause that grows, and not before the
    /// hub wants it to.
    pub fn ended(&mut self, error: Option<&SessionError>, now_ms: u64, rng: &mut dyn RngCore) {
        self.conn = None;
        self.session.disconnected();
        let asked_ms = match error {
            Some(
                SessionError::Closed { retry_after_ms, .. }
                | SessionError::Refused { retry_after_ms, .. },
            ) => u64::from(*retry_after_ms),
            _ => 0,
        };
        let top_ms = (100u64 << self.attempts.min(5)).min(2_000);
        self.attempts += 1;
        self.dial_at_ms = now_ms + rng.gen_range(top_ms / 2..=top_ms).max(asked_ms);
    }
}
