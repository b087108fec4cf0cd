use std::collections::VecDeque;
use std::io;

use rand::rngs::OsRng;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use winze_messages::families::common::SetupConnection;
use winze_messages::families::extensions::RequestExtensions;
use winze_messages::families::hub::*;
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_messages::{EXT_HUB, EXT_MINT_QUOTE, authentication, channel_frame};
use winze_runtime::clock::now_unix_s_u32;
use winze_transport::{
    Frame, FrameEncoder, FrameReader, Limits, PAYLOAD_BYTES_MAX, PublicKey, Transcript, initiate,
};

use super::{TestHub, VENDOR, key_of, soon};

/// A client that sends what a test tells it to, in whatever pieces.
pub struct Peer {
    pub transcript: Transcript,
    /// What the hub has a certificate for.
    pub hub_key: PublicKey,
    encoder: FrameEncoder,
    to_hub: OwnedWriteHalf,
    from_hub: FrameReader<OwnedReadHalf>,
    inbox: VecDeque<Frame>,
}

impl Peer {
    /// A client after its handshake.
    pub async fn dial(hub: &TestHub) -> Peer {
        let stream = soon("connect", TcpStream::connect(hub.addr)).await.unwrap();
        Peer::over(hub, stream).await
    }

    /// A client whose kernel takes little for it while it does not read.
    pub async fn dial_with_small_buffer(hub: &TestHub) -> Peer {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let stream = soon("connect", socket.connect(hub.addr)).await.unwrap();
        Peer::over(hub, stream).await
    }

    async fn over(hub: &TestHub, mut stream: TcpStream) -> Peer {
        let authority = Some(hub.authority);
        let mut rng = OsRng;
        let handshake = initiate(&mut stream, authority, now_unix_s_u32(), &mut rng);
        let session = soon("handshake", handshake).await.unwrap();
        // No limits of its own: the hub's are what is tested.
        let limits = Limits {
            payload_bytes_max: PAYLOAD_BYTES_MAX,
        };
        let (from_hub, to_hub) = stream.into_split();
        Peer {
            transcript: session.transcript,
            hub_key: session.certificate.unwrap().static_key,
            encoder: FrameEncoder::new(session.sealer, limits),
            to_hub,
            from_hub: FrameReader::new(from_hub, session.opener, limits),
            inbox: VecDeque::new(),
        }
    }

    /// A client that has been let in.
    pub async fn connect(hub: &TestHub, who: &str) -> Peer {
        let mut peer = Peer::dial(hub).await;
        peer.authenticate(who).await;
        peer
    }

    /// Every step, with the key of `who`.
    pub async fn authenticate(&mut self, who: &str) {
        self.set_up().await;
        let proof = proof(who, &self.transcript);
        self.say(proof).await;
        self.wait_for(|message| matches!(message, HubMessage::AuthenticateSuccess(_)))
            .await;
    }

    /// The steps before the proof.
    pub async fn set_up(&mut self) {
        self.send(setup_connection()).await;
        self.send(request_extensions()).await;
        for _ in 0..2 {
            soon("steps", self.next()).await.expect("an answer");
        }
    }

    /// The quote or vendor channel that a pool opens.
    pub async fn open(&mut self, extension: u16, peer: &str) -> OpenChannelSuccess {
        self.say(open_channel(extension, peer)).await;
        match self
            .wait_for(|message| matches!(message, HubMessage::OpenChannelSuccess(_)))
            .await
        {
            HubMessage::OpenChannelSuccess(opened) => opened,
            _ => unreachable!("waited for"),
        }
    }

    /// Waits for an offer and takes it.
    pub async fn accept(&mut self) -> ChannelOffer {
        let offer = match self
            .wait_for(|message| matches!(message, HubMessage::ChannelOffer(_)))
            .await
        {
            HubMessage::ChannelOffer(offer) => offer,
            _ => unreachable!("waited for"),
        };
        self.say(ChannelOfferAccept {
            channel_id: offer.channel_id,
            credit_messages: 1 << 40,
            credit_bytes: 1 << 40,
        })
        .await;
        offer
    }

    pub async fn wait_for_peer(&mut self) {
        self.wait_for(
            |message| matches!(message, HubMessage::Presence(presence) if presence.present),
        )
        .await;
    }

    pub async fn say(&mut self, message: impl Into<HubMessage>) {
        self.send(message.into().to_frame().unwrap()).await;
    }

    pub async fn send(&mut self, frame: Frame) {
        let bytes = self.encrypt(&frame);
        self.send_raw(&bytes).await.unwrap();
    }

