//! An encrypted connection over TCP.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use binary_sv2::{GetSize, Serialize};
use codec_sv2::{Handshake, MessageFrame};
use framing_sv2::framing::SerializedFrame;
use noise_sv2::{Initiator, Responder};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::hashes::x_only;
use crate::peer::Peer;

/// How long the other side may take for anything before the test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the certificate is good that an accepting side makes for itself.
const CERTIFICATE_VALIDITY: Duration = Duration::from_secs(60);
/// Bytes of act 1: an ElligatorSwift key (Sv2, 4.5.1).
const ACT_1_BYTES: usize = 64;
/// Bytes of act 2: key, encrypted static key, encrypted certificate (Sv2, 4.5.2).
const ACT_2_BYTES: usize = 234;

/// One side of a connection whose handshake is done.
pub struct Connection {
    stream: TcpStream,
    peer: Peer,
    transcript: [u8; 32],
}

impl Connection {
    /// Connects as a client that trusts the authority whose x-only key this is.
    pub async fn dial(address: SocketAddr, authority: [u8; 32]) -> Connection {
        let mut stream = soon("a connection", TcpStream::connect(address)).await;
        let initiator = Initiator::from_raw_k(authority).unwrap();
        let (act_1, initiator) = Handshake::initiator(initiator).step_0().unwrap();
        stream.write_all(act_1.payload()).await.unwrap();
        let mut act_2 = [0; ACT_2_BYTES];
        soon("act 2", stream.read_exact(&mut act_2)).await;
        let transport = initiator.step_2(act_2).unwrap();
        Connection {
            stream,
            peer: Peer::new(transport),
            transcript: transcript(act_1.payload(), &act_2),
        }
    }

    /// Takes the next connection of the listener as a server that the authority with this secret key vouches for.
    pub async fn accept(listener: &TcpListener, authority_secret: &[u8; 32]) -> Connection {
        let (mut stream, _) = soon("a client", listener.accept()).await;
        let mut act_1 = [0; ACT_1_BYTES];
        soon("act 1", stream.read_exact(&mut act_1)).await;
        let responder = Responder::from_authority_kp(
            &x_only(authority_secret),
            authority_secret,
            CERTIFICATE_VALIDITY,
        )
        .unwrap();
        let (act_2, transport) = Handshake::responder(responder).step_1(act_1).unwrap();
        stream.write_all(act_2.payload()).await.unwrap();
        Connection {
            stream,
            peer: Peer::new(transport),
            transcript: transcript(&act_1, act_2.payload()),
        }
    }

    /// SHA-256 over both acts: the connection's name in `Authenticate` (specification, section 1.2).
    pub fn transcript(&self) -> &[u8; 32] {
        &self.transcript
    }

    /// Sends a message of the connection itself.
    pub async fn send<M: Serialize + GetSize>(&mut self, extension: u16, msg_type: u8, message: M) {
        self.write(MessageFrame::from_message(message, msg_type, extension, false).unwrap())
            .await;
    }

    /// Sends a message of a channel, whose id is the message's first field.
    pub async fn send_on_channel<M: Serialize + GetSize>(
        &mut self,
        extension: u16,
        msg_type: u8,
        message: M,
    ) {
        self.write(MessageFrame::from_message(message, msg_type, extension, true).unwrap())
            .await;
    }

    async fn write<M: Serialize + GetSize>(&mut self, frame: MessageFrame<M>) {
        let bytes = self.peer.seal(frame);
        soon("room to write", self.stream.write_all(&bytes)).await;
    }

    /// The payload of the next frame, which has to be this message. `extension_type` is that of the header, with the
    /// channel bit where the message is a channel's.
    pub async fn receive(&mut self, extension_type: u16, msg_type: u8) -> Vec<u8> {
        let bytes = loop {
            soon("a frame", self.stream.read_exact(self.peer.missing())).await;
            if let Some(bytes) = self.peer.open() {
                break bytes;
            }
        };
        let mut frame = SerializedFrame::from_bytes(bytes).unwrap();
        let header = frame.header();
        assert_eq!(
            (header.ext_type(), header.msg_type()),
            (extension_type, msg_type)
        );
        frame.payload().to_vec()
    }
}

fn transcript(act_1: &[u8], act_2: &[u8]) -> [u8; 32] {
    let acts = Sha256::new().chain_update(act_1).chain_update(act_2);
    acts.finalize().into()
}

/// Waits, but not for ever.
async fn soon<T>(what: &str, io: impl Future<Output = std::io::Result<T>>) -> T {
    match tokio::time::timeout(PATIENCE, io).await {
        Ok(done) => done.unwrap_or_else(|error| panic!("{what}: {error}")),
        Err(_) => panic!("{what}: nothing after {PATIENCE:?}"),
    }
}
