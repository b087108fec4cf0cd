//! A client that speaks encrypted frames and nothing above them.

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use winze_messages::channel_frame;
use winze_transport::{Frame, FrameReader, FrameWriter, Limits, PAYLOAD_BYTES_MAX, Session};

use crate::error::BenchError;
use crate::limits::{FRAMES_PER_TURN_MAX, WRITE_BATCH_BYTES};
use crate::load::Endpoint;

/// The extension of its messages; nobody looks at them.
pub const EXTENSION: u16 = 0x4a00;
/// The type of its messages.
const MESSAGE: u8 = 2;

/// A message for a channel, with so many bytes of payload.
pub fn message(channel: u32, payload_bytes: usize) -> Frame {
    let bytes = vec![0x5a; payload_bytes.saturating_sub(4)];
    channel_frame(EXTENSION, MESSAGE, channel, &bytes)
}

/// One connection.
pub struct FramedPeer {
    system: &'static str,
    reader: FrameReader<OwnedReadHalf>,
    writer: FrameWriter<OwnedWriteHalf>,
    frames: Vec<Frame>,
    message: Frame,
}

impl FramedPeer {
    /// Over `stream`, whose handshake gave `session`; to send `message`, and to receive such.
    pub fn new(
        system: &'static str,
        stream: TcpStream,
        session: Session,
        message: Frame,
    ) -> FramedPeer {
        let limits = Limits {
            payload_bytes_max: PAYLOAD_BYTES_MAX,
        };
        let (read_half, write_half) = stream.into_split();
        FramedPeer {
            system,
            reader: FrameReader::new(read_half, session.opener, limits),
            writer: FrameWriter::new(write_half, session.sealer, limits),
            frames: Vec::new(),
            message,
        }
    }

    /// Sends `frame` and waits until something has come.
    ///
    /// # Errors
    /// [`BenchError::Peer`].
    pub async fn ask(&mut self, frame: &Frame) -> Result<(), BenchError> {
        let pushed = self.writer.push(frame);
        pushed.map_err(|error| BenchError::peer(self.system, error))?;
        self.flush().await?;
        self.read().await
    }

    async fn flush(&mut self) -> Result<(), BenchError> {
        let flushed = self.writer.flush().await;
        flushed.map_err(|error| BenchError::peer(self.system, error))
    }

    async fn read(&mut self) -> Result<(), BenchError> {
        self.frames.clear();
        let read = self
            .reader
            .read_batch(&mut self.frames, FRAMES_PER_TURN_MAX);
        match read.await {
            Ok(0) => Err(BenchError::peer(self.system, "it closed the connection")),
            Ok(_) => Ok(()),
            Err(error) => Err(BenchError::peer(self.system, error)),
        }
    }
}

#[async_trait]
impl Endpoint for FramedPeer {
    async fn send(&mut self, messages: usize) -> Result<(), BenchError> {
        for _ in 0..messages {
            let pushed = self.writer.push(&self.message);
            pushed.map_err(|error| BenchError::peer(self.system, error))?;
            if self.writer.pending_bytes() >= WRITE_BATCH_BYTES {
                self.flush().await?;
            }
        }
        self.flush().await
    }

    async fn receive(&mut self) -> Result<usize, BenchError> {
        self.read().await?;
        let sent_bytes = self.message.payload.len();
        let are_whole = |frame: &Frame| frame.payload.len() == sent_bytes;
        match self.frames.iter().all(are_whole) {
            true => Ok(self.frames.len()),
            false => Err(BenchError::peer(
                self.system,
                "another payload than was sent",
            )),
        }
    }
}
