//! The plaintext frame: header and payload (Sv2 specification 3.2).
//!
//! ```text
//! | extension_type U16 LE | msg_type U8 | msg_length U24 LE | payload, msg_length bytes |
//! ```
//!
//! Bit 15 of `extension_type` says that the message belongs to a channel; its payload then
//! starts with that channel's id, a U32 LE that `msg_length` counts.

use std::fmt;

use thiserror::Error;

/// Bit 15 of `extension_type`: the payload starts with a channel id (Sv2 specification 3.2.1).
pub const CHANNEL_BIT: u16 = 0x8000;

/// Bytes of a plaintext header.
pub const HEADER_BYTES: usize = winze_aead::HEADER_BYTES;

/// The longest payload that the header's U24 can announce, in bytes. What a connection takes is
/// far less: see [`Limits`](crate::Limits).
pub const PAYLOAD_BYTES_MAX: usize = (1 << 24) - 1;

/// Bytes of the channel id at the start of a channel message's payload.
pub(crate) const CHANNEL_ID_BYTES: usize = 4;

/// One message as it stands on the wire before encryption.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// As on the wire: with [`CHANNEL_BIT`] where the message belongs to a channel.
    pub extension_type: u16,
    /// Which message of the extension this is; ids are scoped by extension.
    pub msg_type: u8,
    /// The message's fields, serialised; at most [`PAYLOAD_BYTES_MAX`] bytes.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The extension that defines the message: `extension_type` without [`CHANNEL_BIT`].
    pub fn extension(&self) -> u16 {
        self.extension_type & !CHANNEL_BIT
    }

    /// Whether the message belongs to a channel.
    pub fn is_channel_msg(&self) -> bool {
        self.extension_type & CHANNEL_BIT != 0
    }

    /// The channel the message belongs to. `None` where the channel bit is not set, and where it
    /// is set but the payload is too short to hold an id.
    pub fn channel_id(&self) -> Option<u32> {
        if !self.is_channel_msg() {
            return None;
        }
        let id = self.payload.first_chunk::<CHANNEL_ID_BYTES>()?;
        Some(u32::from_le_bytes(*id))
    }

    /// Rewrites the channel id, the one thing that a proxy may change in a message it forwards
    /// (Sv2 specification 3.2.1). False, with nothing changed, where [`Self::channel_id`] is
    /// `None`.
    pub fn set_channel_id(&mut self, channel_id: u32) -> bool {
        if !self.is_channel_msg() {
            return false;
        }
        let Some(id) = self.payload.first_chunk_mut::<CHANNEL_ID_BYTES>() else {
            return false;
        };
        *id = channel_id.to_le_bytes();
        true
    }

    /// Header and payload as plaintext bytes.
    ///
    /// # Panics
    /// When the payload is longer than [`PAYLOAD_BYTES_MAX`]: such a frame has no encoding, and
    /// no decoder yields one.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = self
            .header()
            .expect("a payload within PAYLOAD_BYTES_MAX is the caller's part");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.payload.len());
        bytes.extend_from_slice(&header.to_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// Reads exactly one frame: a header and as many bytes as it announces, no more, no less.
    pub fn from_bytes(bytes: &[u8]) -> Result<Frame, FrameError> {
        let Some((header, payload)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(FrameError::HeaderCutOff {
                present_bytes: bytes.len(),
            });
        };
        let header = Header::parse(header);
        if payload.len() != header.payload_bytes as usize {
            return Err(FrameError::PayloadLength {
                announced_bytes: header.payload_bytes as usize,
                present_bytes: payload.len(),
            });
        }
        Ok(Frame {
            extension_type: header.extension_type,
            msg_type: header.msg_type,
            payload: payload.to_vec(),
        })
    }

    /// The header that announces this frame. Fails with [`FrameError::PayloadTooLong`].
    pub fn header(&self) -> Result<Header, FrameError> {
        Header::new(self.extension_type, self.msg_type, self.payload.len())
    }
}

/// Names the message and its size. The payload stays out: what travels here may be money.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field(
                "extension_type",
                &format_args!("{:#06x}", self.extension_type),
            )
            .field("msg_type", &format_args!("{:#04x}", self.msg_type))
            .field("channel_id", &self.channel_id())
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

/// The six bytes in front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// See [`Frame::extension_type`].
    pub extension_type: u16,
    /// See [`Frame::msg_type`].
    pub msg_type: u8,
    /// Length of the plaintext payload in bytes, at most [`PAYLOAD_BYTES_MAX`]; the channel id
    /// counts, this header does not.
    pub payload_bytes: u32,
}

