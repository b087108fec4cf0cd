//! Channels to groups (specification, section 3.6): a member's channel is a channel like any other, and what comes on
//! the group's own id is copied to each of them.

use std::sync::Arc;

use winze_messages::names::PeerName;
use winze_transport::Frame;

use super::channels::ChannelName;
use super::credit::Totals;
use super::end::{End, EndRef, Far};
use super::event::Event;
use super::open::{Refusal, Request};
use super::outgoing::Outgoing;
use super::reasons::{ChannelCloseReason, RejectReason};
use super::registry::{PeerId, Registry};
use super::{HubCore, is_foreign};
use crate::sabotage::{Rule, is_broken};

impl HubCore {
    /// Opens a channel to a group, and one to each member but the opener and those that are behind.
    pub(super) fn open_group(
        &mut self,
        request: &Request,
        name: ChannelName,
    ) -> Result<(), Refusal> {
        let members = self.registry.members(name.acceptor).iter().copied();
        let members: Vec<PeerId> = members
            .filter(|id| *id != name.opener && !self.is_behind(name.opener, *id))
            .collect();
        let mut names = vec![name.clone()];
        names.extend(members.iter().map(|id| member_name(&name, *id)));
        self.make_room(request.conn, &names)?;
        let (opener, group, extension) = (name.opener, name.acceptor, name.extension);
        let inbound = self.new_inbound();
        let end = |name| End::to_group(name, request.request_id, inbound, request.credit);
        let Some(opened) = self.place_opener(request.conn, name, end) else {
            return Ok(());
        };
        self.schedule(opened);
        for member in &members {
            self.add_member(opened, request.instance, *member);
        }
        self.events.push(Event::GroupOpened {
            opener: self.registry.name(opener).clone(),
            group: self.registry.name(group).clone(),
            extension,
            members: members.len(),
        });
        Ok(())
    }

    /// Opens the channel to one member. There is room for it.
    fn add_member(&mut self, group: EndRef, instance: u64, member: PeerId) {
        let Some(end) = self.end_mut(group) else {
            return;
        };
        let group_received = end.inbound.received();
        let Some(credit) = end.fan.as_ref().map(|fan| fan.credit) else {
            return;
        };
        let name = member_name(&end.name, member);
        let inbound = self.new_inbound();
        let peer: PeerName = self.registry.name(member).clone();
        let begins = (group.channel_id, group_received);
        let end = |name| End::to_member(name, peer, begins, inbound, credit);
        let Some(opened) = self.place_opener(group.conn, name, end) else {
            return;
        };
        if let Some(fan) = self.end_mut(group).and_then(|end| end.fan.as_mut()) {
            fan.add(opened.channel_id);
        }
        self.meet(opened, instance, member);
    }

    /// Copies a message on the group's id to every member that can have it. The others' refusals are told on their own
    /// channels.
    pub(super) fn fan_out(&mut self, group: EndRef, group_ordinal: u64, frame: Frame) {
        let payload_bytes = frame.payload.len();
        let is_foreign = is_foreign(frame.extension());
        let members = self.take_members(group);
        let frame = Arc::new(frame);
        let mut refused = 0;
        for channel_id in &members {
            let own = EndRef {
                conn: group.conn,
                channel_id: *channel_id,
            };
            let Some(end) = self.end_mut(own) else {
                continue;
            };
            if is_foreign {
                end.note_foreign_traffic();
            }
            let copy = end.inbound.receive_copy(payload_bytes);
            let destination = end.destination();
            if copy.is_within_credit
                && let Some(far) = destination
            {
                end.reaches(far);
            }
            let (reason, text) = match destination {
                None => (RejectReason::PeerAway, PEER_AWAY),
                Some(_) if !copy.is_within_credit => (RejectReason::NoCredit, NO_CREDIT),
                Some(far) => {
                    let astray =
                        is_broken(Rule::MemberAlone) && members.first() == Some(channel_id);
                    let other = astray.then(|| self.misdirected(own, &members)).flatten();
                    let far = other.unwrap_or(far);
                    let copy = Outgoing::Copy {
                        frame: Arc::clone(&frame),
                        channel_id: far.end.channel_id,
                    };
                    if self.deliver(far.end, copy) {
                        continue;
                    }
                    (RejectReason::PeerAway, PEER_AWAY)
                }
            };
            refused += 1;
            self.counters.rejected(reason);
            if let Some(end) = self.end_mut(own) {
                end.inbound.take(Totals::one(payload_bytes));
                end.refuse_copy(copy.ordinal, group_ordinal, reason, text);
            }
            self.schedule(own);
        }
        self.give_members_back(group, members);
        if let Some(end) = self.end_mut(group) {
            match &mut end.fan {
                Some(fan) if refused > 0 => {
                    fan.not_delivered(group_ordinal, payload_bytes, refused);
                }
                _ => end.inbound.take(Totals::one(payload_bytes)),
            }
        }
        self.schedule(group);
    }

