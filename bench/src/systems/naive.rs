//! The naive hub on the Sv2 reference crates, in its two builds, and clients of it on our own transport: the wire is the
//! same.

use std::net::SocketAddr;
use std::path::Path;

use futures_util::TryFutureExt;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use rand::rngs::OsRng;
use tokio::net::TcpStream;
use winze_runtime::clock::now_unix_s_u32;
use winze_runtime::ready;
use winze_transport::{Frame, initiate};

use super::framed::{EXTENSION, FramedPeer, message};
use super::{Rig, folder};
use crate::error::BenchError;
use crate::limits::CONNECTING_MAX;
use crate::load::{AnyEndpoint, Shape};
use crate::server::Server;

/// The type of the frame that names the channel to receive.
const JOIN: u8 = 1;

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
    ) -> Result<FramedPeer, BenchError> {
        let mut stream = TcpStream::connect(self.address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let session = initiate(&mut stream, None, now_unix_s_u32(), &mut OsRng)
            .await
            .map_err(failed)?;
        let mut peer = FramedPeer::new("naive", stream, session, message(to, payload_bytes));
        if let Some(channel) = from {
            let join = Frame {
                extension_type: EXTENSION,
                msg_type: JOIN,
                payload: channel.to_le_bytes().to_vec(),
            };
            // It comes back once the channel is received.
            peer.ask(&join).await?;
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

fn failed(problem: impl std::fmt::Display) -> BenchError {
    BenchError::peer("naive", problem)
}
