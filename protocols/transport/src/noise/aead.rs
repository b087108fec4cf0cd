//! The one place that knows which library encrypts: ChaCha20-Poly1305 (RFC 8439) with the nonce
//! of the Noise framework, 32 zero bits and then the counter, a U64 LE. A faster library takes
//! this file's place and no other's.

use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};

use super::MAC_BYTES;

/// A key, ready for use; wiped when dropped.
pub(super) struct Aead(ChaCha20Poly1305);

/// The library's refusal: opening, a block that is not authentic; sealing, one that is too long.
pub(super) struct Refused;

impl Aead {
    pub(super) fn new(key: &[u8; 32]) -> Aead {
        Aead(ChaCha20Poly1305::new(Key::from_slice(key)))
    }

    /// Encrypts `text` in place and returns the MAC over it and `associated`. A nonce is used
    /// once under a key: the caller counts.
    pub(super) fn seal(
        &self,
        nonce: u64,
        associated: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; MAC_BYTES], Refused> {
        match self
            .0
            .encrypt_in_place_detached(&encode(nonce), associated, text)
        {
            Ok(tag) => Ok(tag.into()),
            Err(_) => Err(Refused),
        }
    }

    /// Decrypts `text` in place; the MAC is checked first, in constant time.
    pub(super) fn open(
        &self,
        nonce: u64,
        associated: &[u8],
        text: &mut [u8],
        mac: &[u8; MAC_BYTES],
    ) -> Result<(), Refused> {
        self.0
            .decrypt_in_place_detached(&encode(nonce), associated, text, Tag::from_slice(mac))
            .map_err(|_| Refused)
    }
}

fn encode(nonce: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&nonce.to_le_bytes());
    bytes.into()
}
