//! Shapes of load that are the same for every system. What differs is behind [`Endpoint`].

pub mod flow;
pub mod meter;
pub mod round_trip;

use async_trait::async_trait;

use crate::error::BenchError;

/// A client of some system with its one route: to a peer, from it, or both.
#[async_trait]
pub trait Endpoint: Send {
    /// Hands over `messages` of them, and sends what is there at the end: it does not wait for more.
    async fn send(&mut self, messages: usize) -> Result<(), BenchError>;

    /// Waits for messages, and gives how many have come: one at least. Each was read, decrypted and checked.
    async fn receive(&mut self) -> Result<usize, BenchError>;
}

/// An endpoint of any system.
pub type AnyEndpoint = Box<dyn Endpoint>;

/// What a system is to set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Who sends: each to its own receiver, or where there is one alone, to all receivers.
    pub senders: usize,
    /// Who receives; as many as senders, unless there is one sender.
    pub receivers: usize,
    /// Messages outstanding between a sender and its slowest receiver, at most.
    pub window: usize,
    /// Bytes of each payload: what the hub's `msg_length` says, and as many at the others.
    pub payload_bytes: usize,
    /// Whether receivers answer.
    pub answers: bool,
}

impl Shape {
    /// So many pairs, one way.
    pub fn pairs(pairs: usize, window: usize, payload_bytes: usize) -> Shape {
        Shape {
            senders: pairs,
            receivers: pairs,
            window,
            payload_bytes,
            answers: false,
        }
    }
}
