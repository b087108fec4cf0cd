//! Who appears in the vectors. Their secret keys are public.

use rand::{CryptoRng, RngCore};
use sha2::{Digest, Sha256};
use winze_messages::{EXT_MINT_QUOTE, PairKeys, PeerName, Side};
use winze_transport::SecretKey;

/// The secret key of somebody, from their name.
pub fn secret(who: &str) -> SecretKey {
    let bytes = Sha256::digest(format!("winze test vectors: {who}"));
    SecretKey::from_bytes(&bytes.into()).unwrap()
}

pub fn pool() -> SecretKey {
    secret("pool/main")
}

pub fn mint() -> SecretKey {
    secret("mint/main")
}

pub fn pool_name() -> PeerName {
    "pool/main".parse().unwrap()
}

/// The pool's keys for quotes of the mint.
pub fn pool_keys() -> PairKeys {
    let mint = mint().public_key();
    PairKeys::derive(
        &pool(),
        &mint,
        EXT_MINT_QUOTE,
        Side::Requester,
        "pool",
        "mint",
    )
}

/// The mint's, for requests of the pool.
pub fn mint_keys() -> PairKeys {
    let pool = pool().public_key();
    PairKeys::derive(
        &mint(),
        &pool,
        EXT_MINT_QUOTE,
        Side::Responder,
        "pool",
        "mint",
    )
}

/// A compressed public key, as a miner's wallet would make it.
pub fn compressed_key(who: &str) -> [u8; 33] {
    secp256k1::SecretKey::from_slice(secret(who).expose_bytes())
        .unwrap()
        .public_key(secp256k1::SECP256K1)
        .serialize()
}

pub fn header_hash(what: &str) -> [u8; 32] {
    Sha256::digest(format!("winze test vectors: share {what}")).into()
}

/// "Randomness" that is written down: gives these bytes, in this order, and no more.
pub struct Script {
    bytes: std::vec::IntoIter<u8>,
}

impl Script {
    pub fn new(parts: &[&[u8; 32]]) -> Script {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        Script {
            bytes: bytes.into_iter(),
        }
    }

    pub fn is_used_up(&self) -> bool {
        self.bytes.len() == 0
    }
}

impl RngCore for Script {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for byte in out {
            *byte = self.bytes.next().expect("the script is long enough");
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Script {}
