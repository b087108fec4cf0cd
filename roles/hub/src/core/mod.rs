//! The hub's routing as a state machine without IO, clock or randomness.
//!
//! Inputs, each with the time where time matters: [`HubCore::connected`], [`HubCore::frames`], [`HubCore::closed`],
//! [`HubCore::tick`], [`HubCore::reload`], and [`HubCore::close`] for what only the shell can see. Outputs, to be polled after every input:
//!
//! 1. [`HubCore::take_events`]: what happened, for the log;
//! 2. [`HubCore::take_ready`]: which connections have something to send;
//! 3. [`HubCore::poll_transmit`], for each of them whenever its socket takes more: the next frames. Control messages go
//!    first, then channels take turns. What is not polled stays where it is counted, so a client that does not read
//!    holds back its own senders and costs no more than the windows.
//!
//! The same inputs give the same outputs. Where to read on: `setup` is a connection's way to its identity, `open` and
//! `lifecycle` a channel's way through its ends, `forward` that of a message, `group` that of one to many, `end` what an end is told, `leaving` an orderly end.

mod by_conn;
mod channels;
mod connection;
mod control;
mod counters;
mod credit;
mod end;
mod event;
mod fan;
mod forward;
mod group;
mod leaving;
mod lifecycle;
mod list;
mod open;
mod outgoing;
pub mod reasons;
mod registry;
mod reload;
mod room;
mod setup;
mod transmit;

#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "the stories are for the tests alone")
)]
mod tests;
#[cfg(feature = "fuzzing")]
pub use tests::fuzzed;

use std::collections::BTreeSet;

use winze_messages::families::hub::HubMessage;
use winze_messages::names::PeerName;
use winze_messages::{EXT_HUB, table};
use winze_transport::{CHANNEL_BIT, Frame, Transcript};

use crate::limits::{
    FULL_RETRY_AFTER_MS, HubLimits, PAYLOAD_BYTES_BEFORE_AUTHENTICATION, REPLACED_RETRY_AFTER_MS,
};

pub use by_conn::ByConn;
use channels::Channels;
use connection::{Connection, Step};
use counters::Tally;
pub use counters::{Counters, Flow};
pub use credit::Totals;
use end::EndRef;
use event::Ending;
pub use event::{EndCause, Event};
use leaving::{Leaving, shutdown};
pub use list::{ListError, ListErrors, ListedGroup, ListedPeer, contradictions};
pub use outgoing::Outgoing;
use reasons::CloseReason;
use registry::Registry;
pub use reload::Reloaded;
use room::Room;
pub use transmit::Transmit;

/// A connection, by the shell's own number for it, which is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// The state machine. See the module for how it is driven.
#[derive(Debug)]
pub struct HubCore {
    limits: HubLimits,
    /// What may be negotiated beside the hub family: everything that somebody may open a channel for.
    extensions: BTreeSet<u16>,
    registry: Registry,
    /// Boxed, as are the ends of channels: they are looked up for every message, and a map of pointers stays in the
    /// processor's cache.
    connections: ByConn<Box<Connection>>,
    channels: Channels,
    room: Room,
    ready: BTreeSet<ConnId>,
    /// There once the hub is on its way out.
    leaving: Option<Leaving>,
    events: Vec<Event>,
    counters: Counters,
}

/// How much the hub has at present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Connections that have proven who they are.
    pub connections_authenticated: usize,
    /// Connections that have not, or are ending.
    pub connections_other: usize,
    /// Channels with at least one end.
    pub channels: usize,
    /// Messages that wait for their reader.
    pub queued: Totals,
    /// Identities that are connected, in the order of the list.
    pub present: Vec<PeerName>,
}

impl HubCore {
    /// A hub without connections. Fails where the list of peers and groups contradicts itself. `limits` are as
    /// [`HubLimits::problems`] allows them.
    pub fn new(
        peers: &[ListedPeer],
        groups: &[ListedGroup],
        limits: HubLimits,
    ) -> Result<HubCore, ListErrors> {
        let registry = Registry::new(peers, groups)?;
        Ok(HubCore {
            limits,
            extensions: registry.extensions(),
            registry,
            connections: ByConn::default(),
            channels: Channels::default(),
            room: Room::default(),
            ready: BTreeSet::new(),
            leaving: None,
            events: Vec::new(),
            counters: Counters::default(),
        })
    }