    pub fn encrypt(&mut self, frame: &Frame) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encoder.encode(frame, &mut bytes).unwrap();
        bytes
    }

    /// As when its machine is gone and another answers for its address.
    pub fn reset(self) {
        let stream: &TcpStream = self.to_hub.as_ref();
        stream.set_zero_linger().unwrap();
        // Dropped, it would say in good order that nothing more comes.
        self.to_hub.forget();
    }

    /// Bytes as they are. Fails once the hub has closed the connection.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        soon("write", self.to_hub.write_all(bytes)).await
    }

    /// The next frame; `None` when the hub has closed the connection. Cancel-safe.
    pub async fn next(&mut self) -> Option<Frame> {
        if let Some(frame) = self.inbox.pop_front() {
            return Some(frame);
        }
        let mut frames = Vec::new();
        if let Err(error) = self.from_hub.read_batch(&mut frames, 1_000).await {
            assert!(
                matches!(&error, winze_transport::ReadError::Io(_)),
                "the hub sent nonsense: {error}"
            );
        }
        self.inbox.extend(frames);
        self.inbox.pop_front()
    }

    /// The next frame, which must be there soon.
    pub async fn expect(&mut self) -> Frame {
        soon("a frame", self.next())
            .await
            .expect("the connection lasts")
    }

    /// Answers Pings and skips what is not `wanted`.
    pub async fn wait_for(&mut self, wanted: impl Fn(&HubMessage) -> bool) -> HubMessage {
        loop {
            let frame = self.expect().await;
            if frame.extension_type != EXT_HUB {
                continue;
            }
            let message = HubMessage::decode(&frame).unwrap();
            if wanted(&message) {
                return message;
            }
            if let HubMessage::Ping(ping) = message {
                self.say(Pong { nonce: ping.nonce }).await;
            }
        }
    }

    /// The `Reject` that comes next among the hub's messages.
    pub async fn reject(&mut self) -> Reject {
        match self
            .wait_for(|message| matches!(message, HubMessage::Reject(_)))
            .await
        {
            HubMessage::Reject(reject) => reject,
            _ => unreachable!("waited for"),
        }
    }

    /// The last frame before the hub closes the connection.
    pub async fn last_words(&mut self) -> HubMessage {
        let mut last = None;
        while let Some(frame) = soon("the end", self.next()).await {
            last = Some(frame);
        }
        let last = last.expect("the hub says why it closes");
        HubMessage::decode(&last).unwrap()
    }

    /// The `Close` with which the hub ends the connection, for this reason.
    pub async fn closed_with(&mut self, reason_code: &str) -> Close {
        match self.last_words().await {
            HubMessage::Close(close) => {
                assert_eq!(close.reason_code, reason_code, "{close:?}");
                close
            }
            other => panic!("closed with {other:?}"),
        }
    }

    /// Waits for an answer: the connection lasts, and the hub has taken all that was sent on it.
    pub async fn still_answers(&mut self) {
        self.say(Ping { nonce: 0xa11e }).await;
        self.wait_for(|message| matches!(message, HubMessage::Pong(pong) if pong.nonce == 0xa11e))
            .await;
    }
}

pub fn setup_connection() -> Frame {
    SetupConnection {
        protocol: 0,
        min_version: 2,
        max_version: 2,
        flags: 0,
        endpoint_host: "127.0.0.1".to_owned(),
        endpoint_port: 1,
        vendor: "test".to_owned(),
        hardware_version: String::new(),
        firmware: String::new(),
        device_id: String::new(),
    }
    .to_frame()
    .unwrap()
}

pub fn request_extensions() -> Frame {
    RequestExtensions {
        request_id: 1,
        requested_extensions: vec![EXT_HUB, EXT_MINT_QUOTE, VENDOR],
    }
    .to_frame()
    .unwrap()
}

pub fn proof(who: &str, transcript: &Transcript) -> Authenticate {
    let name = who.parse().unwrap();
    authentication::sign(&key_of(who), transcript.as_bytes(), &name, &[5; 32])
}

pub fn open_channel(extension: u16, peer: &str) -> OpenChannel {
    OpenChannel {
        request_id: 7,
        extension,
        peer: peer.to_owned(),
        label: String::new(),
        credit_messages: 1 << 40,
        credit_bytes: 1 << 40,
    }
}

/// The body of a request for the share number `share`.
pub fn quote_body(share: u64) -> Vec<u8> {
    let mut header_hash = [0; 32];
    header_hash[..8].copy_from_slice(&share.to_le_bytes());
    let request = MintQuoteRequest {
        amount: 1,
        unit: "hash".to_owned(),
        header_hash,
        description: None,
        locking_key: [2; 33],
        keyset_id: vec![0; 8],
    };
    let mut body = Vec::new();
    request.encode_body(&mut body).unwrap();
    body
}

/// A request as the hub sees it: the authenticator is for the mint to judge.
pub fn quote_request(channel_id: u32) -> Frame {
    let mut sealed = quote_body(1);
    sealed.extend([0; 48]);
    channel_frame(
        EXT_MINT_QUOTE,
        MintQuoteRequest::MSG_TYPE,
        channel_id,
        &sealed,
    )
}
