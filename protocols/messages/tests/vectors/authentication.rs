//! `authentication.json`: who a client is, and who it is not.

use secp256k1::schnorr::Signature;
use secp256k1::{Message, SECP256K1, XOnlyPublicKey};
use serde::Serialize;
use winze_messages::PeerName;
use winze_messages::authentication::{authenticate_digest, sign, verify};
use winze_messages::families::hub::Authenticate;
use winze_transport::SecretKey;

use crate::people::{mint, pool, secret};
use crate::{VectorFile, committed, oracle};

#[derive(Serialize)]
pub struct AuthenticationVector {
    name: &'static str,
    /// Who signed; null where nobody did.
    secret_key: Option<String>,
    aux_rand: Option<String>,
    transcript: String,
    role: String,
    peer_name: String,
    public_key: String,
    public_key_text: Option<String>,
    digest: String,
    signature: String,
    valid: bool,
}

const TRANSCRIPT: [u8; 32] = [0xaa; 32];

pub fn file() -> VectorFile<AuthenticationVector> {
    let zero = [0; 32];
    let pool_is = |name: &str| signed(&pool(), &TRANSCRIPT, "pool", name, &zero);
    VectorFile {
        origin: "Made by winze-messages. Digests checked by a tagged hash of the test's own, \
                 signatures by libsecp256k1 (secp256k1 0.29).",
        description: "Authenticate, section 1.2 of the specification. `digest` is what is signed, \
                      from `transcript`, `role` and `peer_name` (the field `name` of the \
                      message). Where `secret_key` is given, `signature` is BIP340 by that \
                      key with that `aux_rand`; where `valid` is false, it is over the digest of \
                      another transcript, role or name, or `public_key` is another key. \
                      `public_key` is x-only.",
        vectors: vec![
            AuthenticationVector::new(
                "a pool",
                Some((&pool(), &zero)),
                &TRANSCRIPT,
                pool_is("main"),
            ),
            AuthenticationVector::new(
                "a mint, with other randomness",
                Some((&mint(), &[0xbb; 32])),
                &[0; 32],
                signed(&mint(), &[0; 32], "mint", "main", &[0xbb; 32]),
            ),
            AuthenticationVector::new(
                "the longest names",
                Some((&pool(), &zero)),
                &TRANSCRIPT,
                signed(
                    &pool(),
                    &TRANSCRIPT,
                    &"r".repeat(32),
                    &"0-9".repeat(11)[..32],
                    &zero,
                ),
            ),
            AuthenticationVector::new(
                "the pool's proof, replayed on another connection",
                Some((&pool(), &zero)),
                &[0xab; 32],
                pool_is("main"),
            ),
            AuthenticationVector::new(
                "the pool's proof under another name",
                Some((&pool(), &zero)),
                &TRANSCRIPT,
                {
                    let mut proof = pool_is("main");
                    proof.name = "other".to_owned();
                    proof
                },
            ),
            AuthenticationVector::new(
                "the pool's proof, role and name divided otherwise",
                Some((&pool(), &zero)),
                &TRANSCRIPT,
                {
                    let mut proof = pool_is("main");
                    proof.role = "poolm".to_owned();
                    proof.name = "ain".to_owned();
                    proof
                },
            ),
            AuthenticationVector::new(
                "the pool's proof under somebody else's key",
                Some((&pool(), &zero)),
                &TRANSCRIPT,
                {
                    let mut proof = pool_is("main");
                    proof.public_key = secret("somebody else").public_key().to_bytes();
                    proof
                },
            ),
            AuthenticationVector::new("a key that is not on the curve", None, &TRANSCRIPT, {
                let mut proof = pool_is("main");
                proof.public_key = [0xff; 32];
                proof
            }),
            AuthenticationVector::new("a signature of all ones", None, &TRANSCRIPT, {
                let mut proof = pool_is("main");
                proof.signature = [0xff; 64];
                proof
            }),
        ],
    }
}

fn signed(
    key: &SecretKey,
    transcript: &[u8; 32],
    role: &str,
    name: &str,
    aux_rand: &[u8; 32],
) -> Authenticate {
    sign(
        key,
        transcript,
        &PeerName::new(role, name).unwrap(),
        aux_rand,
    )
}

impl AuthenticationVector {
    fn new(
        name: &'static str,
        signer: Option<(&SecretKey, &[u8; 32])>,
        transcript: &[u8; 32],
        proof: Authenticate,
    ) -> AuthenticationVector {
        let public_key = winze_transport::PublicKey::from_bytes(proof.public_key);
        AuthenticationVector {
            name,
            secret_key: signer.map(|(key, _)| hex::encode(key.expose_bytes())),
            aux_rand: signer.map(|(_, aux_rand)| hex::encode(aux_rand)),
            transcript: hex::encode(transcript),
            public_key: hex::encode(proof.public_key),
            public_key_text: public_key.ok().map(|key| key.to_string()),
            digest: hex::encode(authenticate_digest(transcript, &proof.role, &proof.name)),
            signature: hex::encode(proof.signature),
            valid: verify(&proof, transcript).is_ok(),
            role: proof.role,
            peer_name: proof.name,
        }
    }
}

#[test]
fn libsecp256k1_agrees_on_who_is_who() {
    let vectors = committed("authentication.json");
    for vector in &vectors {
        let text = |field: &str| vector[field].as_str().unwrap().as_bytes();
        let digest = oracle::tagged_hash(
            "winze/authenticate/v1",
            &[
                &oracle::bytes(&vector["transcript"]),
                &oracle::prefixed(text("role")),
                &oracle::prefixed(text("peer_name")),
            ],
        );
        assert_eq!(digest, oracle::bytes32(&vector["digest"]));

        let valid = XOnlyPublicKey::from_slice(&oracle::bytes(&vector["public_key"]))
            .and_then(|key| {
                let signature = Signature::from_slice(&oracle::bytes(&vector["signature"]))?;
                SECP256K1.verify_schnorr(&signature, &Message::from_digest(digest), &key)
            })
            .is_ok();
        assert_eq!(vector["valid"], valid, "{}", vector["name"]);
    }
    assert!(vectors.iter().any(|vector| vector["valid"] == true));
    assert!(vectors.iter().any(|vector| vector["valid"] == false));
}
