use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::MAC_BYTES;
use super::cipher::{Cipher, CipherError};
use super::session::{Opener, Sealer};

const PROTOCOL_NAME: &[u8] = b"Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256";

/// The variables `h`, `ck` and `k` that each side keeps during a handshake, and the operations
/// on them (Sv2 specification 4.4.2).
pub(super) struct Symmetric {
    /// `h`: the hash of all that was sent and received so far. Not secret.
    transcript_hash: [u8; 32],
    /// `ck`: the hash of all Diffie-Hellman results so far.
    chaining_key: Zeroizing<[u8; 32]>,
    /// `k` and its nonce; none before the first Diffie-Hellman.
    cipher: Option<Cipher>,
}

impl Symmetric {
    /// The state before act 1 (4.5.1). The prologue that Noise mixes in here is empty.
    pub(super) fn new() -> Symmetric {
        let name_hash: [u8; 32] = Sha256::digest(PROTOCOL_NAME).into();
        Symmetric {
            transcript_hash: Sha256::digest(name_hash).into(),
            chaining_key: Zeroizing::new(name_hash),
            cipher: None,
        }
    }

    /// `MixHash`.
    pub(super) fn mix_hash(&mut self, data: &[u8]) {
        self.transcript_hash = Sha256::new()
            .chain_update(self.transcript_hash)
            .chain_update(data)
            .finalize()
            .into();
    }

    /// `MixKey`.
    pub(super) fn mix_key(&mut self, input: &[u8; 32]) {
        let (chaining_key, key) = hkdf(&self.chaining_key, input);
        self.chaining_key = chaining_key;
        self.cipher = Some(Cipher::new(&key));
    }

    /// `EncryptAndHash` of the plaintext at the start of `block`; its MAC fills the last
    /// [`MAC_BYTES`].
    pub(super) fn encrypt_and_hash(&mut self, block: &mut [u8]) -> Result<(), CipherError> {
        if let Some(cipher) = &mut self.cipher {
            let (text, mac) = block
                .split_last_chunk_mut::<MAC_BYTES>()
                .expect("the blocks of act 2 have room for a MAC");
            *mac = cipher.seal(&self.transcript_hash, text)?;
        }
        self.mix_hash(block);
        Ok(())
    }

    /// `DecryptAndHash` in place; returns the plaintext in `block`.
    pub(super) fn decrypt_and_hash<'b>(
        &mut self,
        block: &'b mut [u8],
    ) -> Result<&'b [u8], CipherError> {
        let associated = self.transcript_hash;
        self.mix_hash(block);
        match &mut self.cipher {
            Some(cipher) => cipher.open(&associated, block),
            None => Ok(block),
        }
    }

    /// The end: the initiator's and the responder's sending keys are derived, everything else is
    /// wiped. The initiator seals with the first and opens with the second.
    pub(super) fn split(self) -> (Cipher, Cipher) {
        let (from_initiator, from_responder) = hkdf(&self.chaining_key, &[]);
        (Cipher::new(&from_initiator), Cipher::new(&from_responder))
    }

    /// [`Self::split`] as the initiator sees it.
    pub(super) fn split_for_initiator(self) -> (Sealer, Opener) {
        let (from_initiator, from_responder) = self.split();
        (Sealer::new(from_initiator), Opener::new(from_responder))
    }

    /// [`Self::split`] as the responder sees it.
    pub(super) fn split_for_responder(self) -> (Sealer, Opener) {
        let (from_initiator, from_responder) = self.split();
        (Sealer::new(from_responder), Opener::new(from_initiator))
    }
}

/// `HKDF` with two outputs and no info (RFC 5869).
fn hkdf(chaining_key: &[u8; 32], input: &[u8]) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let extracted = hmac(chaining_key, &[input]);
    let first = hmac(&extracted, &[&[1]]);
    let second = hmac(&extracted, &[&first[..], &[2]]);
    (first, second)
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}
