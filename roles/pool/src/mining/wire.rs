//! Sv2 messages of the reference crates into frames and out of them.

use stratum_core::binary_sv2::{Decodable, Encodable, GetSize, Str0255Owned, to_bytes};
use thiserror::Error;
use winze_transport::{CHANNEL_BIT, Frame};

/// `extension_type` of the messages that the core specification defines.
pub const CORE: u16 = 0;

/// `extension_type` of the extension that negotiates extensions.
pub const EXTENSIONS_NEGOTIATION: u16 = 0x0001;

/// Decodes a message to its last byte. The reference decoder would take left-over bytes; we negotiate nothing that
/// could put any there.
pub fn decode<'a, T: Decodable<'a> + GetSize>(payload: &'a mut [u8]) -> Result<T, Malformed> {
    let payload_bytes = payload.len();
    let message = T::from_bytes(payload).map_err(|error| Malformed::Field(format!("{error:?}")))?;
    let read_bytes = message.get_size();
    if read_bytes != payload_bytes {
        return Err(Malformed::LeftOver {
            left_over_bytes: payload_bytes.saturating_sub(read_bytes),
        });
    }
    Ok(message)
}

/// A core message that belongs to no channel.
pub fn frame<T: Encodable + GetSize>(msg_type: u8, message: T) -> Frame {
    encode(CORE, msg_type, message)
}

/// A core message whose first field is the channel's id.
pub fn channel_frame<T: Encodable + GetSize>(msg_type: u8, message: T) -> Frame {
    encode(CORE | CHANNEL_BIT, msg_type, message)
}

/// Any message; `extension_type` as on the wire.
pub fn encode<T: Encodable + GetSize>(extension_type: u16, msg_type: u8, message: T) -> Frame {
    Frame {
        extension_type,
        msg_type,
        payload: to_bytes(message).expect("the buffer is made to the message's own size"),
    }
}

/// One of our error or reason codes as a field.
pub fn code(code: &'static str) -> Str0255Owned {
    code.try_into()
        .expect("our codes are far shorter than 255 bytes")
}

/// A message that does not decode. The miner's mistake.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// A field is cut off, too long or out of its range; the reference crate's words.
    #[error("a field does not decode: {0}")]
    Field(String),
    /// Something stands after the last field.
    #[error("{left_over_bytes} bytes are left over")]
    LeftOver {
        /// How many.
        left_over_bytes: usize,
    },
}
