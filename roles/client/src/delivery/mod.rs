//! The schedule of a requester, for any family: which request is sent when.

mod core;

#[cfg(test)]
mod tests;

pub use self::core::{RejectKind, Rejected, RequesterCore, Schedule};

use crate::session::{Credit, SendError};

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// On a clock that is never set, in milliseconds.
    pub ms: u64,
    /// Unix time in milliseconds, for what is written down.
    pub unix_ms: u64,
}

/// The sending side of a channel.
pub trait SendChannel {
    /// What the hub takes for now; nothing while the far end is away.
    fn send_credit(&self) -> Credit;

    /// Hands a message over: `bytes` is what comes behind the channel id. Gives its ordinal.
    fn try_send(&mut self, msg_type: u8, bytes: &[u8]) -> Result<u64, SendError>;
}