    /// A message on the group's id was refused for its own sake. It counts on the members' channels all the same, so that
    /// the opener, who counted it when it sent it, and the hub agree about them.
    pub(super) fn count_on_members(&mut self, group: EndRef, payload_bytes: usize) {
        let members = self.take_members(group);
        for channel_id in &members {
            let own = EndRef {
                conn: group.conn,
                channel_id: *channel_id,
            };
            if let Some(end) = self.end_mut(own) {
                end.inbound.receive_copy(payload_bytes);
                end.inbound.take(Totals::one(payload_bytes));
            }
            self.schedule(own);
        }
        self.give_members_back(group, members);
    }

    fn take_members(&mut self, group: EndRef) -> Vec<u32> {
        let fan = self.end_mut(group).and_then(|end| end.fan.as_mut());
        fan.map_or_else(Vec::new, |fan| fan.take())
    }

    fn give_members_back(&mut self, group: EndRef, members: Vec<u32>) {
        if let Some(fan) = self.end_mut(group).and_then(|end| end.fan.as_mut()) {
            fan.give_back(members);
        }
    }

    /// Opens the channels to members that have joined groups since `before`, and ends the channels to groups that have
    /// no room for them. How many of the latter.
    pub(super) fn join_groups(&mut self, before: &Registry) -> usize {
        let mut ended = 0;
        for (group, joined) in self.registry.joined_since(before) {
            let open: Vec<(Arc<ChannelName>, EndRef)> = self
                .channels
                .of_acceptor(group)
                .filter_map(|(name, channel)| Some((Arc::clone(name), channel.opener?)))
                .collect();
            for (name, opened) in open {
                let mut members = joined.iter().filter(|id| **id != name.opener);
                if !members.all(|member| self.join_group(&name, opened, *member)) {
                    self.end_group(&name, opened);
                    ended += 1;
                }
            }
        }
        ended
    }

    /// Whether a member is left out, as if it had closed its channel: it has yet to take the end of too many, and by
    /// that could keep the opener from the others.
    fn is_behind(&self, opener: PeerId, member: PeerId) -> bool {
        self.ends_closing(opener, member) >= self.limits.channels_per_pair_max as usize
    }

    /// False when there is no room.
    fn join_group(&mut self, name: &ChannelName, opened: EndRef, member: PeerId) -> bool {
        if self.is_behind(name.opener, member) {
            return true;
        }
        let names = [member_name(name, member)];
        if self.make_room(opened.conn, &names).is_err() {
            return false;
        }
        if let Some((_, instance)) = self.identity(opened.conn) {
            self.add_member(opened, instance, member);
        }
        true
    }

    /// The hub ends a channel to a group, and with it those to its members.
    fn end_group(&mut self, name: &ChannelName, group: EndRef) {
        const TEXT: &str = "there is no room for a member that has joined the group";
        let reason = ChannelCloseReason::TooManyChannels;
        self.channels.remove(name);
        let ends = self.end_mut(group).and_then(|end| end.fan.as_ref());
        for channel_id in ends.map_or_else(Vec::new, |fan| fan.members().to_vec()) {
            let own = EndRef {
                conn: group.conn,
                channel_id,
            };
            let Some(name) = self.end_mut(own).map(|end| Arc::clone(&end.name)) else {
                continue;
            };
            // One that is closing already has its name free.
            let channel = self.channels.get(&name);
            if channel.is_some_and(|channel| channel.opener == Some(own)) {
                self.end_channel(&name, reason, TEXT);
            }
        }
        self.say_closed(group, reason, TEXT.to_owned());
    }

    /// Only under sabotage: where another member of the group that a channel belongs to is to be found.
    pub(super) fn misdirected_among(&self, own: EndRef, group: Option<u32>) -> Option<Far> {
        if !is_broken(Rule::MemberAlone) {
            return None;
        }
        let fan = self
            .connections
            .get(&own.conn)?
            .end_at(group?)?
            .fan
            .as_ref()?;
        self.misdirected(own, fan.members())
    }

    /// Only under sabotage: where another one of `members` is to be found.
    fn misdirected(&self, own: EndRef, members: &[u32]) -> Option<Far> {
        let others = members.iter().filter(|id| **id != own.channel_id);
        let mut ends = others.filter_map(|id| {
            let connection = self.connections.get(&own.conn)?;
            connection.end_at(*id)?.destination()
        });
        ends.next()
    }
}

const PEER_AWAY: &str = "the far end is not there, or has not accepted";
const NO_CREDIT: &str = "this member's channel has no credit for it";

/// The channel to a member of the group that `group` names a channel to.
fn member_name(group: &ChannelName, member: PeerId) -> ChannelName {
    ChannelName {
        acceptor: member,
        group: Some(group.acceptor),
        ..group.clone()
    }
}
