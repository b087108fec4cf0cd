//! `noise-handshake.json`: the Noise NX handshake of Stratum V2 with fixed keys, and the first
//! frames after it.

use std::time::Duration;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use secp256k1::ellswift::{ElligatorSwift, ElligatorSwiftParty};
use secp256k1::{Keypair, Message, SECP256K1};
use serde::Serialize;
use serde_json::Value;
use winze_messages::PeerName;
use winze_messages::authentication::{sign, verify};
use winze_messages::families::common::{SetupConnection, SetupConnectionSuccess};
use winze_messages::families::extensions::{RequestExtensions, RequestExtensionsSuccess};
use winze_messages::families::hub::HubMessage;
use winze_transport::{
    Certificate, Frame, FrameEncoder, Initiator, Limits, Responder, SecretKey, ServerIdentity,
    Session,
};

use crate::oracle::{bytes, bytes32, hkdf, sha256};
use crate::people::{Script, secret};
use crate::{VectorFile, committed};

/// When the handshakes happen, which is also when the certificates begin.
const NOW: u32 = 1_794_000_000;
const VALIDITY_S: u32 = 3_600;
const AUX_RAND: [u8; 32] = [0x5a; 32];
/// One byte more than a Noise block holds.
const TWO_BLOCKS_BYTES: usize = 65_520;

#[derive(Serialize)]
pub struct HandshakeVector {
    name: &'static str,
    now_unix_s: u32,
    authority: Key,
    responder_static: Key,
    initiator_ephemeral: Key,
    responder_ephemeral: Key,
    certificate: CertificateVector,
    act_1: String,
    act_2: String,
    steps: Steps,
    /// SHA-256(act 1 ‖ act 2): Winze's name for the connection.
    transcript: String,
    frames: Vec<EncryptedFrame>,
}

#[derive(Serialize)]
struct Key {
    secret_key: String,
    /// The x coordinate.
    public_key: String,
    public_key_text: String,
    /// How the key is sent. Deterministic here; any encoding of the key is as good.
    ellswift: String,
}

#[derive(Serialize)]
struct CertificateVector {
    version: u16,
    valid_from_unix_s: u32,
    not_valid_after_unix_s: u32,
    aux_rand: String,
    signature: String,
}

/// What both sides compute on the way.
#[derive(Serialize)]
struct Steps {
    ecdh_ephemeral_ephemeral: String,
    ecdh_ephemeral_static: String,
    /// `h` after act 2.
    handshake_hash: String,
    /// `ck` after act 2.
    chaining_key: String,
    initiator_to_responder_key: String,
    responder_to_initiator_key: String,
}

#[derive(Serialize)]
struct EncryptedFrame {
    from: &'static str,
    /// Header and payload; null where `payload_pattern_bytes` says what the payload is.
    plaintext: Option<String>,
    /// A payload of so many bytes, byte i being i modulo 251, under extension type 0x4a00 and
    /// message type 1.
    payload_pattern_bytes: Option<usize>,
    encrypted: Option<String>,
    encrypted_bytes: usize,
    encrypted_sha256: String,
}

pub fn file() -> VectorFile<HandshakeVector> {
    VectorFile {
        origin: "Made by winze-transport. Checked byte for byte against noise_sv2 2.0.0 with the \
                 same keys, time and randomness, and against a handshake written out in the test \
                 from libsecp256k1 (ElligatorSwift, BIP340), HMAC-SHA256 and ChaCha20-Poly1305.",
        description: "Stratum V2, chapter 4: Noise NX with ElligatorSwift keys. Given are all \
                      secret keys, the time and the randomness of the certificate's signature; an \
                      implementation that sends keys as `ellswift` gives them makes the same \
                      acts; a key has many encodings, and one that picks others decrypts these. \
                      `steps` has the values on the way. The frames of each side are encrypted in \
                      their order, the nonce counting blocks from 0; a payload of 0 bytes has no \
                      block. Where `plaintext` is null, the frame has extension type 0x4a00, \
                      message type 0x01 and a payload of `payload_pattern_bytes` bytes, byte i \
                      being i modulo 251 (from 0); of what it is encrypted to, length and SHA-256 \
                      are given. The Authenticate among the frames is that of pool/main with the \
                      first key of authentication.json and 32 zero bytes as aux_rand. The keys of \
                      all three parties are public by this file: never use them.",
        vectors: vec![
            vector("the first handshake", "1"),
            vector("other keys", "2"),
            vector("and others", "3"),
        ],
    }
}

