//! Frames to encrypted bytes and back (Sv2 specification 4.6). No IO: bytes in, frames out.
//!
//! ```text
//! | header, 6 + MAC 16 | block of the payload, at most 65,519 + MAC 16 | more blocks |
//! ```
//!
//! The header's `msg_length` counts plaintext. An empty payload has no block.

mod ciphertext;
mod decoder;
mod encoder;

pub use decoder::FrameDecoder;
pub use encoder::FrameEncoder;

use thiserror::Error;

use crate::frame::HEADER_BYTES;
use crate::noise::{BLOCK_PLAINTEXT_BYTES_MAX, CipherError, MAC_BYTES};

/// Bytes of an encrypted header.
pub const HEADER_BLOCK_BYTES: usize = HEADER_BYTES + MAC_BYTES;

/// How many bytes a frame with a payload of `payload_bytes` has on the wire.
pub const fn encrypted_frame_bytes(payload_bytes: usize) -> usize {
    let blocks = payload_bytes.div_ceil(BLOCK_PLAINTEXT_BYTES_MAX);
    HEADER_BLOCK_BYTES + payload_bytes + blocks * MAC_BYTES
}

/// Why a frame could not be taken from, or put on, the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    /// Peer: 22 bytes that should be a header were not made with our shared key.
    #[error("frame header is not authentic")]
    HeaderNotAuthentic,
    /// Peer: a block of a payload was not made with our shared key.
    #[error(
        "payload of frame {extension_type:#06x}/{msg_type:#04x} is not authentic in the block at byte {offset_bytes}"
    )]
    PayloadNotAuthentic {
        /// From the frame's header, with the channel bit.
        extension_type: u16,
        /// From the frame's header.
        msg_type: u8,
        /// Where in the plaintext payload the block starts.
        offset_bytes: usize,
    },
    /// Peer: an authentic header announces more than we take. No memory was taken for it.
    #[error(
        "frame {extension_type:#06x}/{msg_type:#04x} announces {payload_bytes} bytes, at most {payload_bytes_max} are taken"
    )]
    AnnouncedOverLimit {
        /// From the frame's header, with the channel bit.
        extension_type: u16,
        /// From the frame's header.
        msg_type: u8,
        /// What the header announces.
        payload_bytes: usize,
        /// The limit in force.
        payload_bytes_max: usize,
    },
    /// Ours: the frame to be sent is longer than the limit. Nothing was encrypted, the next frame
    /// may be.
    #[error("frame to send has {payload_bytes} bytes, at most {payload_bytes_max} are sent")]
    FrameOverLimit {
        /// Length of the frame's payload.
        payload_bytes: usize,
        /// The limit in force.
        payload_bytes_max: usize,
    },
    /// Ours: the writer holds [`WRITE_PENDING_BYTES_MAX`](crate::limits::WRITE_PENDING_BYTES_MAX)
    /// or more that was not written. Nothing was encrypted; flush, then push again.
    #[error("{pending_bytes} bytes wait to be written, no more frames are taken")]
    WriterFull {
        /// What waits.
        pending_bytes: usize,
    },
    /// Ours: the cipher of this direction takes no more. Final.
    #[error(transparent)]
    Cipher(CipherError),
}

#[cfg(test)]
mod runs;
