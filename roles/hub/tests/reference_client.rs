//! A client that shares nothing with this project but the specification and its keys: the Sv2 reference crates do the
//! handshake, the ciphers, the framing and the messages. It meets a mint of ours through the hub.

use binary_sv2::{Seq064K, Sv2Option, from_bytes};
use common_messages_sv2::{Protocol, SetupConnection, SetupConnectionSuccess};
use secp256k1::{Keypair, Message, SECP256K1};
use winze_messages::families::mint_quote::{MintQuoteRequest, MintQuoteResponse, QuoteState};
use winze_messages::{PairKeys, Side, channel_frame, request_digest};
use winze_reference::{
    Authenticate, AuthenticateSuccess, Authenticator, Connection, EXT_EXTENSIONS, EXT_HUB,
    EXT_MINT_QUOTE, Extensions, OpenChannel, OpenChannelSuccess, Presence, QuoteRequest,
    QuoteRequestBody, QuoteResponse, authenticate_digest, text, x_only,
};

use crate::common::{GOOD_MINT, GOOD_POOL, Peer, TestHub, key_of};

/// Says who it is, and proves it (specification, section 1.2).
async fn authenticate(client: &mut Connection, who: &str) {
    let (role, name) = who.split_once('/').unwrap();
    let key = key_of(who);
    let secret = key.expose_bytes();
    let digest = authenticate_digest(client.transcript(), role, name);
    let keypair = Keypair::from_seckey_slice(SECP256K1, secret).unwrap();
    let signature = SECP256K1.sign_schnorr_no_aux_rand(&Message::from_digest(digest), &keypair);
    let (public_key, signature) = (x_only(secret), signature.serialize());
    let proof = Authenticate {
        role: text(role),
        name: text(name),
        public_key: (&public_key).into(),
        signature: (&signature).into(),
    };
    client.send(EXT_HUB, 0x00, proof).await;
}

#[tokio::test]
async fn a_client_on_the_reference_crates_gets_a_quote_through_the_hub() {
    let hub = TestHub::start().await;
    let mut mint = Peer::connect(&hub, GOOD_MINT).await;

    let mut client = Connection::dial(hub.addr, hub.authority.to_bytes()).await;
    let hello = SetupConnection {
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
    };
    client.send(0, 0x00, hello).await;
    let mut payload = client.receive(0, 0x01).await;
    let setup: SetupConnectionSuccess = from_bytes(&mut payload).unwrap();
    assert_eq!((setup.used_version, setup.flags), (2, 0));

    let wanted = [EXT_HUB, EXT_MINT_QUOTE];
    let request = Extensions {
        request_id: 3,
        extensions: Seq064K::new(wanted.to_vec()).unwrap(),
    };
    client.send(EXT_EXTENSIONS, 0x00, request).await;
    let mut payload = client.receive(EXT_EXTENSIONS, 0x01).await;
    let offered: Extensions = from_bytes(&mut payload).unwrap();
    assert_eq!(offered.request_id, 3);
    assert_eq!(offered.extensions.into_inner(), wanted);

    authenticate(&mut client, GOOD_POOL).await;
    let mut payload = client.receive(EXT_HUB, 0x01).await;
    let success: AuthenticateSuccess = from_bytes(&mut payload).unwrap();
    assert_eq!(success.payload_bytes_max, 65_536);

    let open = OpenChannel {
        request_id: 9,
        extension: EXT_MINT_QUOTE,
        peer: text(GOOD_MINT),
        label: text("reference"),
        credit_messages: 100,
        credit_bytes: 100_000,
    };
    client.send(EXT_HUB, 0x03, open).await;
    let mut payload = client.receive(EXT_HUB, 0x04).await;
    let opened: OpenChannelSuccess = from_bytes(&mut payload).unwrap();
    assert_eq!((opened.request_id, opened.peer_present), (9, 0));
    let offer = mint.accept().await;
    assert_eq!(
        (offer.peer.as_str(), offer.label.as_str()),
        (GOOD_POOL, "reference")
    );
    let mut payload = client.receive(EXT_HUB, 0x0b).await;
    let presence: Presence = from_bytes(&mut payload).unwrap();
    assert_eq!(
        (presence.channel_id, presence.present),
        (opened.channel_id, 1)
    );

    let (asked, body) = ask(&mut client, opened.channel_id).await;
    answer(&mut mint, offer.channel_id, &asked).await;
    let mut payload = client.receive(EXT_MINT_QUOTE | 0x8000, 0x81).await;
    verify_answer(&payload[4..], &body);
    let response: QuoteResponse = from_bytes(&mut payload).unwrap();
    assert_eq!(response.channel_id, opened.channel_id);
    assert_eq!(response.body.quote_id.as_utf8_or_hex(), "a-quote");
    assert_eq!((response.body.amount, response.body.state), (32, 1));
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
async fn ask(client: &mut Connection, channel_id: u32) -> (MintQuoteRequest, Vec<u8>) {
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
        body: QuoteRequestBody {
            amount: asked.amount,
            unit: text(&asked.unit),
            header_hash: (&asked.header_hash).into(),
            description: Sv2Option::new(Some(text("a share"))),
            locking_key: asked.locking_key[..].try_into().unwrap(),
            keyset_id: asked.keyset_id[..].try_into().unwrap(),
        },
        authenticator: Authenticator {
            key_id: u64::from_le_bytes(key_id.try_into().unwrap()),
            sequence: 77,
            mac: (&mac).into(),
        },
    };
    client
        .send_on_channel(EXT_MINT_QUOTE, MintQuoteRequest::MSG_TYPE, request)
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
