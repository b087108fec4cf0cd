//! A message's way from one end of a channel to the other.

use std::iter::Peekable;
use std::vec::Drain;

use winze_messages::table::Side;
use winze_messages::{Refusal, check_channel_payload};
use winze_transport::Frame;

use super::counters::Tally;
use super::end::EndRef;
use super::event::Ending;
use super::outgoing::Outgoing;
use super::reasons::{CloseReason, RejectReason};
use super::{ConnId, HubCore, is_foreign};

impl HubCore {
    /// Takes a channel message: into the far end's queue with the far end's channel id, or back with a `Reject`.
    pub(super) fn forward(&mut self, conn: ConnId, mut frame: Frame) -> Result<(), Ending> {
        // 0 is no channel's id, and what is too short to name a channel names none.
        let channel_id = frame.channel_id().unwrap_or(0);
        let Some(connection) = self.connections.get_mut(&conn) else {
            return Ok(());
        };
        let Some(end) = connection.known_end_mut(channel_id) else {
            self.counters.rejected(RejectReason::UnknownChannel);
            self.ready.insert(conn);
            return connection
                .reject_unknown_channel(channel_id)
                .map_err(Ending::from);
        };
        let payload_bytes = frame.payload.len();
        let ordinal = end.receive(payload_bytes).map_err(|exceeded| {
            let text = format!(
                "channel {channel_id}: {} messages and {} bytes, granted were {} and {}",
                exceeded.received.messages,
                exceeded.received.bytes,
                exceeded.granted.messages,
                exceeded.granted.bytes
            );
            Ending::close(CloseReason::CreditExceeded, text, 0)
        })?;
        let extension = end.name.extension;
        let refusal = if frame.extension() != extension {
            let text = format!("the channel is for extension {extension:#06x}");
            Some((RejectReason::WrongExtension, text))
        } else if is_foreign(extension) {
            end.note_foreign_traffic();
            None
        } else {
            check_channel_payload(extension, frame.msg_type, &frame.payload, end.side)
                .err()
                .map(|refusal| (reason_of(&refusal), refusal.to_string()))
        };
        // A hub that goes carries answers, and no requests that would be answered too late.
        let takes = self.leaving.is_none() || end.side == Side::Responder;
        let is_group = end.fan.is_some();
        let is_open_group = is_group && !end.is_closing();
        let group = end.member_of;
        let destination = end.destination();
        let own = EndRef { conn, channel_id };
        let (reason, text) = match (refusal, destination) {
            (Some(refusal), _) => refusal,
            (None, _) if !takes => {
                let text = "the hub is shutting down".to_owned();
                (RejectReason::PeerAway, text)
            }
            (None, _) if is_open_group => {
                self.fan_out(own, ordinal, frame);
                return Ok(());
            }
            (None, Some(far)) => {
                let far = self.misdirected_among(own, group).unwrap_or(far);
                frame.set_channel_id(far.end.channel_id);
                if self.deliver(far.end, Outgoing::Own(frame)) {
                    return Ok(());
                }
                peer_away()
            }
            (None, None) => peer_away(),
        };
        self.counters.rejected(reason);
        if let Some(end) = self.end_mut(own) {
            end.refuse(ordinal, payload_bytes, reason, text);
        }
        if is_group {
            self.count_on_members(own, payload_bytes);
        }
        self.schedule(own);
        Ok(())
    }

    /// Takes what goes on with the channel of the message before, as long as it is delivered and nothing else is due: then
    /// both ends are looked up once for all of it. What is not for that is left to [`Self::forward`]. That one was of the same
    /// kind, so if it is of an extension that the hub does not know, that such have passed is noted already.
    pub(super) fn forward_run(
        &mut self,
        conn: ConnId,
        channel_id: u32,
        frames: &mut Peekable<Drain<'_, Frame>>,
        tally: &mut Tally,
    ) {
        let Some(to) = self.course(EndRef { conn, channel_id }) else {
            return;
        };
        let ends = self.connections.get_disjoint_mut([&conn, &to.conn]);
        let [Some(sender), Some(reader)] = ends else {
            return;
        };
        let Some((from, end)) = sender
            .end_mut(channel_id)
            .zip(reader.end_mut(to.channel_id))
        else {
            return;
        };
        let (extension, side) = (from.name.extension, from.side);
        let is_foreign = is_foreign(extension);
        let was_empty = end.outbound.is_empty();
        while let Some(mut frame) = frames.next_if(|frame| {
            let goes_on = frame.channel_id() == Some(channel_id) && tally.goes_on_with(frame);
            let is_taken = goes_on
                && frame.extension() == extension
                && (is_foreign
                    || check_channel_payload(extension, frame.msg_type, &frame.payload, side)
                        .is_ok());
            is_taken && from.receive(frame.payload.len()).is_ok()
        }) {
            tally.add(&frame);
            frame.set_channel_id(to.channel_id);
            end.outbound.push(Outgoing::Own(frame), &mut self.room);
        }
        if was_empty && !end.outbound.is_empty() {
            self.schedule(to);
        }
    }

    /// Where messages of an end go while nothing is to be said about any of them. A group's end leads nowhere by itself.
    fn course(&self, own: EndRef) -> Option<EndRef> {
        let connection = self.connections.get(&own.conn)?;
        let end = connection.end_at(own.channel_id)?;
        let takes = self.leaving.is_none() || end.side == Side::Responder;
        let far = end.destination().filter(|_| takes && end.is_known())?;
        let far = self.misdirected_among(own, end.member_of).unwrap_or(far);
        // Two ends cannot be borrowed from one connection.
        (far.end.conn != own.conn).then_some(far.end)
    }

    /// Queues a message for its reader. False when that end is not there.
    pub(super) fn deliver(&mut self, to: EndRef, message: Outgoing) -> bool {
        let connection = self.connections.get_mut(&to.conn);
        let Some(end) = connection.and_then(|connection| connection.end_mut(to.channel_id)) else {
            return false;
        };
        if is_foreign(end.name.extension) {
            end.note_foreign_traffic();
        }
        let was_empty = end.outbound.is_empty();
        end.outbound.push(message, &mut self.room);
        // Behind another message it changes nothing of what is due.
        if was_empty {
            self.schedule(to);
        }
        true
    }
}

fn peer_away() -> (RejectReason, String) {
    let text = "the far end is not there, or has not accepted".to_owned();
    (RejectReason::PeerAway, text)
}

fn reason_of(refusal: &Refusal) -> RejectReason {
    match refusal {
        Refusal::UnknownMessage { .. } => RejectReason::UnknownMessage,
        Refusal::WrongDirection { .. } => RejectReason::WrongDirection,
        Refusal::PayloadTooLong { .. } => RejectReason::PayloadTooLong,
        Refusal::Malformed(_) => RejectReason::Malformed,
    }
}
