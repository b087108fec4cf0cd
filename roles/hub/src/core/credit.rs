//! Credit of one channel end (specification, section 3.3): what its client may send, and what may be sent to it.

use std::collections::VecDeque;
use std::mem;

use super::outgoing::Outgoing;
use super::room::Room;
use crate::sabotage::{Rule, is_broken};

/// Messages and bytes of payload, counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages.
    pub messages: u64,
    /// Bytes of payload, the channel id included.
    pub bytes: u64,
}

impl Totals {
    /// One message with so many bytes of payload.
    pub(super) fn one(payload_bytes: usize) -> Totals {
        Totals {
            messages: 1,
            bytes: payload_bytes as u64,
        }
    }

    /// Both sums. They stay at the largest value, which no connection lives long enough to reach.
    pub(super) fn plus(self, other: Totals) -> Totals {
        Totals {
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// Both differences, at least 0.
    pub(super) fn minus(self, other: Totals) -> Totals {
        Totals {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// Whether `other` exceeds this in neither count.
    pub(super) fn covers(self, other: Totals) -> bool {
        other.messages <= self.messages && other.bytes <= self.bytes
    }

    fn raised_to(self, other: Totals) -> Totals {
        Totals {
            messages: self.messages.max(other.messages),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

/// More came on a channel than the hub had given credit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CreditExceeded {
    pub(super) granted: Totals,
    pub(super) received: Totals,
}

/// A message to a group, on the channel of one member.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) ordinal: u64,
    pub(super) is_within_credit: bool,
}

/// The direction from a client to the hub: what the client may send.
#[derive(Debug)]
pub(super) struct Inbound {
    window: Totals,
    payload_bytes_max: u64,
    granted: Totals,
    received: Totals,
    taken: Totals,
}

impl Inbound {
    /// Nothing is granted until [`Self::grant`].
    pub(super) fn new(window: Totals, payload_bytes_max: u32) -> Inbound {
        Inbound {
            window,
            payload_bytes_max: u64::from(payload_bytes_max),
            granted: Totals::default(),
            received: Totals::default(),
            taken: Totals::default(),
        }
    }

    /// Counts a message that arrived and gives its ordinal, from 1.
    pub(super) fn receive(&mut self, payload_bytes: usize) -> Result<u64, CreditExceeded> {
        let received = self.received.plus(Totals::one(payload_bytes));
        if !self.granted.covers(received) {
            return Err(CreditExceeded {
                granted: self.granted,
                received,
            });
        }
        self.received = received;
        Ok(received.messages)
    }

    /// Counts a message that was sent to all members of a group, whether or not there is credit for it here: it has the
    /// next ordinal on each member's channel in any case.
    pub(super) fn receive_copy(&mut self, payload_bytes: usize) -> Copy {
        self.received = self.received.plus(Totals::one(payload_bytes));
        Copy {
            ordinal: self.received.messages,
            is_within_credit: self.granted.covers(self.received),
        }
    }

    /// What arrived so far.
    pub(super) fn received(&self) -> Totals {
        self.received
    }

    /// Notes that messages have left the hub: delivered, refused and told, or purged.
    pub(super) fn take(&mut self, totals: Totals) {
        self.taken = self.taken.plus(totals);
    }

    /// Messages of this client that the hub holds: waiting for their reader, or refused and not yet told.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn held(&self) -> Totals {
        self.received.minus(self.taken)
    }

    /// Whether the client should be told a new total: half of a window can be given back, or a largest message no
    /// longer fits into what the client has left. One notice for many messages.
    pub(super) fn grant_due(&self) -> bool {
        let raise = self.taken.plus(self.window).minus(self.granted);
        if raise == Totals::default() {
            return false;
        }
        if !self
            .taken
            .plus(self.window)
            .covers(self.received.plus(Totals::one(0)))
        {
            // Refused copies brought the client so far ahead that it could send nothing with what can be granted.
            return false;
        }
        let left = self.granted.minus(self.received);
        raise.messages >= self.window.messages.div_ceil(2)
            || raise.bytes >= self.window.bytes.div_ceil(2)
            || left.bytes < self.payload_bytes_max
    }

    /// The total that holds from now on; the caller tells the client.
    pub(super) fn grant(&mut self) -> Totals {
        self.granted = self.taken.plus(self.window);
        self.granted
    }
}

/// The direction from the hub to a client: the messages that wait for it, and what it will take. The sender's window
/// bounds the queue.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    queue: VecDeque<Outgoing>,
    queued_bytes: u64,
    sent: Totals,
    credit: Totals,
}

impl Outbound {
    pub(super) fn with_credit(credit: Totals) -> Outbound {
        Outbound {
            credit,
            ..Outbound::default()
        }
    }

    /// Appends a message. The caller has counted it against its sender's window.
    pub(super) fn push(&mut self, message: Outgoing, room: &mut Room) {
        if self.queue.capacity() == 0 {
            self.queue = room.take();
        }
        self.queued_bytes += message.payload_bytes() as u64;
        self.queue.push_back(message);
    }

    /// Raises what the client takes; a smaller total than before is ignored.
    pub(super) fn raise(&mut self, credit: Totals) {
        self.credit = self.credit.raised_to(credit);
    }

    /// Whether the first message is within the client's credit.
    pub(super) fn deliverable(&self) -> bool {
        self.queue.front().is_some_and(|message| {
            let sent = self.sent.plus(Totals::one(message.payload_bytes()));
            self.credit.covers(sent) || is_broken(Rule::Credit)
        })
    }

    /// The first message, if the client's credit allows it.
    pub(super) fn pop_within_credit(&mut self) -> Option<Outgoing> {
        if !self.deliverable() {
            return None;
        }
        let message = self.queue.pop_front()?;
        self.queued_bytes -= message.payload_bytes() as u64;
        self.sent = self.sent.plus(Totals::one(message.payload_bytes()));
        Some(message)
    }

    /// Gives back the room for messages if none wait.
    pub(super) fn leave_room(&mut self, room: &mut Room) {
        if self.queue.is_empty() {
            room.give(mem::take(&mut self.queue));
        }
    }

    /// Drops everything that waits and says how much it was.
    pub(super) fn purge(&mut self) -> Totals {
        let purged = self.waiting();
        self.queue = VecDeque::new();
        self.queued_bytes = 0;
        purged
    }

    /// What waits.
    pub(super) fn waiting(&self) -> Totals {
        Totals {
            messages: self.queue.len() as u64,
            bytes: self.queued_bytes,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use winze_transport::Frame;

    use super::*;

    const WINDOW: Totals = Totals {
        messages: 4,
        bytes: 100,
    };

    fn frame(payload_bytes: usize) -> Outgoing {
        Outgoing::Own(Frame {
            extension_type: 0xc802,
            msg_type: 0x80,
            payload: vec![0; payload_bytes],
        })
    }

    #[test]
    fn a_sender_stops_at_its_window_and_goes_on_once_half_of_it_was_taken() {
        let mut inbound = Inbound::new(WINDOW, 20);
        inbound.grant();
        for ordinal in 1..=4 {
            assert_eq!(inbound.receive(10), Ok(ordinal));
        }
        assert!(inbound.receive(10).is_err());

        inbound.take(Totals::one(10));
        assert!(
            !inbound.grant_due(),
            "one message of four is not worth a notice"
        );
        inbound.take(Totals::one(10));
        assert!(inbound.grant_due());
        assert_eq!(
            inbound.grant(),
            Totals {
                messages: 6,
                bytes: 120
            }
        );
        assert_eq!(inbound.receive(10), Ok(5));
    }

    #[test]
    fn a_window_of_one_largest_message_never_leaves_its_sender_stuck() {
        let mut inbound = Inbound::new(WINDOW, 100);
        inbound.grant();
        inbound.receive(1).unwrap();
        inbound.take(Totals::one(1));
        // 99 bytes are left: too few for the largest message, though far less than half was taken.
        assert!(inbound.grant_due());
        inbound.grant();
        assert_eq!(inbound.receive(100), Ok(2));
    }

    #[test]
    fn a_reader_gets_no_more_than_it_takes_and_its_credit_never_falls() {
        let mut outbound = Outbound::with_credit(Totals {
            messages: 9,
            bytes: 25,
        });
        for _ in 0..3 {
            outbound.push(frame(10), &mut Room::default());
        }
        assert!(outbound.pop_within_credit().is_some());
        assert!(outbound.pop_within_credit().is_some());
        assert!(outbound.pop_within_credit().is_none());
        outbound.raise(Totals {
            messages: 1,
            bytes: 30,
        });
        assert!(outbound.pop_within_credit().is_some());
        assert!(outbound.is_empty());
    }
}
