//! The one place that knows which library encrypts: ChaCha20-Poly1305 (RFC 8439) with the nonce
//! of the Noise framework, 32 zero bits and then the counter, a U64 LE. Another library would take
//! this file's place and no other's.

use std::hint::black_box;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

use super::MAC_BYTES;

/// A key, ready for use.
///
/// The library does not wipe what it holds. So the key has one place, on the heap, however often
/// its owner is moved, and that place is overwritten when this is dropped. What is out of reach
/// are the copies that the library makes on the stack: one when a key is made, and for each block
/// the one-time Poly1305 key and ChaCha20's state. They last until the stack is used again.
pub(super) struct Aead(Box<LessSafeKey>);

/// The library's refusal: opening, a block that is not authentic; sealing, one that is too long.
pub(super) struct Refused;

impl Aead {
    pub(super) fn new(key: &[u8; 32]) -> Aead {
        Aead(Box::new(schedule(key)))
    }

    /// Encrypts `text` in place and returns the MAC over it and `associated`. A nonce is used
    /// once under a key: the caller counts.
    pub(super) fn seal(
        &self,
        nonce: u64,
        associated: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; MAC_BYTES], Refused> {
        let associated = Aad::from(associated);
        let sealed = self
            .0
            .seal_in_place_separate_tag(encode(nonce), associated, text);
        let tag = sealed.map_err(|_| Refused)?;
        tag.as_ref().try_into().map_err(|_| Refused)
    }

    /// Decrypts `text` in place. The MAC is compared in constant time; where it is not that of
    /// `text` and `associated`, nothing of the plaintext is left in `text`.
    pub(super) fn open(
        &self,
        nonce: u64,
        associated: &[u8],
        text: &mut [u8],
        mac: &[u8; MAC_BYTES],
    ) -> Result<(), Refused> {
        let (associated, tag) = (Aad::from(associated), Tag::from(*mac));
        self.0
            .open_in_place_separate_tag(encode(nonce), associated, tag, text, 0..)
            .map(|_| ())
            .map_err(|_| Refused)
    }

    /// Puts a key that everybody knows in the place of ours.
    fn wipe(&mut self) {
        *self.0 = schedule(&[0; 32]);
        // What is never read again the compiler need not write.
        black_box(&mut *self.0);
    }
}

impl Drop for Aead {
    fn drop(&mut self) {
        self.wipe();
    }
}

fn schedule(key: &[u8; 32]) -> LessSafeKey {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key);
    LessSafeKey::new(key.expect("a key of ChaCha20-Poly1305 has 32 bytes"))
}

fn encode(nonce: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&nonce.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, KeyInit};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::noise::BLOCK_PLAINTEXT_BYTES_MAX;

    /// Around what one pass of the vector code takes, and a block's end.
    fn text_bytes() -> impl Strategy<Value = usize> {
        const MAX: usize = BLOCK_PLAINTEXT_BYTES_MAX;
        prop_oneof![6 => 0..1_100_usize, 1 => (MAX - 1)..=MAX]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// RustCrypto shares nothing with `ring` but the RFC.
        #[test]
        fn another_library_makes_the_same_bytes_and_altered_ones_are_refused_and_gone(
            key in any::<[u8; 32]>(),
            nonce in any::<u64>(),
            associated in vec(any::<u8>(), 0..40),
            text_bytes in text_bytes(),
            first in any::<u8>(),
            flipped in any::<prop::sample::Index>(),
        ) {
            let text: Vec<u8> = (0..text_bytes).map(|i| (i % 251) as u8 ^ first).collect();
            let aead = Aead::new(&key);

            let mut sealed = text.clone();
            let Ok(mac) = aead.seal(nonce, &associated, &mut sealed) else {
                panic!("a block of this length is sealed");
            };
            let mut by_other = text.clone();
            let mut other_nonce = [0; 12];
            other_nonce[4..].copy_from_slice(&nonce.to_le_bytes());
            let other_mac = ChaCha20Poly1305::new(&key.into())
                .encrypt_in_place_detached(&other_nonce.into(), &associated, &mut by_other)
                .unwrap();
            prop_assert!(sealed == by_other);
            prop_assert_eq!(mac.as_slice(), other_mac.as_slice());

            let (mut altered, mut altered_mac) = (sealed.clone(), mac);
            *altered
                .iter_mut()
                .chain(&mut altered_mac)
                .nth(flipped.index(text_bytes + MAC_BYTES))
                .unwrap() ^= 1;
            prop_assert!(aead.open(nonce, &associated, &mut altered, &altered_mac).is_err());
            prop_assert!(altered.iter().all(|byte| *byte == 0));

            prop_assert!(aead.open(nonce, &associated, &mut sealed, &mac).is_ok());
            prop_assert!(sealed == text);
        }
    }

    #[test]
    fn a_key_that_was_wiped_is_no_longer_there() {
        let seal = |aead: &Aead| aead.seal(0, &[], &mut [0; 64]).ok();
        let mut aead = Aead::new(&[7; 32]);
        let before = seal(&aead);
        aead.wipe();
        assert_ne!(seal(&aead), before);
        assert_eq!(seal(&aead), seal(&Aead::new(&[0; 32])));
    }
}
