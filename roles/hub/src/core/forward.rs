//! A message's way from one end of a channel to the other.

use winze_messages::table::Side;
use winze_messages::{Refusal, check_channel_payload};
use winze_transport::Frame;

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
