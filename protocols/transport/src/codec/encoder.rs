use std::fmt;

use winze_aead::is_for_run;

use super::{CodecError, encrypted_frame_bytes};
use crate::frame::{CHANNEL_ID_BYTES, Frame, Header, PAYLOAD_BYTES_MAX};
use crate::limits::Limits;
use crate::noise::{BLOCK_PLAINTEXT_BYTES_MAX, CipherError, Sealer};

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
        self.stage(frame, out)?;
        self.seal_staged(out)
    }

    /// [`Self::encode`] of one after the other, in less time. The first that is refused ends it; those before it are in
    /// `out` then.
    pub fn encode_all(&mut self, frames: &[Frame], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let staged = frames.iter().try_for_each(|frame| self.stage(frame, out));
        self.seal_staged(out).and(staged)
    }

    /// As [`Self::encode`], but what is appended may be plaintext still, until
    /// [`Self::seal_staged`], which encrypts several frames in less time than one by one. In
    /// between the end of `out` has to stay as it is, and must not be sent.
    pub(crate) fn stage(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.stage_parts(frame, &[], &frame.payload, out)
    }

    /// Encrypts what was staged. After [`CodecError::Cipher`] that is no longer in `out`.
    pub(crate) fn seal_staged(&mut self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.sealer.seal_staged(out).map_err(CodecError::Cipher)
    }

    /// [`Self::encode`] of `frame` with another channel id, the frame itself staying as it is: one that goes to many has
    /// to be in memory once. A frame without a channel id is encoded as it is.
    pub fn encode_for_channel(
        &mut self,
        frame: &Frame,
        channel_id: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        self.stage_for_channel(frame, channel_id, out)?;
        self.seal_staged(out)
    }

    /// [`Self::encode_for_channel`] as [`Self::stage`] does it.
    pub(crate) fn stage_for_channel(
        &mut self,
        frame: &Frame,
        channel_id: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        match frame.payload.split_first_chunk::<CHANNEL_ID_BYTES>() {
            Some((_, rest)) if frame.is_channel_msg() => {
                self.stage_parts(frame, &channel_id.to_le_bytes(), rest, out)
            }
            _ => self.stage(frame, out),
        }
    }

    /// The frame's header, then `start` and `rest` as its payload, which have the length that the frame's has.
    fn stage_parts(
        &mut self,
        frame: &Frame,
        start: &[u8],
        rest: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
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

        out.reserve(encrypted_frame_bytes(payload_bytes));
        if is_for_run(payload_bytes) {
            let staged = self.sealer.stage(&header.to_bytes(), start, rest, out);
            return staged.map_err(CodecError::Cipher);
        }
        let before = out.len();
        let sealed = self.seal_blocks(&header, start, rest, out);
        sealed.map_err(|error| {
            out.truncate(before);
            CodecError::Cipher(error)
        })
    }

    fn seal_blocks(
        &mut self,
        header: &Header,
        start: &[u8],
        rest: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CipherError> {
        self.sealer.seal(&header.to_bytes(), out)?;
        let first_bytes = rest.len().min(BLOCK_PLAINTEXT_BYTES_MAX - start.len());
        let (first, more) = rest.split_at(first_bytes);
        if header.payload_bytes > 0 {
            self.sealer.seal_joined(start, first, out)?;
        }
        for block in more.chunks(BLOCK_PLAINTEXT_BYTES_MAX) {
            self.sealer.seal(block, out)?;
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
