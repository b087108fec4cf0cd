use std::{fmt, io, mem};

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::buffers;
use crate::codec::{CodecError, FrameEncoder};
use crate::frame::Frame;
use crate::limits::{Limits, WRITE_PENDING_BYTES_MAX};
use crate::noise::Sealer;

/// Writes frames in batches: any number are pushed, then all go out with as few writes as the
/// stream allows. While nothing is pending it holds no buffer.
pub struct FrameWriter<W> {
    stream: W,
    encoder: FrameEncoder,
    /// Frames in the order in which they were pushed; the first `written` bytes are on their way
    /// already. The last few frames are in plaintext until the next bytes go, as frames themselves are.
    pending: Vec<u8>,
    written: usize,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes from where the handshake ended.
    pub fn new(stream: W, sealer: Sealer, limits: Limits) -> FrameWriter<W> {
        FrameWriter {
            stream,
            encoder: FrameEncoder::new(sealer, limits),
            pending: Vec::new(),
            written: 0,
        }
    }

    /// Puts `frame` behind what is pending; nothing is written yet.
    ///
    /// Refuses with [`CodecError::WriterFull`] while [`WRITE_PENDING_BYTES_MAX`] or more wait,
    /// with [`CodecError::FrameOverLimit`] a frame beyond the limits; neither harms the stream.
    /// [`CodecError::Cipher`] is final.
    pub fn push(&mut self, frame: &Frame) -> Result<(), CodecError> {
        self.make_room()?;
        self.encoder.stage(frame, &mut self.pending)
    }

    /// [`Self::push`] of `frame` with another channel id; see [`FrameEncoder::encode_for_channel`].
    pub fn push_for_channel(&mut self, frame: &Frame, channel_id: u32) -> Result<(), CodecError> {
        self.make_room()?;
        self.encoder
            .stage_for_channel(frame, channel_id, &mut self.pending)
    }

    fn make_room(&mut self) -> Result<(), CodecError> {
        let pending_bytes = self.pending_bytes();
        if pending_bytes >= WRITE_PENDING_BYTES_MAX {
            return Err(CodecError::WriterFull { pending_bytes });
        }
        if self.pending.capacity() == 0 {
            self.pending = buffers::take_for_write();
        }
        // Moving at most as much as was written keeps the cost of a byte constant.
        if self.written > pending_bytes {
            self.pending.drain(..self.written);
            self.written = 0;
        }
        Ok(())
    }

    /// Bytes that were pushed and not yet handed to the stream, as many as they have when they are encrypted.
    pub fn pending_bytes(&self) -> usize {
        self.pending.len().saturating_sub(self.written)
    }

    /// Hands as much as the stream takes in one write, and returns how many bytes that was; 0
    /// only when nothing is pending. For callers that watch a slow peer's progress.
    ///
    /// Cancel-safe: what was handed over is never handed over again.
    pub async fn write_some(&mut self) -> io::Result<usize> {
        self.encoder
            .seal_staged(&mut self.pending)
            .map_err(io::Error::other)?;
        let Some(unwritten) = self.pending.get(self.written..) else {
            return Ok(0);
        };
        if unwritten.is_empty() {
            return Ok(0);
        }
        let written_bytes = self.stream.write(unwritten).await?;
        if written_bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.written += written_bytes;
        if self.pending_bytes() == 0 {
            buffers::give_from_write(mem::take(&mut self.pending));
            self.written = 0;
        }
        Ok(written_bytes)
    }

    /// Writes everything that is pending and flushes the stream. Waits for as long as the peer
    /// takes to make room. Cancel-safe: call it again and it goes on where it was.
    pub async fn flush(&mut self) -> io::Result<()> {
        while self.write_some().await? > 0 {}
        self.stream.flush().await
    }

    /// [`Self::flush`], then tells the peer that nothing more comes. Cancel-safe as it is.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.shutdown().await
    }

    /// Memory held for ciphertext, in bytes.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.pending.capacity()
    }

    /// What is sent from the next frame on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.encoder.set_limits(limits);
    }
}

impl<W> fmt::Debug for FrameWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameWriter")
            .field("encoder", &self.encoder)
            .field("written", &self.written)
            .field("buffered_bytes", &self.pending.len())
            .finish_non_exhaustive()
    }
}
