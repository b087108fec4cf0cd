//! `authenticators.json`: what two peers can prove to one another, past the hub.

use secp256k1::{Parity, SECP256K1, ecdh};
use serde::Serialize;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse,
};
use winze_messages::{
    AuthenticatorError, EXT_MINT_QUOTE, EXT_SIGNING, PairKeys, Side, request_digest,
};
use winze_transport::SecretKey;

use crate::people::{mint, pool, secret};
use crate::{VectorFile, committed, oracle};

#[derive(Serialize)]
pub struct PairVector {
    name: &'static str,
    extension: u16,
    requester: Party,
    responder: Party,
    /// The x coordinate that both reach.
    shared_x: String,
    /// From requester to responder.
    request_key: Key,
    /// From responder to requester.
    answer_key: Key,
    messages: Vec<SealedVector>,
}

#[derive(Serialize)]
struct Party {
    role: &'static str,
    secret_key: String,
    public_key: String,
    /// Whether the point of the secret key has an odd y.
    odd_y: bool,
}

#[derive(Serialize)]
struct Key {
    direction: u8,
    info: String,
    key: String,
    key_id: String,
}

#[derive(Serialize)]
struct SealedVector {
    name: &'static str,
    from: &'static str,
    msg_type: u8,
    body: String,
    sequence: u64,
    request_digest: Option<String>,
    sealed: String,
    /// null, or why it does not verify: "unknown-key" or "bad-mac".
    error: Option<&'static str>,
}

const REQUEST_BODY: &[u8] = b"a request";
const ANSWER_BODY: &[u8] = b"an answer";

pub fn file() -> VectorFile<PairVector> {
    // Of a key and its negation, one has an odd point.
    let mirrored = secp256k1::SecretKey::from_slice(mint().expose_bytes())
        .unwrap()
        .negate();
    let mirrored = SecretKey::from_bytes(&mirrored.secret_bytes()).unwrap();
    VectorFile {
        origin: "Made by winze-messages. Checked by a derivation of the test's own from \
                 libsecp256k1's ECDH and HMAC-SHA256 (RFC 2104, RFC 5869).",
        description: "Authenticators, section 4 of the specification. Keys are derived from the \
                      two secret keys; `info` is HKDF's. `sealed` is what stands behind the \
                      channel id: body, key_id, sequence, mac. Bodies are no messages here: the \
                      MAC does not look into them. `request_digest` is that of the request which \
                      an answer is verified for, null for a request and an announcement; for the \
                      first pair it is the digest of type 128 and the body of the first message. \
                      Where `error` is not null, `sealed` has to be refused for it (it was \
                      altered, or is verified as something else than it was sealed as).",
        vectors: vec![
            pair(
                "a pool and a mint",
                EXT_MINT_QUOTE,
                ("pool", &pool()),
                ("mint", &mint()),
            ),
            pair(
                "the same mint key with the other parity: other secret, same everything else",
                EXT_MINT_QUOTE,
                ("pool", &pool()),
                ("mint", &mirrored),
            ),
            pair(
                "another family, role and requester",
                EXT_SIGNING,
                ("coordinator", &secret("coordinator/1")),
                ("signer", &secret("signer/1")),
            ),
        ],
    }
}

