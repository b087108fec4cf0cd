//! Our client against a server that shares nothing with this project but the specification: the
//! Sv2 reference crates do its handshake, ciphers, framing and messages, and the signatures and
//! authenticators are computed here from the ground up. It plays hub and mint in one.

use std::sync::Arc;
use std::time::Duration;

use binary_sv2::{
    B0255, Deserialize, GetSize, PubKey, Seq064K, Serialize, Signature, Str0255, Sv2Option, U256,
    from_bytes,
};
use codec_sv2::{
    Decrypted, Handshake, MessageFrame, NoiseDecoder, NoiseEncoder, TransportDecryptState,
    TransportEncryptState,
};
use common_messages_sv2::{Protocol, SetupConnection, SetupConnectionSuccess};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use noise_sv2::Responder;
use rusqlite::Connection;
use secp256k1::{Keypair, Message, Parity, SECP256K1, SecretKey, XOnlyPublicKey, ecdh, schnorr};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use winze_client::{
    HubClient, HubClientConfig, Identity, NewRequest, OUTBOX_SCHEMA, QuoteAnswers, QuoteEvent,
    QuoteRequester, QuoteRequesterConfig, Store, StoreError, outbox,
};
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse,
};

const HUB: u16 = 0x4801;
const MINT_QUOTE: u16 = 0x4802;
const CHANNEL: u32 = 5;

const AUTHORITY: [u8; 32] = [0x41; 32];
const POOL: [u8; 32] = [0x51; 32];
const MINT: [u8; 32] = [0x61; 32];

#[derive(Debug, Serialize, Deserialize)]
struct Extensions<'decoder> {
    request_id: u16,
    extensions: Seq064K<'decoder, u16>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Authenticate<'decoder> {
    role: Str0255<'decoder>,
    name: Str0255<'decoder>,
    public_key: PubKey<'decoder>,
    signature: Signature<'decoder>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AuthenticateSuccess {
    payload_bytes_max: u32,
    channels_max: u32,
    ping_interval_ms: u32,
    idle_timeout_ms: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct OpenChannel<'decoder> {
    request_id: u32,
    extension: u16,
    peer: Str0255<'decoder>,
    label: Str0255<'decoder>,
    credit_messages: u64,
    credit_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct OpenChannelSuccess {
    request_id: u32,
    channel_id: u32,
    peer_present: u8,
    peer_instance: u64,
    credit_messages: u64,
    credit_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct QuoteRequest<'decoder> {
    channel_id: u32,
    amount: u64,
    unit: Str0255<'decoder>,
    header_hash: U256<'decoder>,
    description: Sv2Option<'decoder, Str0255<'decoder>>,
    locking_key: B0255<'decoder>,
    keyset_id: B0255<'decoder>,
    key_id: u64,
    sequence: u64,
    mac: U256<'decoder>,
}

/// What comes between channel id and authenticator of an answer.
#[derive(Debug, Serialize, Deserialize)]
struct QuoteResponseBody<'decoder> {
    quote_id: Str0255<'decoder>,
    header_hash: U256<'decoder>,
    amount: u64,
    unit: Str0255<'decoder>,
    expires_at: u64,
    state: u8,
}

#[derive(Debug, Serialize, Deserialize)]
struct QuoteResponse<'decoder> {
    channel_id: u32,
    quote_id: Str0255<'decoder>,
    header_hash: U256<'decoder>,
    amount: u64,
    unit: Str0255<'decoder>,
    expires_at: u64,
    state: u8,
    key_id: u64,
    sequence: u64,
    mac: U256<'decoder>,
}

fn text(text: &str) -> Str0255<'_> {
    text.try_into().unwrap()
}

fn x_only(secret: &[u8; 32]) -> [u8; 32] {
    let keypair = Keypair::from_seckey_slice(SECP256K1, secret).unwrap();
    keypair.x_only_public_key().0.serialize()
}

fn tagged(tag: &str) -> Sha256 {
    let tag = Sha256::digest(tag);
    Sha256::new().chain_update(tag).chain_update(tag)
}

struct ReferenceServer {
    stream: TcpStream,
    encoder: NoiseEncoder,
    decoder: NoiseDecoder,
    encrypt: TransportEncryptState,
    decrypt: Option<TransportDecryptState>,
    transcript: [u8; 32],
}

impl ReferenceServer {
    async fn accept(listener: &TcpListener) -> ReferenceServer {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut act_1 = [0; 64];
        stream.read_exact(&mut act_1).await.unwrap();
        let responder =
            Responder::from_authority_kp(&x_only(&AUTHORITY), &AUTHORITY, Duration::from_secs(60))
                .unwrap();
        let (act_2, transport) = Handshake::responder(responder).step_1(act_1).unwrap();
        stream.write_all(act_2.payload()).await.unwrap();
        let (encrypt, decrypt) = transport.split();
        ReferenceServer {
            stream,
            encoder: NoiseEncoder::new(),
            decoder: NoiseDecoder::new(),
            encrypt,
            decrypt: Some(decrypt),
            transcript: Sha256::new()
                .chain_update(act_1)
                .chain_update(act_2.payload())
                .finalize()
                .into(),
        }
    }

