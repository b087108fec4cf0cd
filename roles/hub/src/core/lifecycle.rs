//! A channel's way once it was opened: offered, accepted, left by one end and met again, closed (specification, section 3.1).

use std::sync::Arc;

use winze_messages::families::hub::{ChannelOfferAccept, ChannelOfferRefuse, CloseChannel};
use winze_messages::table::Side;

use super::channels::ChannelName;
use super::connection::Step;
use super::credit::{Inbound, Totals};
use super::end::{End, EndRef, Far};
use super::event::Ending;
use super::reasons::{ChannelCloseReason, CloseReason};
use super::registry::PeerId;
use super::{ConnId, HubCore};

impl HubCore {
    /// Offers a client the channels that wait for it, as far as it has room.
    pub(super) fn offer_waiting(&mut self, conn: ConnId) {
        let Some((acceptor, _)) = self.identity(conn) else {
            return;
        };
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
        let waiting: Vec<(Arc<ChannelName>, EndRef)> = self
            .channels
            .of_acceptor(acceptor)
            .filter(|(name, channel)| {
                channel.acceptor.is_none() && connection.negotiated(name.extension)
            })
            .filter_map(|(name, channel)| Some((Arc::clone(name), channel.opener?)))
            .collect();
        for (name, opened) in waiting {
            if !self.has_room(conn) {
                // The rest is offered once a place is free.
                self.free_a_place(conn, acceptor);
                return;
            }
            self.offer(conn, name, opened);
        }
    }

    fn offer(&mut self, conn: ConnId, name: Arc<ChannelName>, opened: EndRef) {
        let Some((_, instance)) = self.identity(opened.conn) else {
            return;
        };
        let opener = self.registry.name(name.opener).clone();
        let mut end = End::offered(Arc::clone(&name), opener, self.new_inbound());
        end.set_far(Far {
            end: opened,
            instance,
        });
        let Some(channel_id) = self
            .connections
            .get_mut(&conn)
            .and_then(|connection| connection.add_end(end))
        else {
            return;
        };
        let offered = EndRef { conn, channel_id };
        if let Some(channel) = self.channels.get_mut(&name) {
            channel.acceptor = Some(offered);
        }
        self.schedule(offered);
    }

    /// `ChannelOffer.Accept` from a client. Unknown ids are ignored: the channel may just have been closed.
    pub(super) fn accept(
        &mut self,
        conn: ConnId,
        message: &ChannelOfferAccept,
    ) -> Result<(), Ending> {
        let Some(end) = self.offered_end(conn, message.channel_id, "ChannelOffer.Accept")? else {
            return Ok(());
        };
        end.set_accepted();
        end.outbound.raise(Totals {
            messages: message.credit_messages,
            bytes: message.credit_bytes,
        });
        let name = Arc::clone(&end.name);
        let accepted = EndRef {
            conn,
            channel_id: message.channel_id,
        };
        let Some(opened) = self.channels.get(&name).and_then(|channel| channel.opener) else {
            return Ok(());
        };
        if let Some((_, instance)) = self.identity(opened.conn) {
            self.join(
                Far {
                    end: opened,
                    instance,
                },
                accepted,
            );
        }
        Ok(())
    }

    /// `ChannelOffer.Refuse` from a client.
    pub(super) fn refuse_offer(
        &mut self,
        conn: ConnId,
        message: ChannelOfferRefuse,
    ) -> Result<(), Ending> {
        let channel_id = message.channel_id;
        if self
            .offered_end(conn, channel_id, "ChannelOffer.Refuse")?
            .is_some()
        {
            let end = EndRef { conn, channel_id };
            self.close_by(end, ChannelCloseReason::Refused, message.reason_code);
        }
        Ok(())
    }

    /// `CloseChannel` from a client: the channel ends for both.
    pub(super) fn close_channel(&mut self, conn: ConnId, message: CloseChannel) {
        let end = EndRef {
            conn,
            channel_id: message.channel_id,
        };
        let is_known = self
            .connections
            .get_mut(&conn)
            .is_some_and(|connection| connection.known_end_mut(end.channel_id).is_some());
        if is_known {
            self.close_by(end, ChannelCloseReason::ClosedByPeer, message.reason_code);
        }
    }

    /// All ends of a connection that goes.
    pub(super) fn detach_all(&mut self, conn: ConnId) {
        let ids = match self.connections.get(&conn) {
            Some(connection) => connection.end_ids(),
            None => return,
        };
        for channel_id in ids {
            self.detach(EndRef { conn, channel_id });
        }
    }

    /// One end goes with its connection; the other lives on, and what was on the way is gone.
    fn detach(&mut self, end: EndRef) {
        let Some(mut gone) = self.remove_end(end) else {
            return;
        };
        let Some(channel) = self.channels.get_mut(&gone.name) else {
            return;
        };
        // A channel that was closed and opened anew has other ends under the same name.
        let (own, other) = match gone.side {
            Side::Requester => (&mut channel.opener, channel.acceptor),
            Side::Responder => (&mut channel.acceptor, channel.opener),
        };
        if *own != Some(end) {
            return;
        }
        *own = None;
        let Some(other) = other else {
            self.channels.remove(&gone.name);
            return;
        };
        let purged = gone.outbound.purge();
        let Some(stays) = self.end_mut(other) else {
            return;
        };
        if stays.is_unheard_offer() {
            self.channels.remove(&gone.name);
            self.remove_end(other);
            self.offer_waiting(other.conn);
            return;
        }
        let lost = stays.outbound.waiting();
        stays.far_went();
        stays.inbound.take(purged);
        self.counters.purged = self.counters.purged.plus(purged).plus(lost);
        self.schedule(other);
        if gone.side == Side::Requester && !self.has_room(other.conn) {
            // An offer may wait for a place, and this end of a channel without an opener can give way.
            self.offer_waiting(other.conn);
        }
    }

