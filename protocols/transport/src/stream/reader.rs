use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::{fmt, io, mem};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::buffers;
use crate::codec::{CodecError, FrameDecoder};
use crate::frame::Frame;
use crate::limits::Limits;
use crate::noise::Opener;

/// Reads frames in batches: one read takes what the stream has, up to
/// [`READ_BUFFER_BYTES`](crate::limits::READ_BUFFER_BYTES), and every whole frame in it is given
/// at once. While it waits for bytes it holds no buffer.
pub struct FrameReader<R> {
    stream: R,
    decoder: FrameDecoder,
    bytes_received: u64,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from where the handshake ended.
    pub fn new(stream: R, opener: Opener, limits: Limits) -> FrameReader<R> {
        FrameReader {
            stream,
            decoder: FrameDecoder::new(opener, limits),
            bytes_received: 0,
        }
    }

    /// Waits until there is at least one frame and appends what there is, in order, to `out`; at
    /// most `frames_max` (0 counts as 1), the rest waits for the next call. Returns how many, 0
    /// when the peer has closed the stream between two frames.
    ///
    /// Where a read brings good frames and then a bad one, the good ones are given first and the
    /// error by the next call: what a caller sees does not depend on how the bytes were cut. A
    /// call appends frames of at most one read, so their payloads sum to no more than
    /// `READ_BUFFER_BYTES` and one largest payload.
    ///
    /// While it waits, an empty `out` has no memory: room for frames is the thread's, as buffers
    /// are, and `out` has it from when frames come until it is empty again and waits.
    ///
    /// Cancel-safe: dropped before it is ready, it has lost nothing and appended nothing.
    pub async fn read_batch(
        &mut self,
        out: &mut Vec<Frame>,
        frames_max: usize,
    ) -> Result<usize, ReadError> {
        loop {
            let frames = self.take_decoded(out, frames_max.max(1))?;
            if frames > 0 {
                return Ok(frames);
            }
            let read = poll_fn(|context| {
                let read = self.poll_read(context);
                if read.is_pending() && out.is_empty() && out.capacity() > 0 {
                    buffers::give_from_frames(mem::take(out));
                }
                read
            });
            if read.await? == 0 {
                return match self.decoder.is_mid_frame() {
                    false => Ok(0),
                    true => Err(ReadError::CutOff),
                };
            }
        }
    }

    /// Encrypted bytes that have come since the handshake, whole frames or not: what tells a slow
    /// peer from a dead one.
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// What is taken from the next frame on that was not begun with. Frames that came
    /// in the same read but were not given out yet fall under the new limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.decoder.set_limits(limits);
    }

    /// Reads once, into a buffer of this thread's that the decoder has only if something came.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = buffers::take_for_read();
        let read = pin!(self.stream.read_buf(&mut buffer)).poll(context);
        if let Poll::Ready(Ok(read_bytes @ 1..)) = read {
            self.decoder.lend(buffer);
            self.bytes_received += read_bytes as u64;
        } else {
            buffers::give_from_read(buffer);
        }
        read
    }

    /// Appends the frames that are there, at most `frames_max`.
    fn take_decoded(
        &mut self,
        out: &mut Vec<Frame>,
        frames_max: usize,
    ) -> Result<usize, CodecError> {
        let taken = self.decode(out, frames_max);
        if let Some(buffer) = self.decoder.take_back() {
            buffers::give_from_read(buffer);
        }
        taken
    }

    fn decode(&mut self, out: &mut Vec<Frame>, frames_max: usize) -> Result<usize, CodecError> {
        let mut frames = 0;
        while frames < frames_max {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => {
                    if out.capacity() == 0 {
                        *out = buffers::take_for_frames();
                    }
                    out.push(frame);
                }
                Ok(None) => break,
                // The decoder keeps the error for the next call.
                Err(_) if frames > 0 => break,
                Err(error) => return Err(error),
            }
            frames += 1;
        }
        Ok(frames)
    }
}

impl<R> fmt::Debug for FrameReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader")
            .field("decoder", &self.decoder)
            .field("bytes_received", &self.bytes_received)
            .finish_non_exhaustive()
    }
}

/// Why there are no more frames.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The network, or this machine.
    #[error("read: {0}")]
    Io(#[from] io::Error),
    /// The peer sent what is no frame, or none that we take.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The stream ended inside a frame: the peer died, or somebody cut the connection.
    #[error("the stream ended in the middle of a frame")]
    CutOff,
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;
    use crate::noise::connected_pair;
    use crate::stream::FrameWriter;

    #[tokio::test]
    async fn a_connection_that_waits_for_its_peer_holds_no_buffer() {
        let limits = Limits {
            payload_bytes_max: 100_000,
        };
        let frame = |payload_bytes| Frame {
            extension_type: 0x4802,
            msg_type: 1,
            payload: vec![7; payload_bytes],
        };
        let (client, server) = connected_pair();
        let (to_server, to_client) = duplex(1 << 20);
        let mut writer = FrameWriter::new(to_server, client.sealer, limits);
        let mut reader = FrameReader::new(to_client, server.opener, limits);
        for round in 1..3 {
            for payload_bytes in [0, 200, 100_000] {
                writer.push(&frame(payload_bytes)).unwrap();
            }
            writer.flush().await.unwrap();
            let mut received = Vec::new();
            while received.len() < 3 {
                reader.read_batch(&mut received, 10).await.unwrap();
            }
            received.clear();
            {
                let mut more = pin!(reader.read_batch(&mut received, 10));
                let polled = poll_fn(|context| Poll::Ready(more.as_mut().poll(context)));
                assert!(polled.await.is_pending());
            }
            assert_eq!(received.capacity(), 0, "round {round}");
            assert_eq!(reader.decoder.held_bytes(), 0, "round {round}");
            assert_eq!(writer.held_bytes(), 0, "round {round}");
        }
    }
}