    /// The payload of the next frame, which is to have this type.
    async fn receive(&mut self, extension_type: u16, msg_type: u8) -> Vec<u8> {
        loop {
            let missing = self.decoder.writable();
            self.stream.read_exact(missing).await.unwrap();
            let state = self.decrypt.take().unwrap();
            match self.decoder.next_transport_frame(state).unwrap() {
                Decrypted::Incomplete(_, state) => self.decrypt = Some(state),
                Decrypted::Frame(mut frame, state) => {
                    self.decrypt = Some(state);
                    let header = frame.header();
                    assert_eq!(
                        (header.ext_type(), header.msg_type()),
                        (extension_type, msg_type)
                    );
                    return frame.payload().to_vec();
                }
            }
        }
    }

    async fn send<M: Serialize + GetSize>(&mut self, extension: u16, msg_type: u8, message: M) {
        let channel_msg = extension == MINT_QUOTE;
        let frame = MessageFrame::from_message(message, msg_type, extension, channel_msg).unwrap();
        let bytes = self
            .encoder
            .encode_transport(frame, &mut self.encrypt)
            .unwrap();
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Steps 2 to 7 of the specification's section 1.
    async fn let_in(&mut self, port: u16) {
        let mut payload = self.receive(0, 0x00).await;
        let hello: SetupConnection = from_bytes(&mut payload).unwrap();
        assert_eq!(hello.protocol, Protocol::MiningProtocol);
        assert_eq!(hello.get_version(2, 2), Some(2));
        assert_eq!((hello.flags, hello.endpoint_port), (0, port));
        let success = SetupConnectionSuccess {
            used_version: 2,
            flags: 0,
        };
        self.send(0, 0x01, success).await;

        let mut payload = self.receive(1, 0x00).await;
        let request: Extensions = from_bytes(&mut payload).unwrap();
        let wanted = request.extensions.into_inner();
        assert_eq!(wanted, [HUB, MINT_QUOTE]);
        let offered = Extensions {
            request_id: request.request_id,
            extensions: Seq064K::new(wanted).unwrap(),
        };
        self.send(1, 0x01, offered).await;

        let mut payload = self.receive(HUB, 0x00).await;
        let proof: Authenticate = from_bytes(&mut payload).unwrap();
        let digest: [u8; 32] = tagged("winze/authenticate/v1")
            .chain_update(self.transcript)
            .chain_update([4])
            .chain_update("pool")
            .chain_update([4])
            .chain_update("main")
            .finalize()
            .into();
        let public_key = XOnlyPublicKey::from_slice(proof.public_key.as_ref()).unwrap();
        assert_eq!(public_key.serialize(), x_only(&POOL));
        assert_eq!(
            (proof.role.as_ref(), proof.name.as_ref()),
            (&b"pool"[..], &b"main"[..])
        );
        let signature = schnorr::Signature::from_slice(proof.signature.as_ref()).unwrap();
        SECP256K1
            .verify_schnorr(&signature, &Message::from_digest(digest), &public_key)
            .unwrap();
        let success = AuthenticateSuccess {
            payload_bytes_max: 65_536,
            channels_max: 8,
            ping_interval_ms: 15_000,
            idle_timeout_ms: 45_000,
        };
        self.send(HUB, 0x01, success).await;
    }

    async fn open_channel(&mut self) {
        let mut payload = self.receive(HUB, 0x03).await;
        let open: OpenChannel = from_bytes(&mut payload).unwrap();
        assert_eq!(open.extension, MINT_QUOTE);
        assert_eq!(open.peer.as_ref(), b"mint/main");
        assert!(open.credit_messages >= 1 && open.credit_bytes >= 65_536);
        let success = OpenChannelSuccess {
            request_id: open.request_id,
            channel_id: CHANNEL,
            peer_present: 1,
            peer_instance: 77,
            credit_messages: 10,
            credit_bytes: 10_000,
        };
        self.send(HUB, 0x04, success).await;
    }
}

/// Key and key id of one direction, from the mint's side (specification, section 4).
fn direction_key(direction: u8) -> ([u8; 32], [u8; 8]) {
    let pool = XOnlyPublicKey::from_slice(&x_only(&POOL)).unwrap();
    let secret = SecretKey::from_slice(&MINT).unwrap();
    let point = ecdh::shared_secret_point(&pool.public_key(Parity::Even), &secret);
    let mut info = MINT_QUOTE.to_le_bytes().to_vec();
    info.push(direction);
    for (role, secret) in [("pool", &POOL), ("mint", &MINT)] {
        info.push(4);
        info.extend_from_slice(role.as_bytes());
        info.extend_from_slice(&x_only(secret));
    }
    let mut okm = [0; 40];
    Hkdf::<Sha256>::new(Some(b"winze/authenticator/v1"), &point[..32])
        .expand(&info, &mut okm)
        .unwrap();
    (okm[..32].try_into().unwrap(), okm[32..].try_into().unwrap())
}

fn mac(key: &[u8; 32], msg_type: u8, sequence: u64, digest: &[u8; 32], body: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(&[msg_type]);
    mac.update(&sequence.to_le_bytes());
    mac.update(digest);
    mac.update(body);
    mac.finalize().into_bytes().into()
}

/// Tells the test what was recorded.
struct Ledger(mpsc::UnboundedSender<QuoteEvent>);

impl QuoteAnswers for Ledger {
    fn on_response(
        &self,
        _tx: &Connection,
        _request: &MintQuoteRequest,
        _response: &MintQuoteResponse,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_refusal(
        &self,
        _tx: &Connection,
        _request: &MintQuoteRequest,
        _error: &MintQuoteError,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_keyset(&self, _tx: &Connection, _keyset: &KeysetAnnouncement) -> Result<(), StoreError> {
        Ok(())
    }

    fn committed(&self, events: &[QuoteEvent]) {
        for event in events {
            self.0.send(event.clone()).unwrap();
        }
    }
}

fn share() -> MintQuoteRequest {
    let mut locking_key = [7; 33];
    locking_key[0] = 3;
    MintQuoteRequest {
        amount: 4_096,
        unit: "hash".to_owned(),
        header_hash: [0xab; 32],
        description: Some("a share".to_owned()),
        locking_key,
        keyset_id: vec![1; 33],
    }
}

async fn store_with_a_share(folder: &TempDir) -> Store {
    let store = Store::open(&folder.path().join("pool.sqlite"), &[OUTBOX_SCHEMA]).unwrap();
    store
        .write(|tx| {
            let mut body = Vec::new();
            share().encode_body(&mut body).unwrap();
            let request = NewRequest {
                peer: "mint/main",
                extension: MINT_QUOTE,
                key: &share().header_hash,
                msg_type: MintQuoteRequest::MSG_TYPE,
                body: &body,
            };
            outbox::enqueue(tx, &request, 1)
        })
        .await
        .unwrap();
    store
}

/// Reads the request, checks its authenticator, and answers it with a quote.
async fn answer(server: &mut ReferenceServer) {
    let mut payload = server.receive(MINT_QUOTE | 0x8000, 0x80).await;
    let whole = payload.clone();
    let request: QuoteRequest = from_bytes(&mut payload).unwrap();
    assert_eq!((request.channel_id, request.amount), (CHANNEL, 4_096));
    let body = &whole[4..whole.len() - 48];
    let (key, key_id) = direction_key(0);
    assert_eq!(request.key_id, u64::from_le_bytes(key_id));
    assert_eq!(
        request.mac.as_ref(),
        mac(&key, 0x80, request.sequence, &[0; 32], body)
    );

    let digest: [u8; 32] = tagged("winze/request/v1")
        .chain_update(MINT_QUOTE.to_le_bytes())
        .chain_update([0x80])
        .chain_update(body)
        .finalize()
        .into();
    let hash = share().header_hash;
    let answer_body = binary_sv2::to_bytes(QuoteResponseBody {
        quote_id: text("a-quote"),
        header_hash: (&hash).into(),
        amount: 4_096,
        unit: text("hash"),
        expires_at: 0,
        state: 1,
    })
    .unwrap();
    let (key, key_id) = direction_key(1);
    let mac = mac(&key, 0x81, 1, &digest, &answer_body);
    let response = QuoteResponse {
        channel_id: CHANNEL,
        quote_id: text("a-quote"),
        header_hash: (&hash).into(),
        amount: 4_096,
        unit: text("hash"),
        expires_at: 0,
        state: 1,
        key_id: u64::from_le_bytes(key_id),
        sequence: 1,
        mac: (&mac).into(),
    };
    server.send(MINT_QUOTE, 0x81, response).await;
}

#[tokio::test]
async fn our_client_gets_a_quote_from_a_server_built_on_the_reference_crates() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let folder = TempDir::new().unwrap();
    let authority = winze_transport::PublicKey::from_bytes(x_only(&AUTHORITY)).unwrap();
    let secret = winze_transport::SecretKey::from_bytes(&POOL).unwrap();
    let client = HubClient::start(
        HubClientConfig::new(address.to_string(), authority),
        Identity::new("pool", "main", secret).unwrap(),
    );
    let (recorded, mut events) = mpsc::unbounded_channel();
    let mint_key = winze_transport::PublicKey::from_bytes(x_only(&MINT)).unwrap();
    let _requester = QuoteRequester::start(
        &client,
        store_with_a_share(&folder).await,
        QuoteRequesterConfig::new("mint/main".parse().unwrap(), mint_key),
        Arc::new(Ledger(recorded)),
    )
    .unwrap();

    let story = async {
        let mut server = ReferenceServer::accept(&listener).await;
        server.let_in(address.port()).await;
        server.open_channel().await;
        answer(&mut server).await;
        events.recv().await.unwrap()
    };
    let event = tokio::time::timeout(Duration::from_secs(30), story)
        .await
        .expect("the quote comes in time");
    let QuoteEvent::Issued { request, response } = event else {
        panic!("{event:?}");
    };
    assert_eq!(request, share());
    assert_eq!(response.quote_id, "a-quote");
}