/// A key whose point has an even y, as all keys of the reference crates.
fn even_secret(who: &str) -> SecretKey {
    SecretKey::generate(&mut Script::new(&[secret(who).expose_bytes()]))
}

fn vector(name: &'static str, number: &str) -> HandshakeVector {
    let key = |who: &str| even_secret(&format!("handshake {number}, {who}"));
    let authority = key("authority");
    let initiator_ephemeral = key("initiator ephemeral");
    let responder_ephemeral = key("responder ephemeral");
    let static_key = key("responder static");
    let static_entry = Key::new(&static_key);
    let certificate = Certificate::sign(
        &authority,
        static_key.public_key(),
        NOW,
        NOW + VALIDITY_S,
        &AUX_RAND,
    );
    let certificate_entry = CertificateVector {
        version: certificate.version,
        valid_from_unix_s: certificate.valid_from_unix_s,
        not_valid_after_unix_s: certificate.not_valid_after_unix_s,
        aux_rand: hex::encode(AUX_RAND),
        signature: hex::encode(certificate.signature),
    };
    let identity = ServerIdentity::new(static_key, certificate).unwrap();

    let mut script = Script::new(&[initiator_ephemeral.expose_bytes()]);
    let (initiator, act_1) = Initiator::start(Some(authority.public_key()), &mut script);
    let mut script = Script::new(&[responder_ephemeral.expose_bytes()]);
    let (act_2, responder) = Responder::respond(&identity, &act_1, &mut script).unwrap();
    let initiator = initiator.finish(&act_2, NOW).unwrap();
    assert_eq!(initiator.transcript, responder.transcript);

    let trace = Trace::of(
        identity.certificate(),
        identity.static_key(),
        &initiator_ephemeral,
        &responder_ephemeral,
    );
    HandshakeVector {
        name,
        now_unix_s: NOW,
        authority: Key::new(&authority),
        responder_static: static_entry,
        initiator_ephemeral: Key::new(&initiator_ephemeral),
        responder_ephemeral: Key::new(&responder_ephemeral),
        certificate: certificate_entry,
        act_1: hex::encode(act_1),
        act_2: hex::encode(act_2),
        steps: trace.steps(),
        transcript: hex::encode(initiator.transcript.as_bytes()),
        frames: encrypted_frames(initiator, responder),
    }
}

impl Key {
    fn new(key: &SecretKey) -> Key {
        Key {
            secret_key: hex::encode(key.expose_bytes()),
            public_key: hex::encode(key.public_key().as_bytes()),
            public_key_text: key.public_key().to_string(),
            ellswift: hex::encode(ellswift(key.expose_bytes()).to_array()),
        }
    }
}

fn encrypted_frames(initiator: Session, responder: Session) -> Vec<EncryptedFrame> {
    let limits = Limits {
        payload_bytes_max: 1 << 20,
    };
    let transcript = *initiator.transcript.as_bytes();
    let mut from_initiator = FrameEncoder::new(initiator.sealer, limits);
    let mut from_responder = FrameEncoder::new(responder.sealer, limits);
    plain_frames(&transcript)
        .into_iter()
        .map(|(from, frame)| {
            let mut encrypted = Vec::new();
            let encoder = match from {
                "initiator" => &mut from_initiator,
                _ => &mut from_responder,
            };
            encoder.encode(&frame, &mut encrypted).unwrap();
            let is_pattern = frame.payload.len() == TWO_BLOCKS_BYTES;
            EncryptedFrame {
                from,
                plaintext: (!is_pattern).then(|| hex::encode(frame.to_bytes())),
                payload_pattern_bytes: is_pattern.then_some(TWO_BLOCKS_BYTES),
                encrypted: (!is_pattern).then(|| hex::encode(&encrypted)),
                encrypted_bytes: encrypted.len(),
                encrypted_sha256: hex::encode(sha256(&[&encrypted])),
            }
        })
        .collect()
}

