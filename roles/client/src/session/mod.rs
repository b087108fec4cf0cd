//! A client's side of the hub protocol, without IO: frames and time in, frames and events out.
//!
//! [`SessionCore`] outlives connections. Its owner calls [`connected`](SessionCore::connected)
//! after each handshake, hands in what comes with [`handle_frame`](SessionCore::handle_frame),
//! calls [`handle_timeout`](SessionCore::handle_timeout) when
//! [`next_timeout_ms`](SessionCore::next_timeout_ms) has passed, writes what
//! [`poll_transmit`](SessionCore::poll_transmit) gives and then wakes whom
//! [`poll_woken`](SessionCore::poll_woken) names. An error ends the connection:
//! [`disconnected`](SessionCore::disconnected), then dial again. Channels stay, and are opened
//! again on the next connection.

mod channel;
mod credit;
mod error;
mod group;
mod inbox;
mod keep_alive;
mod listener;
mod load;
mod ordinals;
mod receive;
mod send;
mod setup;
mod transmit;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use winze_messages::families::hub::CloseChannel;
use winze_messages::names::is_label;
use winze_messages::{EXT_HUB, PeerName};
use winze_transport::{Frame, Transcript};

pub use channel::{ChannelEnd, ChannelName};
pub use credit::Credit;
pub use error::{Misbehaviour, OpenError, SendError, SessionError, Step};
pub use group::GroupMemberState;
pub use inbox::ChannelEvent;
pub use listener::OfferFilter;
pub use load::SessionLoad;

use crate::identity::Identity;
use channel::{Channel, Link, Part};
use group::{Group, is_group};
use keep_alive::KeepAlive;
use listener::Listener;
use setup::{Agreed, Setup};
use transmit::Outbound;

/// What a session needs to know beside its identity.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The host that is dialled, for `SetupConnection`.
    pub endpoint_host: String,
    /// The port that is dialled, for `SetupConnection`.
    pub endpoint_port: u16,
    /// Families to negotiate beside the hub's, without the channel bit.
    pub extensions: Vec<u16>,
    /// From the handshake to `Authenticate.Success`, in milliseconds.
    pub setup_timeout_ms: u64,
    /// The longest payload that is taken, in bytes.
    pub payload_bytes_max: usize,
    /// What may wait on a channel for its owner. In bytes, twice the largest payload is granted at
    /// least.
    pub window: Credit,
    /// Messages of one channel that may wait to be written.
    pub unsent_messages_max: usize,
}

/// Names a channel towards its core for as long as the core lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelKey(u64);

/// Names a listener towards its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerKey(u16);

/// Who has something new to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Woken {
    /// A channel's owner: an event, credit, or room for messages; a group's also when a member joins, comes, goes or gets
    /// credit.
    Channel(ChannelKey),
    /// A listener: an accepted channel.
    Listener(ListenerKey),
}

/// What a core has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// `Reject`s received.
    pub rejects: u64,
    /// Messages ignored: of an unknown extension, or of a channel that is gone.
    pub ignored: u64,
    /// Offers refused because no listener wants them, and members of groups because too many channels of members that
    /// are gone are still held.
    pub offers_refused: u64,
}

/// The state machine. See the [module](self).
pub struct SessionCore {
    identity: Identity,
    config: SessionConfig,
    phase: Phase,
    channels: BTreeMap<ChannelKey, Channel>,
    next_channel: u64,
    /// The channels that the hub has, by its id of them.
    by_id: BTreeMap<u32, ChannelKey>,
    /// The channels that it was asked for.
    by_request: BTreeMap<u32, ChannelKey>,
    next_request: u32,
    listeners: BTreeMap<ListenerKey, Listener>,
    /// The members of the channels to groups.
    groups: BTreeMap<ChannelKey, Group>,
    outbound: Outbound,
    woken: BTreeSet<Woken>,
    counts: SessionCounts,
}

enum Phase {
    Offline,
    Setup(Setup),
    Ready(Ready),
}

