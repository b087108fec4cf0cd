//! Runs in the lanes of vector registers, where the processor has AVX-512 with its 52-bit
//! multiplication (Intel since Ice Lake, AMD since Zen 4).

#[cfg(target_arch = "x86_64")]
mod chacha20;
#[cfg(target_arch = "x86_64")]
mod frames;
#[cfg(target_arch = "x86_64")]
mod poly1305;
#[cfg(target_arch = "x86_64")]
mod texts;

use crate::run::{FrameAt, HEADER_BYTES};

/// A key as ChaCha20 takes it: eight words, little-endian.
pub(crate) type Words = [u32; 8];

/// Proof that this processor has the instructions: there is none where it has not.
#[derive(Clone, Copy)]
pub(crate) struct Lanes(Found);

#[cfg(target_arch = "x86_64")]
type Found = ();
#[cfg(not(target_arch = "x86_64"))]
type Found = std::convert::Infallible;

#[cfg(target_arch = "x86_64")]
impl Lanes {
    pub fn of_this_processor() -> Option<Lanes> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512ifma");
        found.then_some(Lanes(()))
    }

    /// See [`crate::Aead::seal_run`].
    #[expect(unsafe_code, reason = "what it calls may run on this processor alone")]
    pub fn seal(self, key: &Words, nonce: u64, run: &mut [u8], frames: &[FrameAt]) {
        let Lanes(()) = self;
        // SAFETY: it asks for the features that were found when `self` was made, and for nothing else.
        unsafe { frames::seal(key, nonce, run, frames) }
    }

    /// See [`crate::Aead::open_run`].
    #[expect(unsafe_code, reason = "what it calls may run on this processor alone")]
    pub fn open(
        self,
        key: &Words,
        nonce: u64,
        run: &mut [u8],
        payload_bytes: fn(&[u8; HEADER_BYTES]) -> usize,
    ) -> usize {
        let Lanes(()) = self;
        // SAFETY: as in `seal`.
        unsafe { frames::open(key, nonce, run, payload_bytes) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Lanes {
    pub fn of_this_processor() -> Option<Lanes> {
        None
    }

    pub fn seal(self, _: &Words, _: u64, _: &mut [u8], _: &[FrameAt]) {
        match self.0 {}
    }

    pub fn open(
        self,
        _: &Words,
        _: u64,
        _: &mut [u8],
        _: fn(&[u8; HEADER_BYTES]) -> usize,
    ) -> usize {
        match self.0 {}
    }
}