/// What a client and a hub say first.
fn plain_frames(transcript: &[u8; 32]) -> Vec<(&'static str, Frame)> {
    let setup = SetupConnection {
        protocol: 0,
        min_version: 2,
        max_version: 2,
        flags: 0,
        endpoint_host: "hub.example".to_owned(),
        endpoint_port: 34_411,
        vendor: "winze".to_owned(),
        hardware_version: "pool".to_owned(),
        firmware: "0.1.0".to_owned(),
        device_id: String::new(),
    };
    let setup_success = SetupConnectionSuccess {
        used_version: 2,
        flags: 0,
    };
    let request = RequestExtensions {
        request_id: 1,
        requested_extensions: vec![0x4801, 0x4802],
    };
    let success = RequestExtensionsSuccess {
        request_id: 1,
        supported_extensions: vec![0x4801, 0x4802],
    };
    let name: PeerName = "pool/main".parse().unwrap();
    let authenticate = sign(&secret("pool/main"), transcript, &name, &[0; 32]);
    vec![
        ("initiator", setup.to_frame().unwrap()),
        ("responder", setup_success.to_frame().unwrap()),
        ("initiator", request.to_frame().unwrap()),
        ("responder", success.to_frame().unwrap()),
        ("initiator", authenticate.to_frame().unwrap()),
        ("responder", pattern_frame(0)),
        ("initiator", pattern_frame(TWO_BLOCKS_BYTES)),
        ("initiator", pattern_frame(1)),
    ]
}

fn pattern_frame(payload_bytes: usize) -> Frame {
    Frame {
        extension_type: 0x4a00,
        msg_type: 1,
        payload: (0..=250).cycle().take(payload_bytes).collect(),
    }
}

fn ellswift(secret: &[u8; 32]) -> ElligatorSwift {
    let secret = secp256k1::SecretKey::from_slice(secret).unwrap();
    ElligatorSwift::from_pubkey(secret.public_key(SECP256K1))
}

/// The handshake written out, step by step as in Stratum V2, 4.5.
struct Trace {
    act_1: Vec<u8>,
    act_2: Vec<u8>,
    ecdh_ephemeral: [u8; 32],
    ecdh_static: [u8; 32],
    hash: [u8; 32],
    chaining_key: [u8; 32],
    initiator_key: [u8; 32],
    responder_key: [u8; 32],
}

impl Trace {
    fn of(
        certificate: &Certificate,
        static_key: &SecretKey,
        initiator_ephemeral: &SecretKey,
        responder_ephemeral: &SecretKey,
    ) -> Trace {
        let mut message = certificate.version.to_le_bytes().to_vec();
        message.extend(certificate.valid_from_unix_s.to_le_bytes());
        message.extend(certificate.not_valid_after_unix_s.to_le_bytes());
        message.extend(certificate.signature);
        Trace::of_parts(
            &message,
            static_key.expose_bytes(),
            initiator_ephemeral.expose_bytes(),
            responder_ephemeral.expose_bytes(),
        )
    }