fn pair(
    name: &'static str,
    extension: u16,
    (requester_role, requester): (&'static str, &SecretKey),
    (responder_role, responder): (&'static str, &SecretKey),
) -> PairVector {
    let requester_keys = PairKeys::derive(
        requester,
        &responder.public_key(),
        extension,
        Side::Requester,
        requester_role,
        responder_role,
    );
    let responder_keys = PairKeys::derive(
        responder,
        &requester.public_key(),
        extension,
        Side::Responder,
        requester_role,
        responder_role,
    );
    let key = |direction: u8| {
        let info = [
            &extension.to_le_bytes()[..],
            &[direction],
            &oracle::prefixed(requester_role.as_bytes()),
            requester.public_key().as_bytes(),
            &oracle::prefixed(responder_role.as_bytes()),
            responder.public_key().as_bytes(),
        ]
        .concat();
        // The code does not give its keys away: these are the oracle's, and the sealed messages
        // show that they are the same.
        let shared = requester.ecdh(&responder.public_key());
        let okm = oracle::hkdf(b"winze/authenticator/v1", &shared[..], &info);
        Key {
            direction,
            info: hex::encode(info),
            key: hex::encode(&okm[..32]),
            key_id: hex::encode(&okm[32..40]),
        }
    };
    PairVector {
        name,
        extension,
        requester: Party::new(requester_role, requester),
        responder: Party::new(responder_role, responder),
        shared_x: hex::encode(&requester.ecdh(&responder.public_key())[..]),
        request_key: key(0),
        answer_key: key(1),
        messages: messages(extension, &requester_keys, &responder_keys),
    }
}

impl Party {
    fn new(role: &'static str, key: &SecretKey) -> Party {
        let scalar = secp256k1::SecretKey::from_slice(key.expose_bytes()).unwrap();
        Party {
            role,
            secret_key: hex::encode(key.expose_bytes()),
            public_key: hex::encode(key.public_key().as_bytes()),
            odd_y: scalar.x_only_public_key(SECP256K1).1 == Parity::Odd,
        }
    }
}

fn messages(extension: u16, requester: &PairKeys, responder: &PairKeys) -> Vec<SealedVector> {
    let request = requester.seal(MintQuoteRequest::MSG_TYPE, REQUEST_BODY, 1, None);
    let digest = Some(request_digest(
        extension,
        MintQuoteRequest::MSG_TYPE,
        REQUEST_BODY,
    ));
    let other_digest = Some(request_digest(
        extension,
        MintQuoteRequest::MSG_TYPE,
        b"another request",
    ));
    let answer = responder.seal(MintQuoteResponse::MSG_TYPE, ANSWER_BODY, 5, digest);
    let temporary = responder.seal(MintQuoteError::MSG_TYPE, ANSWER_BODY, 0, digest);
    let announcement = responder.seal(KeysetAnnouncement::MSG_TYPE, b"", u64::MAX, None);
    let altered = |sealed: &[u8], place: usize| {
        let mut sealed = sealed.to_vec();
        sealed[place] ^= 1;
        sealed
    };
    let from_requester = |name, msg_type, sealed: &[u8]| {
        SealedVector::new(name, "requester", responder, msg_type, sealed, None)
    };
    let from_responder = |name, msg_type, sealed: &[u8], digest| {
        SealedVector::new(name, "responder", requester, msg_type, sealed, digest)
    };
    let body_bytes = REQUEST_BODY.len();
    vec![
        from_requester("a request", 0x80, &request),
        from_responder("the answer to it", 0x81, &answer, digest),
        from_responder("a temporary error", 0x82, &temporary, digest),
        from_responder("an announcement", 0x83, &announcement, None),
        from_requester("the body was altered", 0x80, &altered(&request, 0)),
        from_requester(
            "the key id was altered",
            0x80,
            &altered(&request, body_bytes),
        ),
        from_requester(
            "the sequence was altered",
            0x80,
            &altered(&request, body_bytes + 8),
        ),
        from_requester(
            "the MAC was altered",
            0x80,
            &altered(&request, body_bytes + 16 + 31),
        ),
        from_responder(
            "the answer, passed off for another request",
            0x81,
            &answer,
            other_digest,
        ),
        from_responder(
            "the answer, passed off as an announcement",
            0x81,
            &answer,
            None,
        ),
        from_responder("the answer, passed off as an error", 0x82, &answer, digest),
        from_responder(
            "the request, sent back to where it came from",
            0x80,
            &request,
            None,
        ),
    ]
}

impl SealedVector {
    fn new(
        name: &'static str,
        from: &'static str,
        receiver: &PairKeys,
        msg_type: u8,
        sealed: &[u8],
        digest: Option<[u8; 32]>,
    ) -> SealedVector {
        let unverified = winze_messages::authenticator::Unverified::split(sealed).unwrap();
        SealedVector {
            name,
            from,
            msg_type,
            body: hex::encode(unverified.body),
            sequence: unverified.sequence,
            request_digest: digest.map(hex::encode),
            sealed: hex::encode(sealed),
            error: match receiver.open(msg_type, sealed, digest) {
                Ok(_) => None,
                Err(AuthenticatorError::UnknownKey { .. }) => Some("unknown-key"),
                Err(AuthenticatorError::BadMac) => Some("bad-mac"),
                Err(error @ AuthenticatorError::TooShort { .. }) => panic!("{error}"),
            },
        }
    }
}

#[test]
fn keys_follow_from_either_secret_as_specified() {
    for vector in committed("authenticators.json") {
        let secret = |party: &str| {
            secp256k1::SecretKey::from_slice(&oracle::bytes(&vector[party]["secret_key"])).unwrap()
        };
        let shared = oracle::bytes(&vector["shared_x"]);
        for (own, peer) in [("requester", "responder"), ("responder", "requester")] {
            let peer = secret(peer).x_only_public_key(SECP256K1).0;
            let point = peer.public_key(Parity::Even);
            let xy = ecdh::shared_secret_point(&point, &secret(own));
            assert_eq!(xy[..32], shared);
        }
        for (direction, key) in [(0, "request_key"), (1, "answer_key")] {
            let mut info = u16::try_from(vector["extension"].as_u64().unwrap())
                .unwrap()
                .to_le_bytes()
                .to_vec();
            info.push(direction);
            for party in ["requester", "responder"] {
                let role = vector[party]["role"].as_str().unwrap();
                info.extend(oracle::prefixed(role.as_bytes()));
                info.extend(secret(party).x_only_public_key(SECP256K1).0.serialize());
            }
            let okm = oracle::hkdf(b"winze/authenticator/v1", &shared, &info);
            assert_eq!(oracle::bytes(&vector[key]["key"]), okm[..32]);
            assert_eq!(oracle::bytes(&vector[key]["key_id"]), okm[32..40]);
        }
    }
}

#[test]
fn macs_verify_exactly_where_the_file_says_so() {
    for vector in committed("authenticators.json") {
        let extension = u16::try_from(vector["extension"].as_u64().unwrap()).unwrap();
        for message in vector["messages"].as_array().unwrap() {
            let key = match message["from"].as_str().unwrap() {
                "requester" => &vector["request_key"],
                "responder" => &vector["answer_key"],
                other => panic!("no such side: {other}"),
            };
            let sealed = oracle::bytes(&message["sealed"]);
            let (body, trailer) = sealed.split_at(sealed.len() - 48);
            let digest = match &message["request_digest"] {
                serde_json::Value::Null => [0; 32],
                digest => oracle::bytes32(digest),
            };
            let msg_type = u8::try_from(message["msg_type"].as_u64().unwrap()).unwrap();
            let mac = oracle::hmac(
                &oracle::bytes(&key["key"]),
                &[&[msg_type], &trailer[8..16], &digest, body],
            );
            let error = if trailer[..8] != oracle::bytes(&key["key_id"]) {
                Some("unknown-key")
            } else if trailer[16..] != mac {
                Some("bad-mac")
            } else {
                None
            };
            assert_eq!(message["error"].as_str(), error, "{}", message["name"]);
        }
        let answer = &vector["messages"][1];
        let digest = oracle::tagged_hash(
            "winze/request/v1",
            &[&extension.to_le_bytes(), &[0x80], REQUEST_BODY],
        );
        assert_eq!(oracle::bytes32(&answer["request_digest"]), digest);
    }
}
