//! What a hub may forward: the check of a channel message between two peers.

use thiserror::Error;

use crate::codec::error::DecodeError;
use crate::table::{Direction, Side, lookup};

/// Whether a hub takes this payload (channel id included) of a **known** family from this end of
/// a channel. Copies nothing; accepts exactly what the message's type decodes.
///
/// `extension` is without the channel bit; for one that
/// [`knows_extension`](crate::table::knows_extension) denies, do not ask: it is forwarded
/// unread. What the authenticator says is not looked at, since only the ends can tell.
pub fn check_channel_payload(
    extension: u16,
    msg_type: u8,
    payload: &[u8],
    from: Side,
) -> Result<(), Refusal> {
    let row = lookup(extension, msg_type)
        .filter(|row| row.framing.channel_bit())
        .ok_or(Refusal::UnknownMessage {
            extension,
            msg_type,
        })?;
    let may_send = match row.direction {
        Direction::ToResponder => from == Side::Requester,
        Direction::ToRequester => from == Side::Responder,
        Direction::BetweenEnds => true,
        _ => false,
    };
    if !may_send {
        return Err(Refusal::WrongDirection { message: row.name });
    }
    if payload.len() > row.payload_bytes_max {
        return Err(Refusal::PayloadTooLong {
            message: row.name,
            payload_bytes: payload.len(),
            payload_bytes_max: row.payload_bytes_max,
        });
    }
    row.check(payload)?;
    Ok(())
}

/// Why a hub does not forward a message (section 3.5). Its text is meant for `Reject.detail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The family has no channel message of this type.
    #[error("extension {extension:#06x} has no channel message {msg_type:#04x}")]
    UnknownMessage {
        /// Without the channel bit.
        extension: u16,
        /// As on the wire.
        msg_type: u8,
    },
    /// The message is not this end's to send.
    #[error("{message} is not for this end of the channel to send")]
    WrongDirection {
        /// Its name.
        message: &'static str,
    },
    /// Longer than the message can be.
    #[error("{message} has {payload_bytes} bytes of payload, at most {payload_bytes_max}")]
    PayloadTooLong {
        /// Its name.
        message: &'static str,
        /// What it has.
        payload_bytes: usize,
        /// What its row of the table allows.
        payload_bytes_max: usize,
    },
    /// Does not decode to its last byte.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

impl Refusal {
    /// The code of `Reject.error_code`.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::UnknownMessage { .. } => "unknown-message",
            Refusal::WrongDirection { .. } => "wrong-direction",
            Refusal::PayloadTooLong { .. } => "payload-too-long",
            Refusal::Malformed(_) => "malformed",
        }
    }
}
