//! One connection: its step, its channel ends, and what is due to be sent on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use winze_messages::families::hub::{Ping, Pong, Reject};
use winze_transport::{Frame, Transcript, encrypted_frame_bytes};

use super::credit::Totals;
use super::encoded;
use super::end::{End, EndControl, Far};
use super::event::Ending;
use super::fan::Fan;
use super::outgoing::Outgoing;
use super::reasons::{CloseReason, RejectReason};
use super::registry::PeerId;
use super::room::Room;
use crate::limits::{CONTROL_MAX, HubLimits};
use crate::sabotage::{Rule, is_broken};

/// How far a connection has come (specification, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Step 2 is due.
    AwaitSetupConnection,
    /// Step 4 is due.
    AwaitRequestExtensions,
    /// Step 6 is due.
    AwaitAuthenticate,
    /// The client has proven who it is.
    Ready {
        peer: PeerId,
        /// The number of this authenticated connection.
        instance: u64,
    },
    /// Its last message is said, or nobody is there to hear it.
    Ended,
}

/// The client's requests have more answers waiting than [`CONTROL_MAX`].
#[derive(Debug)]
pub(super) struct ControlOverflow;

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    transcript: Transcript,
    step: Step,
    /// What the client negotiated, without the channel bit.
    extensions: BTreeSet<u16>,
    /// What it asked for and did not get; at most as many as one message holds.
    extensions_refused: BTreeSet<u16>,
    payload_bytes_before_authentication: usize,
    frames_before_authentication: usize,
    connected_at_ms: u64,
    heard_at_ms: u64,
    /// Whether a Ping was sent in the present silence.
    pinged: bool,
    last_ping_nonce: u64,
    /// Answers to the client's own requests; together with `unknown_channels` at most [`CONTROL_MAX`].
    answers: VecDeque<Frame>,
    /// Channels that the client sent on and does not have. One notice for each, however many messages there were: it
    /// carries no ordinal.
    unknown_channels: BTreeSet<u32>,
    ping_due: Option<u64>,
    pong_due: Option<u64>,
    /// Whether the client is to be asked to reconnect: the hub goes.
    pub(super) reconnect_due: bool,
    ends: BTreeMap<u32, Box<End>>,
    last_channel_id: u32,
    /// Ends with control messages due, each once. They take turns.
    control_ring: VecDeque<u32>,
    /// Ends with messages to deliver, each once. They take turns.
    data_ring: VecDeque<u32>,
}

/// What [`Connection::next_control`] took.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) frame: Frame,
    /// Whether it was the last message of a channel end, which is forgotten now.
    pub(super) freed_end: bool,
}

/// What [`Connection::next_deliveries`] took, all of one channel.
#[derive(Debug)]
pub(super) struct Deliveries {
    pub(super) taken: Totals,
    /// What they have on the wire, in bytes.
    pub(super) bytes: usize,
    /// Who sent them, while it is there.
    pub(super) from: Option<Far>,
}

impl Connection {
    pub(super) fn new(transcript: Transcript, now_ms: u64) -> Connection {
        Connection {
            transcript,
            step: Step::AwaitSetupConnection,
            extensions: BTreeSet::new(),
            extensions_refused: BTreeSet::new(),
            payload_bytes_before_authentication: 0,
            frames_before_authentication: 0,
            connected_at_ms: now_ms,
            heard_at_ms: now_ms,
            pinged: false,
            last_ping_nonce: 0,
            answers: VecDeque::new(),
            unknown_channels: BTreeSet::new(),
            ping_due: None,
            pong_due: None,
            reconnect_due: false,
            ends: BTreeMap::new(),
            last_channel_id: 0,
            control_ring: VecDeque::new(),
            data_ring: VecDeque::new(),
        }
    }

    // Steps and time

    pub(super) fn step(&self) -> Step {
        self.step
    }

    pub(super) fn set_step(&mut self, step: Step) {
        self.step = step;
    }

    pub(super) fn is_open(&self) -> bool {
        self.step != Step::Ended
    }

    pub(super) fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    pub(super) fn negotiated(&self, extension: u16) -> bool {
        self.extensions.contains(&extension)
    }

    pub(super) fn set_extensions(&mut self, negotiated: BTreeSet<u16>, refused: BTreeSet<u16>) {
        self.extensions = negotiated;
        self.extensions_refused = refused;
    }

    /// Whether the client would get more of what it asked for, if it asked now.
    pub(super) fn would_negotiate_more(&self, offered: &BTreeSet<u16>) -> bool {
        !self.extensions_refused.is_disjoint(offered)
    }

    /// Counts payload that came before authentication, and gives the sum.
    pub(super) fn count_unauthenticated(&mut self, payload_bytes: usize) -> usize {
        self.payload_bytes_before_authentication += payload_bytes;
        self.payload_bytes_before_authentication
    }

    /// Counts a frame that came before authentication, and gives their number.
    pub(super) fn count_unauthenticated_frame(&mut self) -> usize {
        self.frames_before_authentication += 1;
        self.frames_before_authentication
    }

    pub(super) fn heard(&mut self, now_ms: u64) {
        self.heard_at_ms = now_ms;
        self.pinged = false;
    }

