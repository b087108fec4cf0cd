use std::hint::black_box;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};
use zeroize::{Zeroize, Zeroizing};

use crate::lanes::{Lanes, Words};
use crate::run::{HEADER_BYTES, RUN_FRAMES_MAX, Text, lay_out};

/// Bytes of the authentication code of a text.
pub const MAC_BYTES: usize = 16;

/// A key, ready for use.
///
/// Neither library nor lanes wipe what they hold while they compute. So the key has one place, on
/// the heap, however often its owner is moved, and that place is overwritten when this is dropped.
/// What is out of reach is what they leave on the stack: a copy of the key when one is made, and
/// for what was encrypted the one-time Poly1305 keys and ChaCha20's state. They last until the
/// stack is used again.
pub struct Aead {
    one_by_one: Box<LessSafeKey>,
    /// The same key for the lanes of this processor, if it has them.
    in_lanes: Option<(Lanes, Box<Zeroizing<Words>>)>,
}

/// Opening: a text is not authentic. Sealing: it is too long, or its buffer is not what was said
/// of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused;

impl Aead {
    /// Takes a copy of `key`, and the fastest way that this processor has.
    pub fn new(key: &[u8; 32]) -> Aead {
        let mut aead = Aead::one_by_one(key);
        aead.in_lanes = Lanes::of_this_processor().map(|lanes| (lanes, Box::new(words(key))));
        aead
    }

    /// As on a processor without the instructions for runs: for comparison.
    pub fn one_by_one(key: &[u8; 32]) -> Aead {
        Aead {
            one_by_one: Box::new(schedule(key)),
            in_lanes: None,
        }
    }

    /// Whether runs are computed in lanes here.
    pub fn has_lanes(&self) -> bool {
        self.in_lanes.is_some()
    }

    /// Encrypts `text` in place and returns the MAC over it and `associated`. A nonce is used
    /// once under a key: the caller counts.
    ///
    /// [`Refused`] from 256 GiB on.
    pub fn seal(
        &self,
        nonce: u64,
        associated: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; MAC_BYTES], Refused> {
        let associated = Aad::from(associated);
        let sealed = self
            .one_by_one
            .seal_in_place_separate_tag(encode(nonce), associated, text);
        let tag = sealed.map_err(|_| Refused)?;
        tag.as_ref().try_into().map_err(|_| Refused)
    }

    /// Decrypts `text` in place. The MAC is compared in constant time; where it is not that of
    /// `text` and `associated` this is [`Refused`], and nothing of the plaintext is left in `text`.
    pub fn open(
        &self,
        nonce: u64,
        associated: &[u8],
        text: &mut [u8],
        mac: &[u8; MAC_BYTES],
    ) -> Result<(), Refused> {
        let (associated, tag) = (Aad::from(associated), Tag::from(*mac));
        self.one_by_one
            .open_in_place_separate_tag(encode(nonce), associated, tag, text, 0..)
            .map(|_| ())
            .map_err(|_| Refused)
    }

    /// Encrypts a whole run in place, and puts the MACs in their room, whatever is in it. Each
    /// frame takes two nonces, the first of all is `nonce`; no data is associated.
    ///
    /// [`Refused`] where `payloads_bytes` are not between 1 and
    /// [`RUN_PAYLOAD_BYTES_MAX`](crate::RUN_PAYLOAD_BYTES_MAX) each and their
    /// [`frame_bytes`](crate::frame_bytes) together those of `run`, or there are more than
    /// [`RUN_FRAMES_MAX`](crate::RUN_FRAMES_MAX), or there are not as many nonces below the one that the
    /// Noise framework reserves, 2^64 - 1. Then nothing was changed.
    pub fn seal_run(
        &self,
        nonce: u64,
        run: &mut [u8],
        payloads_bytes: &[usize],
    ) -> Result<(), Refused> {
        let (frames, count) = lay_out(payloads_bytes, run.len()).ok_or(Refused)?;
        let frames = &frames[..count];
        // The last nonce is reserved.
        nonce.checked_add(2 * count as u64).ok_or(Refused)?;
        // One frame fills too few lanes to be worth it.
        if let Some((lanes, words)) = &self.in_lanes
            && count > 1
        {
            lanes.seal(words, nonce, run, frames);
            return Ok(());
        }
        let texts = frames
            .iter()
            .flat_map(|frame| [frame.header, frame.payload]);
        for (Text { at, bytes }, nonce) in texts.zip(nonce..) {
            let (text, behind) = run[at..].split_at_mut(bytes);
            let mac = self.seal(nonce, &[], text)?;
            behind[..MAC_BYTES].copy_from_slice(&mac);
        }
        Ok(())
    }

    /// Decrypts in place the frames that `run` starts with, as many as are whole, authentic and
    /// [short enough](crate::RUN_PAYLOAD_BYTES_MAX), up to [`RUN_FRAMES_MAX`](crate::RUN_FRAMES_MAX); `payload_bytes` gives
    /// the length of its payload for a header. Returns how many that were, 0 where lanes are none
    /// or not worth it. What is behind them is as it was: the next text there is to be opened by
    /// itself, and if it is not authentic, [`Self::open`] says so.
    ///
    /// Nothing is decrypted that is not authentic, but for six bytes of each header, whose answer
    /// from `payload_bytes` says where the next one would have to be. They are not given to anybody.
    pub fn open_run(
        &self,
        nonce: u64,
        run: &mut [u8],
        payload_bytes: fn(&[u8; HEADER_BYTES]) -> usize,
    ) -> usize {
        match &self.in_lanes {
            Some(_) if nonce.checked_add(2 * RUN_FRAMES_MAX as u64).is_none() => 0,
            Some((lanes, words)) => lanes.open(words, nonce, run, payload_bytes),
            None => 0,
        }
    }

    /// Puts a key that everybody knows in the place of ours.
    fn wipe(&mut self) {
        *self.one_by_one = schedule(&[0; 32]);
        if let Some((_, words)) = &mut self.in_lanes {
            words.zeroize();
        }
        // What is never read again the compiler need not write.
        black_box(&mut *self.one_by_one);
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

fn words(key: &[u8; 32]) -> Zeroizing<Words> {
    let mut words = Zeroizing::new([0; 8]);
    for (word, bytes) in words.iter_mut().zip(key.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// 32 zero bits and then the counter, a U64 LE.
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

    /// Around what one pass of the vector code takes, and the longest that Sv2 encrypts.
    fn text_bytes() -> impl Strategy<Value = usize> {
        const MAX: usize = 65_519;
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
        assert!(
            aead.in_lanes
                .iter()
                .all(|(_, words)| **words == [0; 8].into())
        );
    }
}
