//! The naive hub on the Sv2 reference crates, in its two builds, and clients of it on our own transport: the wire is the
//! same.

use std::net::SocketAddr;
use std::path::Path;

use async_trait::async_trait;
use futures_util::TryFutureExt;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use rand::rngs::OsRng;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use winze_messages::channel_frame;
use winze_runtime::clock::now_unix_s_u32;
use winze_runtime::ready;
use winze_transport::{Frame, FrameReader, FrameWriter, Limits, PAYLOAD_BYTES_MAX, initiate};

use super::{Rig, folder};
use crate::error::BenchError;
use crate::limits::{CONNECTING_MAX, FRAMES_PER_TURN_MAX, WRITE_BATCH_BYTES};
use crate::load::{AnyEndpoint, Endpoint, Shape};
use crate::server::Server;

/// The extension of its messages; it looks at none.
const EXTENSION: u16 = 0x4a00;
/// The type of the frame that names the channel to receive.
const JOIN: u8 = 1;
/// The type of messages.
const MESSAGE: u8 = 2;

/// A running naive hub and how to dial it.
pub struct Naive {
    /// The process.
    pub server: Server,
    address: SocketAddr,
}

impl Naive {
    /// Starts `program` on a free port.
    ///
    /// # Errors
    /// Those of [`Server::start`] and [`Server::until_said`].
    pub async fn start(program: &Path, folder: &Path) -> Result<Naive, BenchError> {
        let mut server = Server::start("naive", program, &[], folder)?;
        let address = server
            .until_said(|line| ready::address(line, "hub"))
            .await?;
        Ok(Naive { server, address })
    }

    /// Connects a client that sends to one channel and receives another.
    ///
    /// # Errors
    /// [`BenchError::Peer`].
    pub async fn connect(
        &self,
        to: u32,
        from: Option<u32>,
        payload_bytes: usize,
    ) -> Result<NaivePeer, BenchError> {
        let mut stream = TcpStream::connect(self.address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let session = initiate(&mut stream, None, now_unix_s_u32(), &mut OsRng)
            .await
            .map_err(failed)?;
        let limits = Limits {
            payload_bytes_max: PAYLOAD_BYTES_MAX,
        };
        let (read_half, write_half) = stream.into_split();
        let bytes = vec![0x5a; payload_bytes.saturating_sub(4)];
        let mut peer = NaivePeer {
            reader: FrameReader::new(read_half, session.opener, limits),
            writer: FrameWriter::new(write_half, session.sealer, limits),
            frames: Vec::new(),
            message: channel_frame(EXTENSION, MESSAGE, to, &bytes),
        };
        if let Some(channel) = from {
            let join = Frame {
                extension_type: EXTENSION,
                msg_type: JOIN,
                payload: channel.to_le_bytes().to_vec(),
            };
            peer.writer.push(&join).map_err(failed)?;
            peer.writer.flush().await.map_err(failed)?;
            // It comes back once the channel is received.
            peer.read().await?;
            peer.frames.clear();
        }
        Ok(peer)
    }
}

/// A naive hub, a connection for each sender and receiver, and their channels.
///
/// # Errors
/// [`BenchError`].
pub async fn rig(program: &Path, shape: Shape) -> Result<Rig, BenchError> {
    let folder = folder()?;
    let naive = Naive::start(program, folder.path()).await?;
    let naive_ref = &naive;
    // Requests of pair n go by channel 2n, its answers by 2n + 1.
    let connected = |count: usize, answering: bool| {
        stream::iter(0..count).map(move |place| {
            let pair = if shape.senders == 1 { 0 } else { place as u32 };
            let (requests, answers) = (2 * pair, 2 * pair + 1);
            let peer = match answering {
                true => naive_ref.connect(answers, Some(requests), shape.payload_bytes),
                false => naive_ref.connect(requests, Some(answers), shape.payload_bytes),
            };
            peer.map_ok(|peer| Box::new(peer) as AnyEndpoint)
        })
    };
    let receivers = connected(shape.receivers, true).buffered(CONNECTING_MAX);
    let receivers = receivers.try_collect().await?;
    let senders = connected(shape.senders, false).buffered(CONNECTING_MAX);
    let senders = senders.try_collect().await?;
    Ok(Rig {
        server: naive.server,
        senders,
        receivers,
        folder,
    })
}

/// One connection.
pub struct NaivePeer {
    reader: FrameReader<OwnedReadHalf>,
    writer: FrameWriter<OwnedWriteHalf>,
    frames: Vec<Frame>,
    message: Frame,
}

impl NaivePeer {
    async fn read(&mut self) -> Result<(), BenchError> {
        self.frames.clear();
        let read = self
            .reader
            .read_batch(&mut self.frames, FRAMES_PER_TURN_MAX);
        match read.await.map_err(failed)? {
            0 => Err(failed("it closed the connection")),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Endpoint for NaivePeer {
    async fn send(&mut self, messages: usize) -> Result<(), BenchError> {
        for _ in 0..messages {
            self.writer.push(&self.message).map_err(failed)?;
            if self.writer.pending_bytes() >= WRITE_BATCH_BYTES {
                self.writer.flush().await.map_err(failed)?;
            }
        }
        self.writer.flush().await.map_err(failed)
    }

    async fn receive(&mut self) -> Result<usize, BenchError> {
        self.read().await?;
        let sent_bytes = self.message.payload.len();
        match self
            .frames
            .iter()
            .all(|frame| frame.payload.len() == sent_bytes)
        {
            true => Ok(self.frames.len()),
            false => Err(failed("another payload than was sent")),
        }
    }
}

fn failed(problem: impl std::fmt::Display) -> BenchError {
    BenchError::peer("naive", problem)
}
