//! A peer of a hub, message by message, that does what it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngCore;
use rand::rngs::OsRng;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use winze_messages::families::common::{CommonMessage, SetupConnection};
use winze_messages::families::extensions::RequestExtensions;
use winze_messages::families::hub::{HubMessage, OpenChannel};
use winze_messages::{EXT_HUB, EXT_MINT_QUOTE, PeerName, authentication};
use winze_runtime::clock::now_unix_s_u32;
use winze_transport::{
    Frame, FrameReader, FrameWriter, Limits, PublicKey, SecretKey, Transcript, initiate,
};

/// How long a peer waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(15);

const LIMITS: Limits = Limits {
    payload_bytes_max: 65_536,
};

/// A connection to a hub.
pub struct Peer {
    reader: FrameReader<OwnedReadHalf>,
    writer: FrameWriter<OwnedWriteHalf>,
    transcript: Transcript,
    frames: Vec<Frame>,
    put_off: VecDeque<Frame>,
}

impl Peer {
    /// Dials, and goes through the steps up to `Authenticate.Success`.
    pub async fn connect(
        hub: SocketAddr,
        authority: PublicKey,
        name: &PeerName,
        secret: &SecretKey,
    ) -> Peer {
        let authenticated = Peer::authenticate(hub, authority, name, secret).await;
        authenticated.unwrap_or_else(|code| panic!("not authenticated: {code}"))
    }

    /// As [`Peer::connect`]; the hub's reason where it refuses the identity.
    pub async fn authenticate(
        hub: SocketAddr,
        authority: PublicKey,
        name: &PeerName,
        secret: &SecretKey,
    ) -> Result<Peer, String> {
        let mut peer = Peer::dial(hub, authority).await;
        peer.set_up(hub).await;
        let mut aux_rand = [0; 32];
        OsRng.fill_bytes(&mut aux_rand);
        let proof = authentication::sign(secret, peer.transcript.as_bytes(), name, &aux_rand);
        peer.send(proof.to_frame().unwrap()).await;
        match peer.receive_hub().await {
            HubMessage::AuthenticateSuccess(_) => Ok(peer),
            HubMessage::AuthenticateError(error) => Err(error.error_code),
            other => panic!("{other:?}"),
        }
    }

    /// Dials and shakes hands, no more.
    pub async fn dial(hub: SocketAddr, authority: PublicKey) -> Peer {
        let mut stream = TcpStream::connect(hub).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut rng = OsRng;
        let handshake = initiate(&mut stream, Some(authority), now_unix_s_u32(), &mut rng);
        let session = timeout(PATIENCE, handshake).await.unwrap().unwrap();
        let (read_half, write_half) = stream.into_split();
        Peer {
            reader: FrameReader::new(read_half, session.opener, LIMITS),
            writer: FrameWriter::new(write_half, session.sealer, LIMITS),
            transcript: session.transcript,
            frames: Vec::new(),
            put_off: VecDeque::new(),
        }
    }

    async fn set_up(&mut self, hub: SocketAddr) {
        let setup = SetupConnection {
            protocol: 0,
            min_version: 2,
            max_version: 2,
            flags: 0,
            endpoint_host: hub.ip().to_string(),
            endpoint_port: hub.port(),
            vendor: "test".to_owned(),
            hardware_version: String::new(),
            firmware: String::new(),
            device_id: String::new(),
        };
        self.send(setup.to_frame().unwrap()).await;
        let answer = self.receive().await;
        assert!(
            matches!(
                CommonMessage::decode(&answer),
                Ok(CommonMessage::SetupConnectionSuccess(_))
            ),
            "{answer:?}"
        );
        let request = RequestExtensions {
            request_id: 1,
            requested_extensions: vec![EXT_HUB, EXT_MINT_QUOTE],
        };
        self.send(request.to_frame().unwrap()).await;
        let answer = self.receive().await;
        assert_eq!(
            (answer.extension_type, answer.msg_type),
            (0x0001, 0x01),
            "{answer:?}"
        );
    }

    /// Opens a mint-quote channel, with credit for whatever a test sends, and waits until its other end is there.
    pub async fn open(&mut self, to: &str) -> u32 {
        let open = OpenChannel {
            request_id: 7,
            extension: EXT_MINT_QUOTE,
            peer: to.to_owned(),
            label: String::new(),
            credit_messages: 1 << 20,
            credit_bytes: 1 << 30,
        };
        self.send(open.to_frame().unwrap()).await;
        let success = match self.receive_hub().await {
            HubMessage::OpenChannelSuccess(success) => success,
            other => panic!("the channel was not opened: {other:?}"),
        };
        let mut present = success.peer_present;
        while !present {
            if let HubMessage::Presence(presence) = self.receive_hub().await {
                present = presence.present;
            }
        }
        success.channel_id
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: Frame) {
        self.writer.push(&frame).unwrap();
        timeout(PATIENCE, self.writer.flush())
            .await
            .unwrap()
            .unwrap();
    }

    /// The next frame that is none of the hub's housekeeping.
    pub async fn receive_on_channel(&mut self) -> Frame {
        loop {
            let frame = self.receive().await;
            if frame.is_channel_msg() {
                return frame;
            }
            if let Ok(HubMessage::Ping(ping)) = HubMessage::decode(&frame) {
                let pong = winze_messages::families::hub::Pong { nonce: ping.nonce };
                self.send(pong.to_frame().unwrap()).await;
            }
            assert!(
                !matches!(
                    HubMessage::decode(&frame),
                    Ok(HubMessage::Reject(_) | HubMessage::Close(_) | HubMessage::CloseChannel(_))
                ),
                "{:?}",
                HubMessage::decode(&frame)
            );
        }
    }

    /// The next message of the hub family; what comes on channels meanwhile waits for `receive_on_channel`.
    pub async fn receive_hub(&mut self) -> HubMessage {
        let mut waiting = VecDeque::new();
        loop {
            let frame = self.receive().await;
            if frame.extension_type == EXT_HUB {
                waiting.append(&mut self.put_off);
                self.put_off = waiting;
                return HubMessage::decode(&frame).unwrap();
            }
            waiting.push_back(frame);
        }
    }

    async fn receive(&mut self) -> Frame {
        if let Some(frame) = self.put_off.pop_front() {
            return frame;
        }
        if self.frames.is_empty() {
            let read = self.reader.read_batch(&mut self.frames, 64);
            let count = timeout(PATIENCE, read)
                .await
                .expect("the hub says nothing")
                .unwrap();
            assert!(count > 0, "the hub closed the connection");
        }
        self.frames.remove(0)
    }
}
