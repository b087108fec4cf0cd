//! Our client against a server that shares nothing with this project but the specification: the
//! Sv2 reference crates do its handshake, ciphers, framing and messages, and the signatures and
//! authenticators are computed here from the ground up. It plays hub and mint in one.

use std::sync::Arc;
use std::time::Duration;

use binary_sv2::{Seq064K, from_bytes};
use common_messages_sv2::{Protocol, SetupConnection, SetupConnectionSuccess};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use rusqlite::Connection as Sqlite;
use secp256k1::{Message, Parity, SECP256K1, SecretKey, XOnlyPublicKey, ecdh, schnorr};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use winze_client::{
    HubClient, HubClientConfig, Identity, NewRequest, OUTBOX_SCHEMA, QuoteAnswers, QuoteEvent,
    QuoteRequester, QuoteRequesterConfig, Store, StoreError, outbox,
};
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse,
};
use winze_reference::{
    Authenticate, AuthenticateSuccess, Authenticator, Connection, EXT_EXTENSIONS, EXT_HUB,
    EXT_MINT_QUOTE, Extensions, OpenChannel, OpenChannelSuccess, QuoteRequest, QuoteResponse,
    QuoteResponseBody, StoreQuery, StoreState, authenticate_digest, tagged_hash, text, x_only,
};

const CHANNEL: u32 = 5;

const AUTHORITY: [u8; 32] = [0x41; 32];
const POOL: [u8; 32] = [0x51; 32];
const MINT: [u8; 32] = [0x61; 32];

/// Steps 2 to 7 of the specification's section 1.
async fn let_in(server: &mut Connection, port: u16) {
    let mut payload = server.receive(0, 0x00).await;
    let hello: SetupConnection = from_bytes(&mut payload).unwrap();
    assert_eq!(hello.protocol, Protocol::MiningProtocol);
    assert_eq!(hello.get_version(2, 2), Some(2));
    assert_eq!((hello.flags, hello.endpoint_port), (0, port));
    let success = SetupConnectionSuccess {
        used_version: 2,
        flags: 0,
    };
    server.send(0, 0x01, success).await;

    let mut payload = server.receive(EXT_EXTENSIONS, 0x00).await;
    let request: Extensions = from_bytes(&mut payload).unwrap();
    let wanted = request.extensions.into_inner();
    assert_eq!(wanted, [EXT_HUB, EXT_MINT_QUOTE]);
    let offered = Extensions {
        request_id: request.request_id,
        extensions: Seq064K::new(wanted).unwrap(),
    };
    server.send(EXT_EXTENSIONS, 0x01, offered).await;

    let mut payload = server.receive(EXT_HUB, 0x00).await;
    let proof: Authenticate = from_bytes(&mut payload).unwrap();
    let public_key = XOnlyPublicKey::from_slice(proof.public_key.as_ref()).unwrap();
    assert_eq!(public_key.serialize(), x_only(&POOL));
    assert_eq!(
        (proof.role.as_ref(), proof.name.as_ref()),
        (&b"pool"[..], &b"main"[..])
    );
    let digest = authenticate_digest(server.transcript(), "pool", "main");
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
    server.send(EXT_HUB, 0x01, success).await;
}

async fn open_channel(server: &mut Connection) {
    let mut payload = server.receive(EXT_HUB, 0x03).await;
    let open: OpenChannel = from_bytes(&mut payload).unwrap();
    assert_eq!(open.extension, EXT_MINT_QUOTE);
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
    server.send(EXT_HUB, 0x04, success).await;
}