    /// One end gives the channel up: the other is told once it has what was sent before.
    fn close_by(&mut self, end: EndRef, reason: ChannelCloseReason, text: String) {
        let Some(mut gone) = self.remove_end(end) else {
            return;
        };
        let purged = gone.outbound.purge();
        self.counters.purged = self.counters.purged.plus(purged);
        if let Some(fan) = &gone.fan {
            for channel_id in fan.members() {
                let member = EndRef {
                    channel_id: *channel_id,
                    ..end
                };
                self.close_by(member, reason, text.clone());
            }
        }
        // A channel that is closing has its name free already, and another may have taken it.
        if !gone.is_closing()
            && let Some(channel) = self.channels.remove(&gone.name)
        {
            let other = match gone.side {
                Side::Requester => channel.acceptor,
                Side::Responder => channel.opener,
            };
            if let Some(other) = other {
                self.say_closed(other, reason, text);
            }
        }
        // The slot of the end that went may be what an offer waits for.
        self.offer_waiting(end.conn);
    }

    /// The hub ends a channel for whichever ends it has.
    pub(super) fn end_channel(
        &mut self,
        name: &ChannelName,
        reason: ChannelCloseReason,
        text: &str,
    ) {
        if let Some(channel) = self.channels.remove(name) {
            for end in [channel.opener, channel.acceptor].into_iter().flatten() {
                self.say_closed(end, reason, text.to_owned());
            }
        }
    }

    /// A channel whose opener has left gives its place to another.
    pub(super) fn close_left(&mut self, name: &ChannelName) {
        if let Some(left) = self
            .channels
            .remove(name)
            .and_then(|channel| channel.acceptor)
        {
            let text = "its opener is away, and its place is needed".to_owned();
            self.say_closed(left, ChannelCloseReason::ClosedByPeer, text);
        }
    }

    /// Closes one channel to `acceptor` whose opener has left, unless a place is about to be free already.
    fn free_a_place(&mut self, conn: ConnId, acceptor: PeerId) {
        if self
            .connections
            .get(&conn)
            .is_some_and(|connection| connection.frees_a_place())
        {
            return;
        }
        let left = self
            .channels
            .of_acceptor(acceptor)
            .find(|(_, channel)| channel.opener.is_none())
            .map(|(name, _)| Arc::clone(name));
        if let Some(left) = left {
            self.close_left(&left);
        }
    }

    pub(super) fn say_closed(&mut self, end: EndRef, reason: ChannelCloseReason, text: String) {
        let Some(stays) = self.end_mut(end) else {
            return;
        };
        if stays.is_unheard_offer() {
            self.remove_end(end);
            self.offer_waiting(end.conn);
        } else {
            stays.close(reason, text);
            self.schedule(end);
        }
    }

    /// Both ends of a channel are there: each is told of the other, once the acceptor has accepted.
    pub(super) fn join(&mut self, opener: Far, acceptor: EndRef) {
        let Some((_, instance)) = self.identity(acceptor.conn) else {
            return;
        };
        let Some(end) = self.end_mut(acceptor) else {
            return;
        };
        end.set_far(opener);
        let accepted = end.is_accepted();
        self.schedule(acceptor);
        if accepted && let Some(end) = self.end_mut(opener.end) {
            end.set_far(Far {
                end: acceptor,
                instance,
            });
            self.schedule(opener.end);
        }
    }

    /// The end of an offer that a client answers. An id that the client opened itself was never offered.
    fn offered_end(
        &mut self,
        conn: ConnId,
        channel_id: u32,
        message: &str,
    ) -> Result<Option<&mut End>, Ending> {
        let Some(end) = self
            .connections
            .get_mut(&conn)
            .and_then(|connection| connection.known_end_mut(channel_id))
            .filter(|end| !end.is_closing())
        else {
            return Ok(None);
        };
        if end.side == Side::Requester {
            let text = format!("{message}: channel {channel_id} was opened here, not offered");
            return Err(Ending::close(CloseReason::Malformed, text, 0));
        }
        Ok(Some(end))
    }

    fn has_room(&self, conn: ConnId) -> bool {
        let ends = self
            .connections
            .get(&conn)
            .map(|connection| connection.ends_len());
        ends.is_some_and(|ends| ends < self.limits.channels_max as usize)
    }

    pub(super) fn new_inbound(&self) -> Inbound {
        let window = Totals {
            messages: self.limits.window_messages,
            bytes: self.limits.window_bytes,
        };
        Inbound::new(window, self.limits.payload_bytes_max)
    }

    /// Who a connection is, and as which instance.
    pub(super) fn identity(&self, conn: ConnId) -> Option<(PeerId, u64)> {
        match self.connections.get(&conn)?.step() {
            Step::Ready { peer, instance } => Some((peer, instance)),
            _ => None,
        }
    }

    pub(super) fn end_mut(&mut self, end: EndRef) -> Option<&mut End> {
        self.connections.get_mut(&end.conn)?.end_mut(end.channel_id)
    }

    fn remove_end(&mut self, end: EndRef) -> Option<End> {
        let removed = self
            .connections
            .get_mut(&end.conn)?
            .remove_end(end.channel_id)?;
        if removed.member_of.is_some() {
            // The channel to its group may have had to wait for this one.
            self.ready.insert(end.conn);
        }
        Some(removed)
    }
}
