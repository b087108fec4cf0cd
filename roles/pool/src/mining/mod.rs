//! The mining protocol (Sv2 specification, chapter 5) as a pure state machine, one per connection.
//!
//! [`MiningConnection`] takes frames, templates and the outcome of writes, and gives [`Action`]s. It has no socket,
//! no store and no randomness; `channels_sv2` validates shares and makes jobs. (One exception is that crate's: its
//! variable difficulty reads the system's clock.)
//!
//! Jobs go to each channel by itself. The specification allows a pool to send one extended job for a whole group;
//! what is sent here every miner understands, with or without `REQUIRES_STANDARD_JOBS`. All channels of a
//! connection belong to one group all the same, so that `CloseChannel` may address them together.

pub mod channel;
pub mod codes;
mod connection;
pub mod extranonce;
mod notice;
mod open;
mod setup;
mod submit;
pub mod wire;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

pub use connection::MiningConnection;
pub use notice::QuoteNotice;
pub use submit::AcceptedShare;

use crate::identity::LockingKey;
use crate::template::block::FoundBlock;
use crate::work::MinimumWork;
use winze_transport::Frame;

/// The operator's choices that the protocol depends on.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Least work that earns a quote. No channel's target is easier.
    pub minimum: MinimumWork,
    /// Shares that a channel should find in a minute; targets are set for it.
    pub shares_per_minute: f32,
    /// Channels that one connection may have open.
    pub channels_max: usize,
    /// Goes into the coinbase, for people to read.
    pub coinbase_tag: String,
    /// A connection that says nothing for so long is closed, in milliseconds.
    pub idle_timeout_ms: u64,
}

/// Whether shares can be paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// It can.
    Open,
    /// The mint's keyset was never heard: no channel is opened.
    KeysetUnknown,
    /// The source of templates has been away for so long that the tip may be an old one: no channel is opened, and no
    /// share accepted.
    TemplateOutdated,
}

/// What a connection wants done, in order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send this.
    Send(Frame),
    /// Write this share down with its quote request, then tell [`MiningConnection::recorded`].
    Record(AcceptedShare),
    /// Hand this block to the network, at once.
    Submit(Box<FoundBlock>),
    /// A channel was opened for this key.
    Opened {
        /// Its id on this connection.
        channel_id: u32,
        /// Whose quotes it may be told.
        locking_key: LockingKey,
        /// Whether the miner has negotiated to be told.
        wants_quotes: bool,
    },
    /// A channel is gone.
    Closed {
        /// Its id on this connection.
        channel_id: u32,
    },
    /// A share was refused; the code that the miner got. For the metrics.
    Refused(&'static str),
    /// A channel was not opened; the code that the miner got. For the metrics.
    ChannelRefused(&'static str),
    /// Send what is due, then close the connection. Nothing follows.
    Hangup(Hangup),
}

/// Why the pool closes a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// The setup was refused, with an error message that says why.
    SetupRefused(&'static str),
    /// A message does not decode, or is none that a miner may send at this point.
    Protocol(String),
    /// No channel was opened in time.
    NoChannel,
    /// Nothing was heard for too long.
    Idle,
}

/// How a write of a share ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The share and its quote request are on disk.
    Stored,
    /// The share was there already, from this run or an earlier one.
    Duplicate,
    /// As many quote requests wait for the mint as may; nothing was written.
    BacklogFull,
    /// As many of this miner's wait as may; nothing was written.
    MinerBacklogFull,
    /// The write failed.
    Failed,
}

/// What all connections of a pool share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The operator's choices.
    pub rules: Arc<Rules>,
    /// The extranonce space.
    pub extranonces: extranonce::Extranonces,
}
