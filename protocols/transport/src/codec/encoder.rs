use std::fmt;

use super::{CodecError, encrypted_frame_bytes};
use crate::frame::{Frame, PAYLOAD_BYTES_MAX};
use crate::limits::Limits;
use crate::noise::{BLOCK_PLAINTEXT_BYTES_MAX, Sealer};

/// Encrypts frames in the order in which they are to be sent.
pub struct FrameEncoder {
    sealer: Sealer,
    limits: Limits,
}

impl FrameEncoder {
    /// `limits` bounds what we send.
    pub fn new(sealer: Sealer, limits: Limits) -> FrameEncoder {
        FrameEncoder { sealer, limits }
    }

    /// Appends `frame`, encrypted, to `out`: [`encrypted_frame_bytes`] of its payload's length.
    ///
    /// After [`CodecError::FrameOverLimit`] the encoder goes on with the next frame, after
    /// [`CodecError::Cipher`] it gives that error for ever. In both cases `out` is as it was.
    pub fn encode(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let payload_bytes = frame.payload.len();
        let payload_bytes_max = self.limits.payload_bytes_max.min(PAYLOAD_BYTES_MAX);
        let header = match frame.header() {
            Ok(header) if payload_bytes <= payload_bytes_max => header,
            _ => {
                return Err(CodecError::FrameOverLimit {
                    payload_bytes,
                    payload_bytes_max,
                });
            }
        };

        let before = out.len();
        out.reserve(encrypted_frame_bytes(payload_bytes));
        let blocks = frame.payload.chunks(BLOCK_PLAINTEXT_BYTES_MAX);
        for block in std::iter::once(&header.to_bytes()[..]).chain(blocks) {
            if let Err(error) = self.sealer.seal(block, out) {
                out.truncate(before);
                return Err(CodecError::Cipher(error));
            }
        }
        Ok(())
    }

    /// What is sent from the next frame on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }
}

impl fmt::Debug for FrameEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameEncoder")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
