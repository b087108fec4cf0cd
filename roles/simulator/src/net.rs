//! Connections between clients and the hub: what was sent arrives later, in order, or never.

use std::collections::VecDeque;

use winze_hub::core::ConnId;
use winze_transport::{Frame, encrypted_frame_bytes};

use crate::cast::{MEMBERS, POOLS};

/// Bytes that a socket holds before its writer has to wait.
pub const SOCKET_BYTES: usize = 6_000;

/// Who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A pool, by its place.
    Pool(usize),
    /// The mint.
    Mint,
    /// The opener of channels to a group.
    Opener,
    /// One that may be a member of it, by its place.
    Member(usize),
    /// Somebody who breaks the rules.
    Evil,
}

impl Who {
    /// All who keep the rules.
    pub fn honest() -> impl Iterator<Item = Who> {
        let pools = (0..POOLS.len()).map(Who::Pool);
        let members = (0..MEMBERS.len()).map(Who::Member);
        pools.chain([Who::Mint, Who::Opener]).chain(members)
    }
}

/// One direction of a connection.
#[derive(Default)]
pub struct Pipe {
    frames: VecDeque<(u64, Frame)>,
    bytes: usize,
    last_due_ms: u64,
}

impl Pipe {
    /// A frame arrives at this time, and not before what was sent before it.
    pub fn push(&mut self, frame: Frame, due_ms: u64) {
        self.last_due_ms = self.last_due_ms.max(due_ms);
        self.bytes += encrypted_frame_bytes(frame.payload.len());
        self.frames.push_back((self.last_due_ms, frame));
    }

    /// What has arrived by now.
    pub fn arrived(&mut self, now_ms: u64) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some((due_ms, _)) = self.frames.front()
            && *due_ms <= now_ms
            && let Some((_, frame)) = self.frames.pop_front()
        {
            self.bytes -= encrypted_frame_bytes(frame.payload.len());
            frames.push(frame);
        }
        frames
    }

    /// Whether its writer has to wait.
    pub fn is_full(&self) -> bool {
        self.bytes >= SOCKET_BYTES
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// What is under way is lost.
    pub fn cut(&mut self) {
        *self = Pipe::default();
    }
}

/// A connection.
pub struct Link {
    /// The hub's number for it.
    pub conn: ConnId,
    /// Who is at the other end.
    pub who: Who,
    /// To the hub.
    pub up: Pipe,
    /// To the client.
    pub down: Pipe,
    /// It swallows everything.
    pub is_dead: bool,
    /// Whether the hub has its end.
    pub hub_open: bool,
    /// Whether the client has its end.
    pub client_open: bool,
    /// Since when the client has taken nothing of a full socket.
    pub unread_since_ms: Option<u64>,
}

impl Link {
    /// A new connection.
    pub fn new(conn: ConnId, who: Who) -> Link {
        Link {
            conn,
            who,
            up: Pipe::default(),
            down: Pipe::default(),
            is_dead: false,
            hub_open: true,
            client_open: true,
            unread_since_ms: None,
        }
    }
}