    /// The end of a connection that has missed a deadline.
    pub(super) fn overdue(&self, limits: &HubLimits, now_ms: u64) -> Option<Ending> {
        match self.step {
            Step::Ended => None,
            Step::Ready { .. } => {
                let silence_ms = now_ms.saturating_sub(self.heard_at_ms);
                (silence_ms >= u64::from(limits.idle_timeout_ms)).then(|| {
                    let detail = format!("nothing came for {silence_ms} ms");
                    Ending::close(CloseReason::IdleTimeout, detail, 0)
                })
            }
            _ => {
                let waited_ms = now_ms.saturating_sub(self.connected_at_ms);
                (waited_ms >= limits.setup_timeout_ms).then(|| {
                    let detail = format!("not authenticated after {waited_ms} ms");
                    Ending::close(CloseReason::SetupTimeout, detail, 0)
                })
            }
        }
    }

    /// Makes a Ping due once in each silence.
    pub(super) fn ping_if_silent(&mut self, limits: &HubLimits, now_ms: u64) -> bool {
        let silence_ms = now_ms.saturating_sub(self.heard_at_ms);
        let due = matches!(self.step, Step::Ready { .. })
            && !self.pinged
            && silence_ms >= u64::from(limits.ping_interval_ms);
        if due {
            self.pinged = true;
            self.last_ping_nonce += 1;
            self.ping_due = Some(self.last_ping_nonce);
        }
        due
    }

    // What is due

    /// Queues an answer to a request of the client.
    pub(super) fn answer(&mut self, frame: Frame) -> Result<(), ControlOverflow> {
        if self.answers_waiting() >= CONTROL_MAX {
            return Err(ControlOverflow);
        }
        self.answers.push_back(frame);
        Ok(())
    }

    /// Makes the notice due that the client has no such channel.
    pub(super) fn reject_unknown_channel(
        &mut self,
        channel_id: u32,
    ) -> Result<(), ControlOverflow> {
        if self.answers_waiting() >= CONTROL_MAX && !self.unknown_channels.contains(&channel_id) {
            return Err(ControlOverflow);
        }
        self.unknown_channels.insert(channel_id);
        Ok(())
    }

    /// Makes a Pong due; one for all Pings that wait.
    pub(super) fn pong(&mut self, nonce: u64) {
        self.pong_due = Some(nonce);
    }

    pub(super) fn ask_to_reconnect(&mut self) {
        self.reconnect_due = true;
    }

    fn answers_waiting(&self) -> usize {
        self.answers.len() + self.unknown_channels.len()
    }

    /// Says the last words, after the answers that wait already; nothing else is sent any more.
    pub(super) fn end(&mut self, last_words: Frame) {
        self.answers.push_back(last_words);
        self.step = Step::Ended;
        self.unknown_channels.clear();
        self.ping_due = None;
        self.pong_due = None;
        self.reconnect_due = false;
    }

    // Ends of channels

    pub(super) fn ends_len(&self) -> usize {
        self.ends.len()
    }

    /// Whether an end is forgotten as soon as the client reads what is due.
    pub(super) fn frees_a_place(&self) -> bool {
        self.ends.values().any(|end| end.is_about_to_go())
    }

    /// Channels that `opener` opened to this client, that are over, and that this client was not told the end of: it
    /// has not read, or gives no credit for what came before.
    pub(super) fn ends_closing_of(&self, opener: PeerId) -> usize {
        let ends = self.ends.values();
        ends.filter(|end| end.is_closing() && end.is_offered_by(opener))
            .count()
    }

    pub(super) fn end_ids(&self) -> Vec<u32> {
        self.ends.keys().copied().collect()
    }

    /// Channel ids that were not given yet.
    pub(super) fn ids_left(&self) -> u32 {
        u32::MAX - self.last_channel_id
    }

    /// Adds an end under the next channel id, which it returns. `None` once the ids have run out.
    pub(super) fn add_end(&mut self, end: End) -> Option<u32> {
        let channel_id = self.last_channel_id.checked_add(1)?;
        self.last_channel_id = channel_id;
        self.ends.insert(channel_id, Box::new(end));
        Some(channel_id)
    }

    pub(super) fn end_at(&self, channel_id: u32) -> Option<&End> {
        self.ends.get(&channel_id).map(Box::as_ref)
    }

    pub(super) fn end_mut(&mut self, channel_id: u32) -> Option<&mut End> {
        self.ends.get_mut(&channel_id).map(Box::as_mut)
    }

    /// The end, if the client knows of it. It may be closing.
    pub(super) fn known_end_mut(&mut self, channel_id: u32) -> Option<&mut End> {
        self.end_mut(channel_id).filter(|end| end.is_known())
    }

    /// Forgets an end. What still points to it from the rings finds nothing.
    pub(super) fn remove_end(&mut self, channel_id: u32) -> Option<End> {
        let end = *self.ends.remove(&channel_id)?;
        if end.in_control_ring {
            self.control_ring.retain(|id| *id != channel_id);
        }
        if end.in_data_ring {
            self.data_ring.retain(|id| *id != channel_id);
        }
        if let Some(group) = end.member_of {
            for ordinal in end.copies_refused() {
                self.told(Some(group), ordinal);
            }
            if let Some(fan) = self.fan_mut(group) {
                fan.remove(channel_id);
                self.schedule(group);
            }
        }
        Some(end)
    }

