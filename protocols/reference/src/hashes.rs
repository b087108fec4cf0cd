//! What peers hash and sign, written out from the specification.

use secp256k1::{Keypair, SECP256K1};
use sha2::{Digest, Sha256};

/// SHA-256 over the parts under a tag, as in BIP 340.
pub fn tagged_hash(tag: &str, parts: &[&[u8]]) -> [u8; 32] {
    let tag = Sha256::digest(tag);
    let mut hash = Sha256::new().chain_update(tag).chain_update(tag);
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// What a peer signs in `Authenticate` to be `role/name` on the connection of this transcript (specification,
/// section 1.2). Role and name have at most 255 bytes each.
pub fn authenticate_digest(transcript: &[u8; 32], role: &str, name: &str) -> [u8; 32] {
    let length = |text: &str| [u8::try_from(text.len()).unwrap()];
    tagged_hash(
        "winze/authenticate/v1",
        &[
            transcript,
            &length(role),
            role.as_bytes(),
            &length(name),
            name.as_bytes(),
        ],
    )
}

/// The x coordinate of a secret key's public key.
pub fn x_only(secret: &[u8; 32]) -> [u8; 32] {
    let keypair = Keypair::from_seckey_slice(SECP256K1, secret).unwrap();
    keypair.x_only_public_key().0.serialize()
}
