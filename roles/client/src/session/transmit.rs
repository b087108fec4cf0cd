use std::collections::{BTreeMap, BTreeSet, VecDeque};

use winze_messages::families::hub::{self, Ping, Pong};
use winze_transport::Frame;

use super::channel::{Channel, Link, Part};
use super::error::{Misbehaviour, SessionError};
use super::{ChannelKey, SessionConfig, Woken};
use crate::limits::CONTROL_WAITING_MAX;

/// What waits to be written on this connection, beside the messages that lie with their channels.
#[derive(Default)]
pub(super) struct Outbound {
    /// At most [`CONTROL_WAITING_MAX`].
    control: VecDeque<Frame>,
    ping: Option<u64>,
    /// The nonce of the last ping of the hub: one pong answers several.
    pong: Option<u64>,
    /// Channels whose credit is to be raised: one message each, with the totals of the moment when
    /// it is written.
    credit_due: BTreeSet<ChannelKey>,
    /// Channels with messages to write.
    unsent: BTreeSet<ChannelKey>,
    /// Whose turn was last.
    last_turn: Option<ChannelKey>,
}

impl Outbound {
    pub(super) fn control(&mut self, frame: Frame) -> Result<(), SessionError> {
        if self.control.len() >= CONTROL_WAITING_MAX {
            return Err(Misbehaviour::ControlOverflow {
                answers_max: CONTROL_WAITING_MAX,
            }
            .into());
        }
        self.control.push_back(frame);
        Ok(())
    }

    pub(super) fn ping(&mut self, nonce: u64) {
        self.ping = Some(nonce);
    }

    pub(super) fn pong(&mut self, nonce: u64) {
        self.pong = Some(nonce);
    }

    pub(super) fn credit_due(&mut self, key: ChannelKey) {
        self.credit_due.insert(key);
    }

    pub(super) fn has_unsent(&mut self, key: ChannelKey) {
        self.unsent.insert(key);
    }

    pub(super) fn forget(&mut self, key: ChannelKey) {
        self.credit_due.remove(&key);
        self.unsent.remove(&key);
    }

    pub(super) fn control_waiting(&self) -> usize {
        self.control.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty()
            && self.pong.is_none()
            && self.ping.is_none()
            && self.credit_due.is_empty()
            && self.unsent.is_empty()
    }

    pub(super) fn poll(
        &mut self,
        channels: &mut BTreeMap<ChannelKey, Channel>,
        woken: &mut BTreeSet<Woken>,
        config: &SessionConfig,
    ) -> Option<Frame> {
        if let Some(frame) = self.control.pop_front() {
            return Some(frame);
        }
        // Messages of fixed size, which always have an encoding.
        if let Some(nonce) = self.pong.take() {
            return Pong { nonce }.to_frame().ok();
        }
        if let Some(nonce) = self.ping.take() {
            return Ping { nonce }.to_frame().ok();
        }
        while let Some(key) = self.credit_due.pop_first() {
            if let Some(frame) = channels.get_mut(&key).and_then(credit) {
                return Some(frame);
            }
        }
        while let Some(key) = self.next_turn() {
            self.last_turn = Some(key);
            let Some(channel) = channels.get_mut(&key) else {
                self.unsent.remove(&key);
                continue;
            };
            let frame = channel.unsent.pop_front();
            if channel.unsent.is_empty() {
                self.unsent.remove(&key);
            }
            if channel.starved && channel.unsent.len() <= config.unsent_messages_max / 2 {
                channel.starved = false;
                woken.insert(Woken::Channel(key));
                if channel.part == Part::Group {
                    wake_starved_members(channels, key, woken);
                }
            }
            if frame.is_some() {
                return frame;
            }
        }
        None
    }

    fn next_turn(&self) -> Option<ChannelKey> {
        let first = self.unsent.first().copied();
        match self.last_turn {
            None => first,
            Some(last) => self
                .unsent
                .range((std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded))
                .next()
                .copied()
                .or(first),
        }
    }
}

/// The owners of members whose messages wait in the queue of their group.
fn wake_starved_members(
    channels: &mut BTreeMap<ChannelKey, Channel>,
    group: ChannelKey,
    woken: &mut BTreeSet<Woken>,
) {
    for (key, channel) in channels {
        if channel.starved && channel.part == Part::Member(group) {
            channel.starved = false;
            woken.insert(Woken::Channel(*key));
        }
    }
}

fn credit(channel: &mut Channel) -> Option<Frame> {
    let Link::Open(link) = &mut channel.link else {
        return None;
    };
    let total = link.receive.grant();
    hub::Credit {
        channel_id: link.channel_id,
        messages: total.messages,
        bytes: total.bytes,
    }
    .to_frame()
    .ok()
}