/// Key and key id of one direction, from the mint's side (specification, section 4).
fn direction_key(direction: u8) -> ([u8; 32], [u8; 8]) {
    let pool = XOnlyPublicKey::from_slice(&x_only(&POOL)).unwrap();
    let secret = SecretKey::from_slice(&MINT).unwrap();
    let point = ecdh::shared_secret_point(&pool.public_key(Parity::Even), &secret);
    let mut info = EXT_MINT_QUOTE.to_le_bytes().to_vec();
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

/// Tells the test what was recorded: one quote. A second one finds the channel full and is not in the story.
struct Ledger(mpsc::Sender<QuoteEvent>);

impl QuoteAnswers for Ledger {
    fn on_response(
        &self,
        _tx: &Sqlite,
        _request: &MintQuoteRequest,
        _response: &MintQuoteResponse,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_refusal(
        &self,
        _tx: &Sqlite,
        _request: &MintQuoteRequest,
        _error: &MintQuoteError,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_keyset(&self, _tx: &Sqlite, _keyset: &KeysetAnnouncement) -> Result<(), StoreError> {
        Ok(())
    }

    fn committed(&self, events: &[QuoteEvent]) {
        for event in events {
            self.0.try_send(event.clone()).unwrap();
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
                extension: EXT_MINT_QUOTE,
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

/// The pool asks how far the mint's store has come, and hears that it has come nowhere.
async fn tell(server: &mut Connection) {
    let mut payload = server.receive(EXT_MINT_QUOTE | 0x8000, 0x84).await;
    let query: StoreQuery = from_bytes(&mut payload).unwrap();
    let nonce = query.nonce.as_ref();
    let (key, key_id) = direction_key(0);
    let sealed = &query.authenticator;
    assert_eq!(query.channel_id, CHANNEL);
    assert_eq!(
        (sealed.key_id, sealed.sequence),
        (u64::from_le_bytes(key_id), 0)
    );
    assert_eq!(sealed.mac.as_ref(), mac(&key, 0x84, 0, &[0; 32], nonce));

    let digest = tagged_hash(
        "winze/request/v1",
        &[&EXT_MINT_QUOTE.to_le_bytes(), &[0x84], nonce],
    );
    let (key, key_id) = direction_key(1);
    let mac = mac(&key, 0x85, 0, &digest, &[0; 16]);
    let state = StoreState {
        channel_id: CHANNEL,
        requests: 0,
        answers: 0,
        authenticator: Authenticator {
            key_id: u64::from_le_bytes(key_id),
            sequence: 0,
            mac: (&mac).into(),
        },
    };
    server.send_on_channel(EXT_MINT_QUOTE, 0x85, state).await;
}

/// Reads the request, checks its authenticator, and answers it with a quote.
async fn answer(server: &mut Connection) {
    let mut payload = server.receive(EXT_MINT_QUOTE | 0x8000, 0x80).await;
    let whole = payload.clone();
    let request: QuoteRequest = from_bytes(&mut payload).unwrap();
    assert_eq!((request.channel_id, request.body.amount), (CHANNEL, 4_096));
    let body = &whole[4..whole.len() - 48];
    let (key, key_id) = direction_key(0);
    let sealed = request.authenticator;
    assert_eq!(sealed.key_id, u64::from_le_bytes(key_id));
    assert_eq!(
        sealed.mac.as_ref(),
        mac(&key, 0x80, sealed.sequence, &[0; 32], body)
    );

    let digest = tagged_hash(
        "winze/request/v1",
        &[&EXT_MINT_QUOTE.to_le_bytes(), &[0x80], body],
    );
    let hash = share().header_hash;
    let answer = QuoteResponseBody {
        quote_id: text("a-quote"),
        header_hash: (&hash).into(),
        amount: 4_096,
        unit: text("hash"),
        expires_at: 0,
        state: 1,
    };
    let (key, key_id) = direction_key(1);
    let answer_bytes = binary_sv2::to_bytes(answer.clone()).unwrap();
    let mac = mac(&key, 0x81, 1, &digest, &answer_bytes);
    let response = QuoteResponse {
        channel_id: CHANNEL,
        body: answer,
        authenticator: Authenticator {
            key_id: u64::from_le_bytes(key_id),
            sequence: 1,
            mac: (&mac).into(),
        },
    };
    server.send_on_channel(EXT_MINT_QUOTE, 0x81, response).await;
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
    let (recorded, mut events) = mpsc::channel(1);
    let mint_key = winze_transport::PublicKey::from_bytes(x_only(&MINT)).unwrap();
    let _requester = QuoteRequester::start(
        &client,
        store_with_a_share(&folder).await,
        QuoteRequesterConfig::new("mint/main".parse().unwrap(), mint_key),
        Arc::new(Ledger(recorded)),
    )
    .unwrap();

    let story = async {
        let mut server = Connection::accept(&listener, &AUTHORITY).await;
        let_in(&mut server, address.port()).await;
        open_channel(&mut server).await;
        tell(&mut server).await;
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