    /// The members of a group, by the id of the channel to it.
    pub(super) fn fan_mut(&mut self, group: u32) -> Option<&mut Fan> {
        self.ends.get_mut(&group)?.fan.as_deref_mut()
    }

    /// One member less of which the opener has yet to hear that it did not get a message to the group.
    fn told(&mut self, group: Option<u32>, ordinal: u64) {
        let Some((group, end)) = group.and_then(|id| Some((id, self.ends.get_mut(&id)?))) else {
            return;
        };
        if let Some(payload_bytes) = end.fan.as_mut().and_then(|fan| fan.told(ordinal)) {
            end.inbound.take(Totals::one(payload_bytes));
            self.schedule(group);
        }
    }

    pub(super) fn ends(&self) -> impl Iterator<Item = (u32, &End)> {
        self.ends
            .iter()
            .map(|(channel_id, end)| (*channel_id, end.as_ref()))
    }

    /// What waits for this client on all its channels.
    pub(super) fn queued(&self) -> Totals {
        self.ends.values().fold(Totals::default(), |sum, end| {
            sum.plus(end.outbound.waiting())
        })
    }

    /// Puts an end into the rings where something is due. Whether there is.
    pub(super) fn schedule(&mut self, channel_id: u32) -> bool {
        let Some(end) = self.ends.get_mut(&channel_id) else {
            return false;
        };
        let control = end.control_due();
        if control && !end.in_control_ring {
            end.in_control_ring = true;
            self.control_ring.push_back(channel_id);
        }
        let data = end.outbound.deliverable();
        if data && !end.in_data_ring {
            end.in_data_ring = true;
            self.data_ring.push_back(channel_id);
        }
        control || data
    }

    // Output

    /// The next control message: answers, signs of life, then one of the next channel whose turn it is.
    pub(super) fn next_control(&mut self) -> Option<Control> {
        if let Some(frame) = self.next_answer() {
            return Some(Control {
                frame,
                freed_end: false,
            });
        }
        while let Some(channel_id) = self.control_ring.pop_front() {
            let Some(end) = self.ends.get_mut(&channel_id) else {
                continue;
            };
            end.in_control_ring = false;
            let (frame, freed_end) = match end.next_control(channel_id) {
                EndControl::Send(frame) => (frame, false),
                EndControl::SendGroups(frame, ordinal) => {
                    let group = end.member_of;
                    self.told(group, ordinal);
                    (frame, false)
                }
                EndControl::SendLast(frame) => (frame, true),
                EndControl::Nothing => continue,
            };
            if freed_end {
                self.remove_end(channel_id);
            } else {
                self.schedule(channel_id);
            }
            return Some(Control { frame, freed_end });
        }
        None
    }

    fn next_answer(&mut self) -> Option<Frame> {
        if let Some(frame) = self.answers.pop_front() {
            return Some(frame);
        }
        if let Some(frame) = self.next_reconnect() {
            return Some(frame);
        }
        if let Some(channel_id) = self.unknown_channels.pop_first() {
            return Some(encoded(Reject {
                channel_id,
                ordinal: 0,
                error_code: RejectReason::UnknownChannel.as_str().to_owned(),
                detail: format!("this connection has no channel {channel_id}"),
            }));
        }
        if let Some(nonce) = self.pong_due.take() {
            return Some(encoded(Pong { nonce }));
        }
        self.ping_due.take().map(|nonce| encoded(Ping { nonce }))
    }

    /// Appends the next message for the client to `out`, of the channel whose turn it is. Where no other channel has any,
    /// its turns follow one another and are taken at once, until they have `bytes_max` on the wire.
    pub(super) fn next_deliveries<T: From<Outgoing>>(
        &mut self,
        bytes_max: usize,
        out: &mut Vec<T>,
        room: &mut Room,
    ) -> Option<Deliveries> {
        while let Some(channel_id) = self.data_ring.pop_front() {
            let Some(end) = self.ends.get_mut(&channel_id) else {
                continue;
            };
            end.in_data_ring = false;
            let is_alone = self.data_ring.is_empty();
            let mut taken = Totals::default();
            let mut bytes = 0;
            while let Some(message) = end.outbound.pop_within_credit() {
                taken = taken.plus(Totals::one(message.payload_bytes()));
                bytes += encrypted_frame_bytes(message.payload_bytes());
                out.push(message.into());
                if !is_alone || bytes >= bytes_max {
                    break;
                }
            }
            end.outbound.leave_room(room);
            if taken == Totals::default() {
                continue;
            }
            let from = end.far();
            self.schedule(channel_id);
            if is_broken(Rule::Turns) && self.data_ring.back() == Some(&channel_id) {
                self.data_ring.rotate_right(1);
            }
            return Some(Deliveries { taken, bytes, from });
        }
        None
    }
}