    fn of_parts(
        signature_message: &[u8],
        static_secret: &[u8; 32],
        initiator_secret: &[u8; 32],
        responder_secret: &[u8; 32],
    ) -> Trace {
        let theirs = ellswift(initiator_secret);
        let ours = ellswift(responder_secret);
        let fixed = ellswift(static_secret);
        let ecdh = |with: ElligatorSwift, secret: &[u8; 32]| -> [u8; 32] {
            let secret = secp256k1::SecretKey::from_slice(secret).unwrap();
            let party = ElligatorSwiftParty::B;
            ElligatorSwift::shared_secret(theirs, with, secret, party, None).to_secret_bytes()
        };

        let chaining_key = sha256(&[b"Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256"]);
        let hash = sha256(&[&chaining_key]);

        let act_1 = theirs.to_array().to_vec();
        let hash = sha256(&[&hash, &act_1]);
        let hash = sha256(&[&hash, b""]);

        let hash = sha256(&[&hash, &ours.to_array()]);
        let ecdh_ephemeral = ecdh(ours, responder_secret);
        let (chaining_key, key) = halves(hkdf(&chaining_key, &ecdh_ephemeral, b""));
        let static_block = seal(&key, 0, &hash, &fixed.to_array());
        let hash = sha256(&[&hash, &static_block]);

        let ecdh_static = ecdh(fixed, static_secret);
        let (chaining_key, key) = halves(hkdf(&chaining_key, &ecdh_static, b""));
        let signature_block = seal(&key, 0, &hash, signature_message);
        let hash = sha256(&[&hash, &signature_block]);

        let (initiator_key, responder_key) = halves(hkdf(&chaining_key, b"", b""));
        Trace {
            act_1,
            act_2: [&ours.to_array()[..], &static_block, &signature_block].concat(),
            ecdh_ephemeral,
            ecdh_static,
            hash,
            chaining_key,
            initiator_key,
            responder_key,
        }
    }

    fn steps(&self) -> Steps {
        Steps {
            ecdh_ephemeral_ephemeral: hex::encode(self.ecdh_ephemeral),
            ecdh_ephemeral_static: hex::encode(self.ecdh_static),
            handshake_hash: hex::encode(self.hash),
            chaining_key: hex::encode(self.chaining_key),
            initiator_to_responder_key: hex::encode(self.initiator_key),
            responder_to_initiator_key: hex::encode(self.responder_key),
        }
    }
}

