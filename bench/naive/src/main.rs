//! A hub as one writes it on the Sv2 reference crates in an afternoon: per message two reads, a lookup, a write. It
//! authenticates nobody, bounds nothing but its queues, and checks no message. Peer of the measurements in `bench/`.
//!
//! A client shakes hands (Noise NX), and says with a frame of type [`JOIN`] which channel it receives; the frame comes
//! back once that holds. Any channel message goes to all who receive its channel.
//!
//! Without arguments it listens on a free loopback port and prints `ready hub=ADDRESS authority=HEX`. With
//! `--floor BYTES ROUNDS` it prints what the ciphers alone cost, see [`floor`].

mod floor;

use std::collections::HashMap;
use std::io::Result;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use codec_sv2::{
    Decrypted, Handshake, NoiseDecoder, NoiseEncoder, TransportDecryptState, TransportEncryptState,
};
use framing_sv2::framing::SerializedFrame;
use noise_sv2::Responder;
use secp256k1::rand::rngs::OsRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Message type of the frame that names the channel to receive, as its payload (U32).
const JOIN: u8 = 1;
/// Messages that wait for one connection's writer; its senders wait beyond it.
const QUEUE_MESSAGES: usize = 1_024;
/// How long the certificates are good that it makes for each connection.
const CERTIFICATE_VALIDITY: Duration = Duration::from_secs(24 * 3_600);
/// Bytes of act 1.
const ACT_1_BYTES: usize = 64;

type Plain = SerializedFrame<Vec<u8>>;
type Routes = Arc<RwLock<HashMap<u32, Vec<Sender<Plain>>>>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--floor") {
        let mut number = || {
            let text = arguments.next()?;
            text.parse().ok()
        };
        let (Some(payload_bytes), Some(rounds)) = (number(), number()) else {
            return Err(std::io::Error::other("--floor BYTES ROUNDS"));
        };
        println!(
            "floor_ns={}",
            floor::message_ns(payload_bytes, rounds as u64)
        );
        return Ok(());
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve())
}

async fn serve() -> Result<()> {
    let (secret, public) = secp256k1::generate_keypair(&mut OsRng);
    let authority = public.x_only_public_key().0;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready hub={} authority={authority}", listener.local_addr()?);
    let routes = Routes::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let (routes, secret) = (Arc::clone(&routes), secret.secret_bytes());
        let authority = authority.serialize();
        tokio::spawn(async move {
            // A connection that breaks ends; nobody else hears of it.
            let _ = connection(stream, &authority, &secret, routes).await;
        });
    }
}

async fn connection(
    mut stream: TcpStream,
    authority: &[u8; 32],
    secret: &[u8; 32],
    routes: Routes,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut act_1 = [0; ACT_1_BYTES];
    stream.read_exact(&mut act_1).await?;
    let responder =
        Responder::from_authority_kp(authority, secret, CERTIFICATE_VALIDITY).map_err(failed)?;
    let (act_2, transport) = Handshake::responder(responder)
        .step_1(act_1)
        .map_err(failed)?;
    stream.write_all(act_2.payload()).await?;
    let (encrypt, decrypt) = transport.split();
    let (reader, writer) = stream.into_split();
    let (queue, queued) = channel(QUEUE_MESSAGES);
    tokio::spawn(write(writer, encrypt, queued));
    read(reader, decrypt, queue, routes).await
}

async fn read(
    mut reader: OwnedReadHalf,
    mut state: TransportDecryptState,
    own: Sender<Plain>,
    routes: Routes,
) -> Result<()> {
    let mut decoder = NoiseDecoder::new();
    loop {
        reader.read_exact(decoder.writable()).await?;
        let (mut frame, after) = match decoder.next_transport_frame(state).map_err(failed)? {
            Decrypted::Incomplete(_, after) => {
                state = after;
                continue;
            }
            Decrypted::Frame(frame, after) => (frame, after),
        };
        state = after;
        if let Some(channel) = frame.channel_id() {
            let mut to = match routes.read() {
                Ok(routes) => routes.get(&channel).cloned().unwrap_or_default(),
                Err(_) => return Ok(()),
            };
            let last = to.pop();
            for receiver in to {
                // One who is gone gets nothing.
                let _ = receiver.send(frame.clone()).await;
            }
            if let Some(receiver) = last {
                let _ = receiver.send(frame).await;
            }
        } else if frame.header().msg_type() == JOIN
            && let Some(channel) = frame.payload().first_chunk()
        {
            let channel = u32::from_le_bytes(*channel);
            if let Ok(mut routes) = routes.write() {
                routes.entry(channel).or_default().push(own.clone());
            }
            own.send(frame).await.map_err(failed)?;
        }
    }
}

async fn write(
    mut writer: OwnedWriteHalf,
    mut state: TransportEncryptState,
    mut queued: Receiver<Plain>,
) -> Result<()> {
    let mut encoder = NoiseEncoder::new();
    while let Some(frame) = queued.recv().await {
        let bytes = encoder
            .encode_transport(frame, &mut state)
            .map_err(failed)?;
        writer.write_all(AsRef::<[u8]>::as_ref(&bytes)).await?;
    }
    Ok(())
}

fn failed(error: impl std::fmt::Debug) -> std::io::Error {
    std::io::Error::other(format!("{error:?}"))
}
