//! What sockets cost by themselves: a process that passes bytes between the two ends of a pair, which encrypt for one another
//! as they would for a hub. It decrypts nothing and looks at nothing, so no hub whose messages take this way, with a thread for each
//! core as here, costs less. One thread alone does (`hub-1-thread`).

use std::collections::HashMap;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use rand::rngs::OsRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use winze_runtime::clock::now_unix_s_u32;
use winze_runtime::ready;
use winze_transport::{SecretKey, ServerIdentity, initiate, respond};

use super::framed::{FramedPeer, message};
use super::signed::certificate;
use super::{Rig, folder};
use crate::error::BenchError;
use crate::limits::{CONNECTING_MAX, RELAY_BUFFER_BYTES};
use crate::load::{AnyEndpoint, Shape};
use crate::server::Server;

/// The first argument of the process that passes on.
pub const COMMAND: &str = "relay";

/// What it is called where something fails, and where its address is named.
const NAME: &str = "relay";

/// The process and a connection for each end of each pair.
///
/// # Errors
/// [`BenchError`].
pub async fn rig(shape: Shape) -> Result<Rig, BenchError> {
    let folder = folder()?;
    let program = std::env::current_exe().map_err(failed)?;
    let mut server = Server::start(NAME, &program, &[COMMAND.to_owned()], folder.path())?;
    let address = server.until_said(|line| ready::address(line, NAME)).await?;
    let identity = identity()?;
    let pairs: Vec<[FramedPeer; 2]> = stream::iter(0..shape.senders as u32)
        .map(|pair| connect(address, pair, shape.payload_bytes, &identity))
        .buffered(CONNECTING_MAX)
        .try_collect()
        .await?;
    let (mut senders, mut receivers) = (Vec::<AnyEndpoint>::new(), Vec::<AnyEndpoint>::new());
    for [sender, receiver] in pairs {
        senders.push(Box::new(sender));
        receivers.push(Box::new(receiver));
    }
    Ok(Rig {
        server,
        senders,
        receivers,
        folder,
    })
}

/// The receivers': nobody looks who signed it.
fn identity() -> Result<ServerIdentity, BenchError> {
    let key = SecretKey::generate(&mut OsRng);
    let certificate = certificate(&key, key.public_key());
    ServerIdentity::new(key, certificate).map_err(failed)
}

/// Both ends of a pair, who have shaken hands with one another.
async fn connect(
    address: SocketAddr,
    pair: u32,
    payload_bytes: usize,
    identity: &ServerIdentity,
) -> Result<[FramedPeer; 2], BenchError> {
    let (mut near, mut far) = (dial(address, pair).await?, dial(address, pair).await?);
    let (mut near_rng, mut far_rng) = (OsRng, OsRng);
    let (near_session, far_session) = tokio::try_join!(
        initiate(&mut near, None, now_unix_s_u32(), &mut near_rng),
        respond(&mut far, identity, &mut far_rng)
    )
    .map_err(failed)?;
    let message = message(pair, payload_bytes);
    Ok([
        FramedPeer::new(NAME, near, near_session, message.clone()),
        FramedPeer::new(NAME, far, far_session, message),
    ])
}

async fn dial(address: SocketAddr, pair: u32) -> Result<TcpStream, BenchError> {
    let mut stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.write_u32(pair).await.map_err(failed)?;
    Ok(stream)
}

/// The process itself. Whoever connects says the number of its pair; it serves until it is killed.
///
/// # Errors
/// [`BenchError::Peer`] where it cannot listen.
pub async fn run() -> Result<(), BenchError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(failed)?;
    ready::print(&[(NAME, listener.local_addr().map_err(failed)?)]).map_err(failed)?;
    let mut alone = HashMap::new();
    loop {
        let (mut stream, _) = listener.accept().await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let pair = stream.read_u32().await.map_err(failed)?;
        let Some(other) = alone.remove(&pair) else {
            alone.insert(pair, stream);
            continue;
        };
        let (from_one, to_one) = stream.into_split();
        let (from_other, to_other) = TcpStream::into_split(other);
        tokio::spawn(pass(from_one, to_other));
        tokio::spawn(pass(from_other, to_one));
    }
}

/// Until either end is gone.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; RELAY_BUFFER_BYTES];
    while let Ok(read_bytes @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..read_bytes]).await.is_err() {
            return;
        }
    }
}

fn failed(problem: impl Display) -> BenchError {
    BenchError::peer(NAME, problem)
}