struct Ready {
    /// When to reconnect by ourselves: the hub has asked for it.
    reconnect_at_ms: Option<u64>,
    extensions: Vec<u16>,
    payload_bytes_max: usize,
    keep_alive: KeepAlive,
}

impl SessionCore {
    /// A core that is not connected.
    pub fn new(identity: Identity, config: SessionConfig) -> SessionCore {
        SessionCore {
            identity,
            config,
            phase: Phase::Offline,
            channels: BTreeMap::new(),
            next_channel: 0,
            by_id: BTreeMap::new(),
            by_request: BTreeMap::new(),
            next_request: 0,
            listeners: BTreeMap::new(),
            groups: BTreeMap::new(),
            outbound: Outbound::default(),
            woken: BTreeSet::new(),
            counts: SessionCounts::default(),
        }
    }

    // ---- the connection

    /// The handshake is done. `aux_rand` is fresh randomness, for the signature that says who we
    /// are.
    pub fn connected(
        &mut self,
        transcript: &Transcript,
        aux_rand: [u8; 32],
        now_ms: u64,
    ) -> Result<(), SessionError> {
        self.disconnected();
        let (setup, hello) = Setup::start(&self.config, transcript, aux_rand, now_ms)?;
        self.phase = Phase::Setup(setup);
        self.outbound.control(hello)
    }

    /// The connection is gone, for whatever reason. What waited to be written is dropped, and
    /// every channel's owner hears of it.
    pub fn disconnected(&mut self) {
        self.phase = Phase::Offline;
        self.outbound = Outbound::default();
        self.by_id.clear();
        self.by_request.clear();
        self.channels.retain(|_, channel| !channel.abandoned);
        for (key, channel) in &mut self.channels {
            channel.lost();
            self.woken.insert(Woken::Channel(*key));
        }
    }

    /// When [`Self::handle_timeout`] is to be called next, unless something else happens before.
    pub fn next_timeout_ms(&self) -> Option<u64> {
        match &self.phase {
            Phase::Offline => None,
            Phase::Setup(setup) => Some(setup.deadline_ms),
            Phase::Ready(ready) => {
                let reopen = self
                    .channels
                    .values()
                    .filter_map(|channel| match channel.link {
                        Link::Refused { until_ms } => Some(until_ms),
                        _ => None,
                    });
                Some(
                    reopen
                        .min()
                        .unwrap_or(u64::MAX)
                        .min(ready.keep_alive.next_timeout_ms())
                        .min(ready.reconnect_at_ms.unwrap_or(u64::MAX)),
                )
            }
        }
    }