fn halves(bytes: [u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (first, second) = bytes.split_at(32);
    (first.try_into().unwrap(), second.try_into().unwrap())
}

fn seal(key: &[u8; 32], nonce: u64, associated: &[u8], text: &[u8]) -> Vec<u8> {
    let mut nonce_bytes = [0; 12];
    nonce_bytes[4..].copy_from_slice(&nonce.to_le_bytes());
    ChaCha20Poly1305::new(key.into())
        .encrypt(
            Nonce::from_slice(&nonce_bytes),
            Payload {
                msg: text,
                aad: associated,
            },
        )
        .unwrap()
}

/// Encrypts a frame block by block: the header, then the payload in blocks of 65,519 bytes.
fn seal_frame(frame: &[u8], mut seal_block: impl FnMut(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (header, payload) = frame.split_at(6);
    let mut encrypted = seal_block(header);
    for block in payload.chunks(65_519) {
        encrypted.extend(seal_block(block));
    }
    encrypted
}

/// The plaintext of a frozen frame.
fn plaintext(frame: &Value) -> Vec<u8> {
    match frame["payload_pattern_bytes"].as_u64() {
        Some(payload_bytes) => pattern_frame(usize::try_from(payload_bytes).unwrap()).to_bytes(),
        None => bytes(&frame["plaintext"]),
    }
}

fn assert_frozen(frame: &Value, encrypted: &[u8]) {
    assert_eq!(frame["encrypted_bytes"], encrypted.len());
    assert_eq!(bytes32(&frame["encrypted_sha256"]), sha256(&[encrypted]));
    if !frame["encrypted"].is_null() {
        assert_eq!(bytes(&frame["encrypted"]), encrypted);
    }
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

#[test]
fn a_handshake_written_out_by_hand_has_the_same_bytes() {
    for vector in committed("noise-handshake.json") {
        let secret = |who: &str| bytes32(&vector[who]["secret_key"]);
        let certificate = &vector["certificate"];
        let mut message = vec![u8::try_from(number(&certificate["version"])).unwrap(), 0];
        message.extend(number(&certificate["valid_from_unix_s"]).to_le_bytes());
        message.extend(number(&certificate["not_valid_after_unix_s"]).to_le_bytes());

        let static_key = bytes(&vector["responder_static"]["public_key"]);
        let signed = Message::from_digest(sha256(&[&message, &static_key]));
        let authority = Keypair::from_seckey_slice(SECP256K1, &secret("authority")).unwrap();
        let aux_rand = bytes32(&certificate["aux_rand"]);
        let signature = SECP256K1.sign_schnorr_with_aux_rand(&signed, &authority, &aux_rand);
        assert_eq!(bytes(&certificate["signature"]), signature.serialize());
        message.extend(signature.serialize());

        let trace = Trace::of_parts(
            &message,
            &secret("responder_static"),
            &secret("initiator_ephemeral"),
            &secret("responder_ephemeral"),
        );
        assert_eq!(bytes(&vector["act_1"]), trace.act_1);
        assert_eq!(bytes(&vector["act_2"]), trace.act_2);
        assert_eq!(
            vector["steps"],
            serde_json::to_value(trace.steps()).unwrap()
        );
        let transcript = sha256(&[&trace.act_1, &trace.act_2]);
        assert_eq!(bytes32(&vector["transcript"]), transcript);

        let mut nonces = [0, 0];
        for frame in vector["frames"].as_array().unwrap() {
            let (key, nonce) = match frame["from"].as_str().unwrap() {
                "initiator" => (&trace.initiator_key, &mut nonces[0]),
                _ => (&trace.responder_key, &mut nonces[1]),
            };
            let encrypted = seal_frame(&plaintext(frame), |block| {
                let sealed = seal(key, *nonce, b"", block);
                *nonce += 1;
                sealed
            });
            assert_frozen(frame, &encrypted);
        }
    }
}

#[test]
fn the_reference_crate_has_the_same_bytes() {
    for vector in committed("noise-handshake.json") {
        let secret = |who: &str| bytes32(&vector[who]["secret_key"]);
        let certificate = &vector["certificate"];
        let authority = bytes32(&vector["authority"]["public_key"]);
        let now = number(&vector["now_unix_s"]);
        let from = number(&certificate["valid_from_unix_s"]);
        let validity_s = number(&certificate["not_valid_after_unix_s"]) - from;

        let mut script = Script::new(&[&secret("initiator_ephemeral")]);
        let mut initiator =
            noise_sv2::Initiator::from_raw_k_with_rng(authority, &mut script).unwrap();
        let act_1 = initiator.step_0().unwrap();
        assert_eq!(bytes(&vector["act_1"]), act_1);

        let mut script = Script::new(&[
            &secret("responder_ephemeral"),
            &secret("responder_static"),
            &bytes32(&certificate["aux_rand"]),
        ]);
        let mut responder = noise_sv2::Responder::from_authority_kp_with_rng(
            &authority,
            &secret("authority"),
            Duration::from_secs(validity_s.into()),
            &mut script,
        )
        .unwrap();
        let (act_2, mut responder) = responder
            .step_1_with_now_rng(act_1, from, &mut script)
            .unwrap();
        assert!(script.is_used_up());
        assert_eq!(bytes(&vector["act_2"]), act_2);

        let mut initiator = initiator.step_2_with_now(act_2, now).unwrap();
        for frame in vector["frames"].as_array().unwrap() {
            let engine = match frame["from"].as_str().unwrap() {
                "initiator" => &mut initiator,
                _ => &mut responder,
            };
            let encrypted = seal_frame(&plaintext(frame), |block| {
                let mut block = block.to_vec();
                engine.encrypt(&mut block).unwrap();
                block
            });
            assert_frozen(frame, &encrypted);
        }
    }
}

#[test]
fn the_frozen_authenticate_is_good_for_its_own_handshake_alone() {
    let vectors = committed("noise-handshake.json");
    let proofs = vectors.iter().map(|vector| {
        let frame = Frame::from_bytes(&bytes(&vector["frames"][4]["plaintext"])).unwrap();
        match HubMessage::decode(&frame) {
            Ok(HubMessage::Authenticate(proof)) => proof,
            other => panic!("not an Authenticate: {other:?}"),
        }
    });
    for (i, proof) in proofs.enumerate() {
        for (j, vector) in vectors.iter().enumerate() {
            let transcript = bytes32(&vector["transcript"]);
            assert_eq!(verify(&proof, &transcript).is_ok(), i == j);
        }
    }
}