    /// A client has finished the Noise handshake. Beyond `connections_max` it is told that the hub is full.
    pub fn connected(&mut self, conn: ConnId, transcript: Transcript, now_ms: u64) {
        let full = self.connections.len() >= self.limits.connections_max;
        self.connections
            .insert(conn, Box::new(Connection::new(transcript, now_ms)));
        if let Some(leaving) = &self.leaving {
            let ending = shutdown(leaving.retry_after_ms);
            self.end_connection(conn, ending);
        } else if full {
            let ending = Ending::close(
                CloseReason::TooManyConnections,
                format!("the hub takes {} connections", self.limits.connections_max),
                FULL_RETRY_AFTER_MS,
            );
            self.end_connection(conn, ending);
        }
    }

    /// Takes what a client has sent, in order, and leaves `batch` empty. What comes after the connection's end is
    /// dropped.
    pub fn frames(&mut self, conn: ConnId, batch: &mut Vec<Frame>, now_ms: u64) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.heard(now_ms);
        }
        let mut tally = Tally::default();
        let mut frames = batch.drain(..).peekable();
        while let Some(frame) = frames.next() {
            let channel_id = frame.channel_id();
            if let Err(ending) = self.frame(conn, frame, &mut tally, now_ms) {
                self.end_connection(conn, ending);
            } else if let Some(channel_id) = channel_id
                && frames.peek().and_then(Frame::channel_id) == Some(channel_id)
            {
                self.forward_run(conn, channel_id, &mut frames, &mut tally);
            }
        }
        drop(frames);
        self.counters.add(Flow::In, &mut tally);
    }

    /// A client's stream has ended between two frames. [`Self::closed`] follows.
    pub fn left(&mut self, conn: ConnId) {
        if self.is_open(conn) {
            self.leave(conn, EndCause::Left, String::new());
        }
    }

    /// A connection is gone, whoever closed it.
    pub fn closed(&mut self, conn: ConnId) {
        if self.is_open(conn) {
            self.leave(conn, EndCause::Gone, String::new());
        }
        self.connections.remove(&conn);
        self.ready.remove(&conn);
    }

    /// Ends a connection for a reason that the shell has found: a frame that is none, a client that does not read.
    pub fn close(&mut self, conn: ConnId, reason: CloseReason, detail: String) {
        self.end_connection(conn, Ending::close(reason, detail, 0));
    }

    /// Looks at every deadline. To be called every [`TICK_MS`](crate::limits::TICK_MS) or so.
    pub fn tick(&mut self, now_ms: u64) {
        let mut overdue = Vec::new();
        for (conn, connection) in &mut self.connections {
            if let Some(ending) = connection.overdue(&self.limits, now_ms) {
                overdue.push((*conn, ending));
            } else if connection.ping_if_silent(&self.limits, now_ms) {
                self.ready.insert(*conn);
            }
        }
        // In an order that is one, whatever the map's is.
        overdue.sort_unstable_by_key(|(conn, _)| *conn);
        for (conn, ending) in overdue {
            self.end_connection(conn, ending);
        }
    }

    /// What happened since the last call, in order. A few for each input.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The connections that got something to send since the last call, and have not been polled since.
    pub fn take_ready(&mut self) -> BTreeSet<ConnId> {
        std::mem::take(&mut self.ready)
    }

    /// The largest payload that is taken from this client at present, in bytes: little before it is authenticated.
    pub fn payload_bytes_max(&self, conn: ConnId) -> usize {
        match self
            .connections
            .get(&conn)
            .map(|connection| connection.step())
        {
            Some(Step::Ready { .. }) => self.limits.payload_bytes_max as usize,
            _ => PAYLOAD_BYTES_BEFORE_AUTHENTICATION,
        }
    }

    /// Whether more of this client is wanted: false once its connection is ending.
    pub fn is_open(&self, conn: ConnId) -> bool {
        self.connections
            .get(&conn)
            .is_some_and(|connection| connection.is_open())
    }

    /// Whether a client has proven who it is, and its connection goes on.
    pub fn is_authenticated(&self, conn: ConnId) -> bool {
        let step = self
            .connections
            .get(&conn)
            .map(|connection| connection.step());
        matches!(step, Some(Step::Ready { .. }))
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What there is at present. Looks at every channel end.
    pub fn load(&self) -> Load {
        let mut load = Load {
            channels: self.channels.len(),
            present: self.registry.present_names(),
            ..Load::default()
        };
        for connection in self.connections.values() {
            match connection.step() {
                Step::Ready { .. } => load.connections_authenticated += 1,
                _ => load.connections_other += 1,
            }
            load.queued = load.queued.plus(connection.queued());
        }
        load
    }

    fn frame(
        &mut self,
        conn: ConnId,
        frame: Frame,
        tally: &mut Tally,
        now_ms: u64,
    ) -> Result<(), Ending> {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return Ok(());
        };
        match connection.step() {
            Step::Ended => Ok(()),
            Step::Ready { .. } => {
                if !tally.add(&frame) {
                    self.counters.add(Flow::In, tally);
                    if self.is_counted(&frame) {
                        tally.begin(&frame);
                    }
                }
                if frame.is_channel_msg() {
                    self.forward(conn, frame)
                } else {
                    self.control(conn, &frame)
                }
            }
            _ => self.setup(conn, &frame, now_ms),
        }
    }

    /// Whether a frame is of a kind that there are few of.
    fn is_counted(&self, frame: &Frame) -> bool {
        let extension = frame.extension();
        table::lookup(extension, frame.msg_type).is_some()
            || (is_foreign(extension) && self.extensions.contains(&extension))
    }

    /// Ends a connection with its last words. A connection ends once; later reasons are not told.
    fn end_connection(&mut self, conn: ConnId, ending: Ending) {
        if !self.is_open(conn) {
            return;
        }
        self.leave(conn, ending.cause, ending.detail);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.end(ending.last_words);
        }
        self.ready.insert(conn);
    }

    /// The older connection of an identity makes room for a newer one.
    fn replace(&mut self, conn: ConnId) {
        let ending = Ending::close(
            CloseReason::Replaced,
            "a newer connection has proven the same identity".to_owned(),
            REPLACED_RETRY_AFTER_MS,
        );
        self.end_connection(conn, ending);
    }

    /// Frees what an open connection has: its identity, and its ends of channels.
    fn leave(&mut self, conn: ConnId, cause: EndCause, detail: String) {
        self.detach_all(conn);
        let mut peer = None;
        if let Some(connection) = self.connections.get_mut(&conn) {
            if let Step::Ready { peer: id, .. } = connection.step() {
                self.registry.release(id, conn);
                peer = Some(self.registry.name(id).clone());
            }
            connection.set_step(Step::Ended);
        }
        self.counters.ended(cause);
        self.events.push(Event::Ended {
            conn,
            peer,
            cause,
            detail,
        });
    }

    /// Puts an end whose state has changed where [`Self::poll_transmit`] finds what is due.
    fn schedule(&mut self, end: EndRef) {
        if let Some(connection) = self.connections.get_mut(&end.conn)
            && connection.schedule(end.channel_id)
        {
            self.ready.insert(end.conn);
        }
    }
}

/// Whether channels can be opened for an extension: all but those that set a connection up, and numbers that have the
/// channel bit.
fn has_channels(extension: u16) -> bool {
    let sets_up = [
        winze_messages::EXT_COMMON,
        winze_messages::EXT_EXTENSIONS,
        EXT_HUB,
    ];
    extension & CHANNEL_BIT == 0 && !sets_up.contains(&extension)
}

/// Whether the hub checks the messages of an extension. Those of others pass unread.
fn is_foreign(extension: u16) -> bool {
    !table::knows_extension(extension)
}

/// A message of the hub as a frame.
fn encoded(message: impl Into<HubMessage>) -> Frame {
    message
        .into()
        .to_frame()
        .expect("the hub's own texts are names, labels and cut details, all within their bounds")
}