    /// Time has passed: gives up, pings, opens again what was refused.
    pub fn handle_timeout(&mut self, now_ms: u64) -> Result<(), SessionError> {
        match &mut self.phase {
            Phase::Offline => return Ok(()),
            Phase::Setup(setup) if now_ms >= setup.deadline_ms => return Err(setup.timed_out()),
            Phase::Setup(_) => return Ok(()),
            Phase::Ready(ready) => {
                if ready.reconnect_at_ms.is_some_and(|at_ms| now_ms >= at_ms) {
                    return Err(SessionError::Reconnect);
                }
                if let Some(nonce) = ready.keep_alive.handle_timeout(now_ms)? {
                    self.outbound.ping(nonce);
                }
            }
        }
        let due: Vec<ChannelKey> = self
            .channels
            .iter()
            .filter(|(_, channel)| {
                matches!(channel.link, Link::Refused { until_ms } if until_ms <= now_ms)
            })
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.request_open(key, now_ms)?;
        }
        Ok(())
    }

    /// Whether the hub has let us in.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready(_))
    }

    /// The longest payload to take and to send at present, in bytes.
    pub fn payload_bytes_max(&self) -> usize {
        match &self.phase {
            Phase::Ready(ready) => ready.payload_bytes_max,
            _ => crate::limits::SETUP_PAYLOAD_BYTES_MAX,
        }
    }

    /// The next frame to write, or `None` until something happens. Control messages come first,
    /// then credit, then one message of each channel in turn.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        self.outbound
            .poll(&mut self.channels, &mut self.woken, &self.config)
    }

    /// Whether [`Self::poll_transmit`] has something to give.
    pub fn wants_to_transmit(&self) -> bool {
        !self.outbound.is_empty()
    }

    /// The next owner that has something to look at.
    pub fn poll_woken(&mut self) -> Option<Woken> {
        self.woken.pop_first()
    }

    /// What was counted so far.
    pub fn counts(&self) -> SessionCounts {
        self.counts
    }

    /// Whether the hub has asked us to reconnect: what waits is finished, and nothing new is begun.
    fn is_leaving(&self) -> bool {
        matches!(&self.phase, Phase::Ready(ready) if ready.reconnect_at_ms.is_some())
    }

    fn ready_up(&mut self, agreed: Agreed, now_ms: u64) -> Result<(), SessionError> {
        let limits = agreed.limits;
        let theirs = usize::try_from(limits.payload_bytes_max).unwrap_or(usize::MAX);
        self.phase = Phase::Ready(Ready {
            reconnect_at_ms: None,
            extensions: agreed.extensions,
            payload_bytes_max: theirs.min(self.config.payload_bytes_max),
            keep_alive: KeepAlive::new(limits.ping_interval_ms, limits.idle_timeout_ms, now_ms),
        });
        let openers: Vec<ChannelKey> = self
            .channels
            .iter()
            .filter(|(_, channel)| channel.is_asked_for())
            .map(|(key, _)| *key)
            .collect();
        for key in openers {
            self.request_open(key, now_ms)?;
        }
        Ok(())
    }

    // ---- channels

    /// Wants a channel to `peer`, from now until [`Self::close`]: it is opened as soon as there is a
    /// connection, and again after each reconnect.
    pub fn open(
        &mut self,
        extension: u16,
        peer: &PeerName,
        label: &str,
        now_ms: u64,
    ) -> Result<ChannelKey, OpenError> {
        if is_group(peer) {
            return Err(OpenError::IsAGroup {
                peer: peer.to_string(),
            });
        }
        self.open_part(extension, peer, label, Part::Pair, now_ms)
    }

    fn open_part(
        &mut self,
        extension: u16,
        peer: &PeerName,
        label: &str,
        part: Part,
        now_ms: u64,
    ) -> Result<ChannelKey, OpenError> {
        if !is_label(label) {
            return Err(OpenError::BadLabel {
                label: label.to_owned(),
            });
        }
        if extension == EXT_HUB || !self.config.extensions.contains(&extension) {
            return Err(OpenError::NotNegotiated { extension });
        }
        let name = ChannelName {
            extension,
            peer: peer.to_string(),
            label: label.to_owned(),
        };
        let taken = self
            .channels
            .values()
            .any(|channel| channel.is_asked_for() && !channel.abandoned && channel.name == name);
        if taken {
            return Err(OpenError::AlreadyOpen {
                extension,
                peer: name.peer,
                label: name.label,
            });
        }
        let mut channel = Channel::new(name, ChannelEnd::Opener);
        channel.part = part;
        let key = self.add_channel(channel);
        if self.is_ready() && self.request_open(key, now_ms).is_err() {
            // The queue of control messages is full; it is asked for again in a while.
            if let Some(channel) = self.channels.get_mut(&key) {
                channel.link = Link::Refused { until_ms: now_ms };
            }
        }
        Ok(key)
    }

    /// The next event of a channel. Taking a message is what raises the credit for more of them.
    pub fn take_event(&mut self, key: ChannelKey) -> Option<ChannelEvent> {
        let channel = self.channels.get_mut(&key)?;
        let event = channel.inbox.pop()?;
        if let ChannelEvent::Message { bytes, .. } = &event
            && let Some(link) = channel.open_link()
        {
            link.receive.take(payload_bytes(bytes));
            if link.receive.is_due() {
                self.outbound.credit_due(key);
            }
        }
        Some(event)
    }

    /// Whether [`Self::take_event`] has something to give.
    pub fn has_events(&self, key: ChannelKey) -> bool {
        self.channels
            .get(&key)
            .is_some_and(|channel| !channel.inbox.is_empty())
    }

    /// Whether one of the events that wait is a change of the channel itself, which its owner must
    /// take before it can send.
    pub fn has_change(&self, key: ChannelKey) -> bool {
        self.channels
            .get(&key)
            .is_some_and(|channel| channel.inbox.has_change())
    }

    /// The channel's name, and which end of it this is.
    pub fn channel(&self, key: ChannelKey) -> Option<(&ChannelName, ChannelEnd)> {
        let channel = self.channels.get(&key)?;
        Some((&channel.name, channel.end))
    }

    /// Gives a channel up, here and on the hub; one to a group with those to its members.
    pub fn close(&mut self, key: ChannelKey) {
        self.close_members(key);
        self.detach(key);
        let Some(channel) = self.channels.get_mut(&key) else {
            return;
        };
        match &channel.link {
            // Its id is not known yet; it is closed when it is.
            Link::Opening => channel.abandoned = true,
            Link::Open(link) => {
                let channel_id = link.channel_id;
                self.by_id.remove(&channel_id);
                self.forget(key);
                self.close_on_hub(channel_id);
            }
            Link::Down | Link::Refused { .. } => self.forget(key),
        }
    }

    fn close_on_hub(&mut self, channel_id: u32) {
        let close = CloseChannel {
            channel_id,
            reason_code: "done".to_owned(),
            detail: String::new(),
        };
        if let Ok(frame) = close.to_frame()
            && self.outbound.control(frame).is_err()
        {
            // The connection ends at the next message of the hub for the same reason, and the
            // channel with it.
            self.counts.ignored += 1;
        }
    }

    fn add_channel(&mut self, channel: Channel) -> ChannelKey {
        let key = ChannelKey(self.next_channel);
        self.next_channel += 1;
        self.channels.insert(key, channel);
        key
    }

    fn forget(&mut self, key: ChannelKey) {
        if let Some(channel) = self.channels.remove(&key) {
            self.forget_member(key, channel.part);
        }
        self.outbound.forget(key);
        self.woken.remove(&Woken::Channel(key));
        for listener in self.listeners.values_mut() {
            listener.forget(key);
        }
    }

    /// Asks the hub for a channel, where it offers the channel's extension at all.
    fn request_open(&mut self, key: ChannelKey, now_ms: u64) -> Result<(), SessionError> {
        let window = self.window();
        let Phase::Ready(ready) = &self.phase else {
            return Ok(());
        };
        let Some(channel) = self.channels.get_mut(&key) else {
            return Ok(());
        };
        if !ready.extensions.contains(&channel.name.extension) {
            channel.refused(
                "extension-not-negotiated".to_owned(),
                "the hub does not offer it".to_owned(),
                now_ms,
            );
            self.woken.insert(Woken::Channel(key));
            return Ok(());
        }
        self.next_request = self.next_request.wrapping_add(1);
        let request_id = self.next_request;
        let request = channel.request(request_id, window).to_frame()?;
        self.outbound.control(request)?;
        channel.link = Link::Opening;
        self.by_request.insert(request_id, key);
        Ok(())
    }

    /// What is granted on a new channel.
    fn window(&self) -> Credit {
        let payload_bytes_max = self.payload_bytes_max() as u64;
        Credit {
            messages: self.config.window.messages.max(2),
            bytes: self.config.window.bytes.max(payload_bytes_max * 2),
        }
    }
}

/// What a message counts, by what is behind its channel id.
fn payload_bytes(bytes: &[u8]) -> u64 {
    bytes.len() as u64 + winze_messages::codec::message::CHANNEL_ID_BYTES as u64
}
