//! What is sent next on a connection.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use winze_transport::{Frame, encrypted_frame_bytes};

use super::connection::Step;
use super::outgoing::Outgoing;
use super::{ConnId, HubCore};

/// What [`HubCore::poll_transmit`] left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Nothing is due now; [`HubCore::take_ready`] names the connection when that changes.
    Drained,
    /// There is more than was asked for. Poll again when these are written.
    More,
    /// These are the last frames: write them and close the connection.
    Last,
}

impl HubCore {
    /// The channels of a client whose next message is within its credit: each has its turn before any of them has a
    /// second one.
    pub fn deliverable(&self, conn: ConnId) -> BTreeSet<u32> {
        let ends = self
            .connections
            .get(&conn)
            .into_iter()
            .flat_map(|c| c.ends());
        ends.filter(|(_, end)| end.outbound.deliverable())
            .map(|(channel_id, _)| channel_id)
            .collect()
    }

    /// Appends the next frames for a client to `out`, until they have `bytes_max` on the wire or nothing is due. The
    /// last one may go beyond. Payload alone would be no bound: a tiny message has ten times as much on the wire. What
    /// is taken here leaves the hub's memory and counts as taken by its reader.
    pub fn poll_transmit<T: From<Outgoing> + Borrow<Frame>>(
        &mut self,
        conn: ConnId,
        bytes_max: usize,
        out: &mut Vec<T>,
    ) -> Transmit {
        self.ready.remove(&conn);
        let before = out.len();
        let mut bytes = 0;
        let mut slot_freed = false;
        let drained = loop {
            if bytes >= bytes_max {
                break false;
            }
            let Some(connection) = self.connections.get_mut(&conn) else {
                return Transmit::Last;
            };
            if let Some(control) = connection.next_control() {
                slot_freed |= control.freed_end;
                bytes += encrypted_frame_bytes(control.frame.payload.len());
                out.push(Outgoing::Own(control.frame).into());
            } else if let Some(delivered) =
                connection.next_deliveries(bytes_max - bytes, out, &mut self.room)
            {
                bytes += delivered.bytes;
                if let Some(far) = delivered.from
                    && let Some(sender) = self.end_mut(far.end)
                {
                    sender.inbound.take(delivered.taken);
                    self.schedule(far.end);
                }
            } else {
                break true;
            }
        };
        self.counters.sent(out.iter().skip(before).map(T::borrow));
        if slot_freed {
            // An offer may have waited for the place. It is sent with the next poll.
            self.offer_waiting(conn);
        }
        match self
            .connections
            .get(&conn)
            .map(|connection| connection.step())
        {
            Some(Step::Ended) if drained => Transmit::Last,
            _ if drained => Transmit::Drained,
            _ => Transmit::More,
        }
    }
}
