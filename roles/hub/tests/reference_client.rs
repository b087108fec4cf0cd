//! A client that shares nothing with this project but the specification and its keys: the Sv2 reference crates do the
//! handshake, the ciphers, the framing and the messages. It meets a mint of ours through the hub.

use binary_sv2::{
    B0255, Deserialize, GetSize, PubKey, Seq064K, Serialize, Signature, Str0255, Sv2Option, U256,
};
use codec_sv2::{
    Decrypted, Handshake, MessageFrame, NoiseDecoder, NoiseEncoder, TransportDecryptState,
    TransportEncryptState,
};
use common_messages_sv2::{Protocol, SetupConnection, SetupConnectionSuccess};
use noise_sv2::Initiator;
use secp256k1::hashes::{Hash, HashEngine, sha256};
use secp256k1::{Keypair, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use winze_messages::families::mint_quote::{MintQuoteRequest, MintQuoteResponse, QuoteState};
use winze_messages::{EXT_MINT_QUOTE, PairKeys, Side, channel_frame, request_digest};

use crate::common::{GOOD_MINT, GOOD_POOL, Peer, TestHub, key_of, soon};

const EXT_HUB: u16 = 0x4801;

#[derive(Debug, Serialize, Deserialize)]
struct RequestExtensions<'decoder> {
    request_id: u16,
    requested: Seq064K<'decoder, u16>,
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
struct Presence {
    channel_id: u32,
    present: u8,
    instance: u64,
}

/// The whole payload: channel id, body, authenticator.
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

struct ReferenceClient {
    stream: TcpStream,
    encoder: NoiseEncoder,
    decoder: NoiseDecoder,
    encrypt: TransportEncryptState,
    decrypt: Option<TransportDecryptState>,
    transcript: sha256::Hash,
}

impl ReferenceClient {
    async fn dial(hub: &TestHub) -> ReferenceClient {
        let mut stream = TcpStream::connect(hub.addr).await.unwrap();
        let initiator = Initiator::from_raw_k(hub.authority.to_bytes()).unwrap();
        let (act_1, initiator) = Handshake::initiator(initiator).step_0().unwrap();
        stream.write_all(act_1.payload()).await.unwrap();
        let mut act_2 = [0; 234];
        soon("act 2", stream.read_exact(&mut act_2)).await.unwrap();
        let mut acts = sha256::Hash::engine();
        acts.input(act_1.payload());
        acts.input(&act_2);
        let (encrypt, decrypt) = initiator.step_2(act_2).unwrap().split();
        ReferenceClient {
            stream,
            encoder: NoiseEncoder::new(),
            decoder: NoiseDecoder::new(),
            encrypt,
            decrypt: Some(decrypt),
            transcript: sha256::Hash::from_engine(acts),
        }
    }

    async fn send<M: Serialize + GetSize>(
        &mut self,
        extension: u16,
        msg_type: u8,
        channel_msg: bool,
        message: M,
    ) {
        let frame = MessageFrame::from_message(message, msg_type, extension, channel_msg).unwrap();
        let encrypted = self
            .encoder
            .encode_transport(frame, &mut self.encrypt)
            .unwrap();
        self.stream.write_all(encrypted.as_ref()).await.unwrap();
    }

    /// The payload of the next frame, which must be this message.
    async fn receive(&mut self, extension_type: u16, msg_type: u8) -> Vec<u8> {
        let mut state = self.decrypt.take().unwrap();
        loop {
            let missing = self.decoder.writable();
            soon("a frame", self.stream.read_exact(missing))
                .await
                .unwrap();
            match self.decoder.next_transport_frame(state).unwrap() {
                Decrypted::Incomplete(_, again) => state = again,
                Decrypted::Frame(mut frame, next) => {
                    self.decrypt = Some(next);
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

    /// BIP340 over the tagged hash of section 1.2, from the ground up.
    fn prove(&self, role: &str, name: &str, secret: &[u8; 32]) -> ([u8; 32], [u8; 64]) {
        let tag = sha256::Hash::hash(b"winze/authenticate/v1");
        let mut digest = sha256::Hash::engine();
        digest.input(tag.as_byte_array());
        digest.input(tag.as_byte_array());
        digest.input(self.transcript.as_byte_array());
        for text in [role, name] {
            digest.input(&[u8::try_from(text.len()).unwrap()]);
            digest.input(text.as_bytes());
        }
        let digest = Message::from_digest(sha256::Hash::from_engine(digest).to_byte_array());
        let keypair = Keypair::from_seckey_slice(secp256k1::SECP256K1, secret).unwrap();
        let signature = secp256k1::SECP256K1.sign_schnorr_no_aux_rand(&digest, &keypair);
        let (public_key, _) = keypair.x_only_public_key();
        (public_key.serialize(), signature.serialize())
    }
}

#[tokio::test]
async fn a_client_on_the_reference_crates_gets_a_quote_through_the_hub() {
    let hub = TestHub::start().await;
    let mut mint = Peer::connect(&hub, GOOD_MINT).await;

    let mut client = ReferenceClient::dial(&hub).await;
    client
        .send(
            0,
            0x00,
            false,
            SetupConnection {
                protocol: Protocol::MiningProtocol,
                min_version: 2,
                max_version: 2,
                flags: 0,
                endpoint_host: text("127.0.0.1"),
                endpoint_port: hub.addr.port(),
                vendor: text("reference"),
                hardware_version: text(""),
                firmware: text(""),
                device_id: text(""),
            },
        )
        .await;
    let mut payload = client.receive(0, 0x01).await;
    let setup: SetupConnectionSuccess = binary_sv2::from_bytes(&mut payload).unwrap();
    assert_eq!((setup.used_version, setup.flags), (2, 0));

    let wanted = [EXT_HUB, EXT_MINT_QUOTE];
    let request = RequestExtensions {
        request_id: 3,
        requested: Seq064K::new(wanted.to_vec()).unwrap(),
    };
    client.send(0x0001, 0x00, false, request).await;
    let mut payload = client.receive(0x0001, 0x01).await;
    let offered: RequestExtensions = binary_sv2::from_bytes(&mut payload).unwrap();
    assert_eq!(offered.request_id, 3);
    assert_eq!(offered.requested.into_inner(), wanted);

    let (role, name) = GOOD_POOL.split_once('/').unwrap();
    let (public_key, signature) = client.prove(role, name, key_of(GOOD_POOL).expose_bytes());
    let proof = Authenticate {
        role: text(role),
        name: text(name),
        public_key: (&public_key).into(),
        signature: (&signature).into(),
    };
    client.send(EXT_HUB, 0x00, false, proof).await;
    let mut payload = client.receive(EXT_HUB, 0x01).await;
    let success: AuthenticateSuccess = binary_sv2::from_bytes(&mut payload).unwrap();
    assert_eq!(success.payload_bytes_max, 65_536);

    let open = OpenChannel {
        request_id: 9,
        extension: EXT_MINT_QUOTE,
        peer: text(GOOD_MINT),
        label: text("reference"),
        credit_messages: 100,
        credit_bytes: 100_000,
    };
    client.send(EXT_HUB, 0x03, false, open).await;
    let mut payload = client.receive(EXT_HUB, 0x04).await;
    let opened: OpenChannelSuccess = binary_sv2::from_bytes(&mut payload).unwrap();
    assert_eq!((opened.request_id, opened.peer_present), (9, 0));
    let offer = mint.accept().await;
    assert_eq!(
        (offer.peer.as_str(), offer.label.as_str()),
        (GOOD_POOL, "reference")
    );
    let mut payload = client.receive(EXT_HUB, 0x0b).await;
    let presence: Presence = binary_sv2::from_bytes(&mut payload).unwrap();
    assert_eq!(
        (presence.channel_id, presence.present),
        (opened.channel_id, 1)
    );

    let (asked, body) = ask(&mut client, opened.channel_id).await;
    answer(&mut mint, offer.channel_id, &asked).await;
    let mut payload = client.receive(EXT_MINT_QUOTE | 0x8000, 0x81).await;
    verify_answer(&payload[4..], &body);
    let response: QuoteResponse = binary_sv2::from_bytes(&mut payload).unwrap();
    assert_eq!(response.channel_id, opened.channel_id);
    assert_eq!(response.quote_id.as_utf8_or_hex(), "a-quote");
    assert_eq!((response.amount, response.state), (32, 1));
}

fn pool_keys() -> PairKeys {
    PairKeys::derive(
        &key_of(GOOD_POOL),
        &key_of(GOOD_MINT).public_key(),
        EXT_MINT_QUOTE,
        Side::Requester,
        "pool",
        "mint",
    )
}

/// Sends a request that the reference crate has encoded. What the mint should read in it, and its body.
async fn ask(client: &mut ReferenceClient, channel_id: u32) -> (MintQuoteRequest, Vec<u8>) {
    let asked = MintQuoteRequest {
        amount: 32,
        unit: "hash".to_owned(),
        header_hash: [9; 32],
        description: Some("a share".to_owned()),
        locking_key: [3; 33],
        keyset_id: vec![0, 1, 2, 3, 4, 5, 6, 7],
    };
    let mut body = Vec::new();
    asked.encode_body(&mut body).unwrap();
    let sealed = pool_keys().seal(MintQuoteRequest::MSG_TYPE, &body, 77, None);
    let (key_id, mac) = (&sealed[body.len()..][..8], &sealed[body.len() + 16..]);
    let mac: [u8; 32] = mac.try_into().unwrap();
    let request = QuoteRequest {
        channel_id,
        amount: asked.amount,
        unit: text(&asked.unit),
        header_hash: (&asked.header_hash).into(),
        description: Sv2Option::new(Some(text("a share"))),
        locking_key: asked.locking_key[..].try_into().unwrap(),
        keyset_id: asked.keyset_id[..].try_into().unwrap(),
        key_id: u64::from_le_bytes(key_id.try_into().unwrap()),
        sequence: 77,
        mac: (&mac).into(),
    };
    client
        .send(EXT_MINT_QUOTE, MintQuoteRequest::MSG_TYPE, true, request)
        .await;
    (asked, body)
}

/// The mint reads what was asked, down to its authenticator, and answers.
async fn answer(mint: &mut Peer, channel_id: u32, asked: &MintQuoteRequest) {
    let request = mint.expect().await;
    assert_eq!(request.channel_id(), Some(channel_id));
    let keys = PairKeys::derive(
        &key_of(GOOD_MINT),
        &key_of(GOOD_POOL).public_key(),
        EXT_MINT_QUOTE,
        Side::Responder,
        "pool",
        "mint",
    );
    let opened = keys
        .open(request.msg_type, &request.payload[4..], None)
        .unwrap();
    assert_eq!(opened.sequence, 77);
    assert_eq!(
        MintQuoteRequest::decode_body(opened.body).as_ref(),
        Ok(asked)
    );
    let response = MintQuoteResponse {
        quote_id: "a-quote".to_owned(),
        header_hash: asked.header_hash,
        amount: asked.amount,
        unit: asked.unit.clone(),
        expires_at_unix_s: 0,
        state: QuoteState::Paid,
    };
    let mut body = Vec::new();
    response.encode_body(&mut body).unwrap();
    let digest = request_digest(EXT_MINT_QUOTE, request.msg_type, opened.body);
    let msg_type = MintQuoteResponse::MSG_TYPE;
    let sealed = keys.seal(msg_type, &body, 1, Some(digest));
    mint.send(channel_frame(EXT_MINT_QUOTE, msg_type, channel_id, &sealed))
        .await;
}

/// The answer is the mint's, and to this request.
fn verify_answer(sealed: &[u8], request_body: &[u8]) {
    let digest = request_digest(EXT_MINT_QUOTE, MintQuoteRequest::MSG_TYPE, request_body);
    pool_keys()
        .open(MintQuoteResponse::MSG_TYPE, sealed, Some(digest))
        .unwrap();
}
