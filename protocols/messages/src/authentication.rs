//! Who is on this connection: the client's signature over the handshake (section 1.2).

use sha2::{Digest, Sha256};
use thiserror::Error;
use winze_transport::{PublicKey, SecretKey, verify_schnorr};

use crate::families::hub::Authenticate;
use crate::names::PeerName;

const TAG: &str = "winze/authenticate/v1";

/// What the client signs: the connection's transcript, and who the client says it is.
///
/// `role` and `name` have at most 255 bytes each, as everything that came out of an
/// [`Authenticate`] or a [`PeerName`] does; what is longer cannot be sent, and is cut here.
pub fn authenticate_digest(transcript: &[u8; 32], role: &str, name: &str) -> [u8; 32] {
    let mut hash = tagged_hash(TAG);
    hash.update(transcript);
    for text in [role, name] {
        update_prefixed(&mut hash, text.as_bytes());
    }
    hash.finalize().into()
}

/// The message that proves `identity` on the connection with this transcript. `aux_rand` is fresh
/// randomness (BIP 340).
pub fn sign(
    identity: &SecretKey,
    transcript: &[u8; 32],
    peer: &PeerName,
    aux_rand: &[u8; 32],
) -> Authenticate {
    let digest = authenticate_digest(transcript, peer.role(), peer.name());
    Authenticate {
        role: peer.role().to_owned(),
        name: peer.name().to_owned(),
        public_key: identity.public_key().to_bytes(),
        signature: identity.sign_schnorr(&digest, aux_rand),
    }
}

/// The key that proved itself on the connection with this transcript. Whether it is listed, and
/// under this role and name, is still to be looked up.
pub fn verify(message: &Authenticate, transcript: &[u8; 32]) -> Result<PublicKey, BadSignature> {
    let public_key = PublicKey::from_bytes(message.public_key).map_err(|_| BadSignature)?;
    let digest = authenticate_digest(transcript, &message.role, &message.name);
    if verify_schnorr(&public_key, &digest, &message.signature) {
        Ok(public_key)
    } else {
        Err(BadSignature)
    }
}

/// The signature is not this key's for this transcript, role and name: `bad-signature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("signature does not verify for this connection, role and name")]
pub struct BadSignature;

/// The start of a BIP 340 tagged hash.
fn tagged_hash(tag: &str) -> Sha256 {
    Sha256::new().chain_update(tag_block(tag))
}

/// What a BIP 340 tagged hash begins with: the tag's digest, twice.
pub(crate) fn tag_block(tag: &str) -> [u8; 64] {
    let tag: [u8; 32] = Sha256::digest(tag.as_bytes()).into();
    std::array::from_fn(|at| tag[at % tag.len()])
}

/// Appends one length byte and the text.
fn update_prefixed(hash: &mut Sha256, text: &[u8]) {
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    hash.update([len]);
    hash.update(&text[..len.into()]);
}