impl Header {
    /// Fails with [`FrameError::PayloadTooLong`] when a U24 cannot say `payload_bytes`.
    pub fn new(
        extension_type: u16,
        msg_type: u8,
        payload_bytes: usize,
    ) -> Result<Header, FrameError> {
        match u32::try_from(payload_bytes) {
            Ok(bytes) if payload_bytes <= PAYLOAD_BYTES_MAX => Ok(Header {
                extension_type,
                msg_type,
                payload_bytes: bytes,
            }),
            _ => Err(FrameError::PayloadTooLong { payload_bytes }),
        }
    }

    /// Reads a header. Every six bytes are one.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Header {
        let [e0, e1, msg_type, l0, l1, l2] = *bytes;
        Header {
            extension_type: u16::from_le_bytes([e0, e1]),
            msg_type,
            payload_bytes: u32::from_le_bytes([l0, l1, l2, 0]),
        }
    }

    /// The header on the wire. Only the low 24 bits of `payload_bytes` have a place there:
    /// [`Self::new`] is what refuses more.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let [e0, e1] = self.extension_type.to_le_bytes();
        let [l0, l1, l2, _] = self.payload_bytes.to_le_bytes();
        [e0, e1, self.msg_type, l0, l1, l2]
    }
}

/// Bytes that are not one frame, or a frame that has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The bytes end inside the header.
    #[error("frame header needs {HEADER_BYTES} bytes, {present_bytes} present")]
    HeaderCutOff {
        /// Bytes that were there.
        present_bytes: usize,
    },
    /// The payload is shorter or longer than its header says.
    #[error("frame header announces a payload of {announced_bytes} bytes, {present_bytes} present")]
    PayloadLength {
        /// What the header says.
        announced_bytes: usize,
        /// Bytes that follow the header.
        present_bytes: usize,
    },
    /// Our own frame is longer than a header can say.
    #[error("payload of {payload_bytes} bytes, a frame holds at most {PAYLOAD_BYTES_MAX}")]
    PayloadTooLong {
        /// Length of the payload.
        payload_bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel_message() -> Frame {
        Frame {
            extension_type: 0x4802 | CHANNEL_BIT,
            msg_type: 0x80,
            payload: vec![7, 0, 0, 0, 0xaa, 0xbb],
        }
    }

    #[test]
    fn a_proxy_rewrites_the_channel_id_and_nothing_else() {
        let mut frame = channel_message();
        assert_eq!(frame.channel_id(), Some(7));
        assert!(frame.set_channel_id(0x0102_0304));

        let bytes = frame.to_bytes();
        assert_eq!(bytes, [0x02, 0xc8, 0x80, 6, 0, 0, 4, 3, 2, 1, 0xaa, 0xbb],);
        assert_eq!(Frame::from_bytes(&bytes).unwrap(), frame);
        assert_eq!(frame.extension(), 0x4802);
    }

    #[test]
    fn without_the_bit_or_the_bytes_there_is_no_channel_to_rewrite() {
        let mut plain = channel_message();
        plain.extension_type &= !CHANNEL_BIT;
        let mut short = channel_message();
        short.payload.truncate(3);

        for frame in [&mut plain, &mut short] {
            let before = frame.clone();
            assert_eq!(frame.channel_id(), None);
            assert!(!frame.set_channel_id(9));
            assert_eq!(*frame, before);
        }
    }

    #[test]
    fn bytes_left_over_or_missing_are_not_a_frame() {
        let mut bytes = channel_message().to_bytes();
        assert_eq!(
            Frame::from_bytes(&bytes[..5]),
            Err(FrameError::HeaderCutOff { present_bytes: 5 })
        );
        assert_eq!(
            Frame::from_bytes(&bytes[..11]),
            Err(FrameError::PayloadLength {
                announced_bytes: 6,
                present_bytes: 5
            })
        );
        bytes.push(0);
        assert_eq!(
            Frame::from_bytes(&bytes),
            Err(FrameError::PayloadLength {
                announced_bytes: 6,
                present_bytes: 7
            })
        );
    }

    #[test]
    fn a_payload_that_a_u24_cannot_announce_has_no_header() {
        assert!(Header::new(0, 0, PAYLOAD_BYTES_MAX).is_ok());
        assert_eq!(
            Header::new(0, 0, PAYLOAD_BYTES_MAX + 1),
            Err(FrameError::PayloadTooLong {
                payload_bytes: PAYLOAD_BYTES_MAX + 1
            })
        );
    }

    #[test]
    fn debug_shows_the_size_and_not_the_payload() {
        let shown = format!("{:?}", channel_message());
        assert!(shown.contains("payload_bytes: 6"), "{shown}");
        assert!(!shown.contains("187"), "{shown}");
    }
}
