//! The handshake, and the ciphers that it leaves both sides with (Sv2 specification 4).
//!
//! `Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256`: the initiator is anonymous, the responder
//! shows a static key and an authority's certificate for it.
//!
//! ```text
//! act 1, initiator to responder:  | ephemeral key, 64 |
//! act 2, responder to initiator:  | ephemeral key, 64 | static key, 64 + 16 | certificate, 74 + 16 |
//! ```
//!
//! Keys are ElligatorSwift encodings (BIP 324); the static key and the certificate are encrypted.
//! Each state is consumed by its one step: [`Initiator::start`] then [`Initiator::finish`], or
//! [`Responder::respond`]. No clock, no sockets, and no randomness but the caller's.

mod cipher;
mod initiator;
mod responder;
mod session;
mod symmetric;

pub use cipher::CipherError;
pub use initiator::Initiator;
pub use responder::Responder;
pub use session::{Opener, Sealer, Session, Transcript};
pub use winze_aead::MAC_BYTES;

use secp256k1::ellswift::{ElligatorSwift, ElligatorSwiftParty};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::keys::{CertificateError, SIGNATURE_MESSAGE_BYTES, SecretKey};

/// The largest encrypted block, in bytes: what the Noise framework allows a message.
pub const BLOCK_BYTES_MAX: usize = 65_535;

/// The most plaintext that one block holds, in bytes.
pub const BLOCK_PLAINTEXT_BYTES_MAX: usize = BLOCK_BYTES_MAX - MAC_BYTES;

/// Bytes of the first handshake message.
pub const ACT_1_BYTES: usize = ELLSWIFT_BYTES;

/// Bytes of the second handshake message. (Sv2 specification 4.5.2.1 says 170 in one place; the
/// fields that it lists, with 64-byte keys, are 234, and so are those of every implementation.)
pub const ACT_2_BYTES: usize =
    ELLSWIFT_BYTES + ENCRYPTED_STATIC_KEY_BYTES + ENCRYPTED_CERTIFICATE_BYTES;

/// Bytes of a public key in ElligatorSwift encoding.
const ELLSWIFT_BYTES: usize = 64;
const ENCRYPTED_STATIC_KEY_BYTES: usize = ELLSWIFT_BYTES + MAC_BYTES;
const ENCRYPTED_CERTIFICATE_BYTES: usize = SIGNATURE_MESSAGE_BYTES + MAC_BYTES;

/// Why a handshake failed. The connection is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// Act 1 or the start of act 2 was altered on the way, or the responder does not speak this
    /// protocol.
    #[error("handshake act 2: the responder's static key is not authentic")]
    StaticKeyNotAuthentic,
    /// The end of act 2 was altered on the way, or the responder does not have the static key
    /// that it shows.
    #[error("handshake act 2: the responder's certificate is not authentic")]
    CertificateNotAuthentic,
    /// The responder is who it says, but the authority that we trust does not vouch for it.
    #[error("handshake act 2: {0}")]
    Certificate(#[from] CertificateError),
    /// Our own cipher refused to encrypt: with a fresh key it has no reason to.
    #[error("handshake act 2 could not be encrypted: {0}")]
    Seal(CipherError),
}

/// Our key as the other side gets to see it. The encoding follows from the key alone, as in the
/// reference crates: an ephemeral key is random enough, and the static one travels encrypted.
fn encode_ellswift(key: &SecretKey) -> ElligatorSwift {
    let mut scalar = key.to_scalar();
    let encoding = ElligatorSwift::from_pubkey(scalar.public_key(secp256k1::SECP256K1));
    scalar.non_secure_erase();
    encoding
}

/// `ECDH` of Sv2 specification 4.4.2, which is `v2_ecdh` of BIP 324. The initiator's encoding
/// comes first whoever computes; `key` belongs to `party`.
fn ecdh(
    initiator: ElligatorSwift,
    responder: ElligatorSwift,
    key: &SecretKey,
    party: ElligatorSwiftParty,
) -> Zeroizing<[u8; 32]> {
    let mut scalar = key.to_scalar();
    let secret = ElligatorSwift::shared_secret(initiator, responder, scalar, party, None);
    scalar.non_secure_erase();
    let mut bytes = secret.to_secret_bytes();
    let shared = Zeroizing::new(bytes);
    bytes.zeroize();
    shared
}

/// Both ends of a finished handshake with fixed keys, the initiator's first.
#[cfg(test)]
pub(crate) fn connected_pair() -> (Session, Session) {
    use crate::keys::{Certificate, ServerIdentity};
    use rand_chacha::rand_core::SeedableRng;

    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
    let authority = SecretKey::generate(&mut rng);
    let static_key = SecretKey::generate(&mut rng);
    let certificate = Certificate::sign(&authority, static_key.public_key(), 0, 100, &[0; 32]);
    let identity = ServerIdentity::new(static_key, certificate).expect("they belong together");
    let (initiator, act_1) = Initiator::start(Some(authority.public_key()), &mut rng);
    let (act_2, responder) =
        Responder::respond(&identity, &act_1, &mut rng).expect("any act 1 is answered");
    let initiator = initiator.finish(&act_2, 50).expect("nothing was altered");
    (initiator, responder)
}

/// Both directions' ends of one key from a nonce on, with this processor's lanes and without.
#[cfg(test)]
pub(crate) fn ends_at_nonce(nonce: u64, has_lanes: bool) -> (Sealer, Opener) {
    use cipher::Cipher;

    let cipher = || match has_lanes {
        true => Cipher::at_nonce(&[9; 32], nonce),
        false => Cipher::one_by_one(&[9; 32], nonce),
    };
    (Sealer::new(cipher()), Opener::new(cipher()))
}
