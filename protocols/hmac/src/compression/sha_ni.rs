//! With the processor's own instructions for SHA-256 (Intel since Ice Lake, AMD since Zen).

use std::arch::x86_64::*;

use super::State;
use super::constants::K;
use crate::blocks::Block;

/// Four of the sixteen words of a block or of what is made of them, for each state.
type Words<const N: usize> = [__m128i; N];

/// See [`compress`](super::compress).
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(super) fn compress<const N: usize>(states: &mut [State; N], blocks: &[Block; N]) {
    let zero = [_mm_setzero_si128(); N];
    // The instructions want the state's words a, b, e, f in one register, and c, d, g, h in another.
    let (mut abef, mut cdgh) = (zero, zero);
    for (lane, state) in states.iter().enumerate() {
        (abef[lane], cdgh[lane]) = paired(state);
    }
    let mut words = [zero; 4];
    for (lane, block) in blocks.iter().enumerate() {
        let quarters: [__m128i; 4] = bytemuck::cast(*block);
        for (words, quarter) in words.iter_mut().zip(quarters) {
            words[lane] = big_endian(quarter);
        }
    }

    let (abef_before, cdgh_before) = (abef, cdgh);
    for (turn, constants) in K.into_iter().enumerate() {
        let constants: [__m128i; 4] = bytemuck::cast(constants);
        for (place, constants) in constants.into_iter().enumerate() {
            // The first sixteen words are the block, all others are made of the sixteen before.
            if turn > 0 {
                words[place] = next_words(&words, place);
            }
            four_rounds(&mut abef, &mut cdgh, &words[place], constants);
        }
    }
    for (lane, state) in states.iter_mut().enumerate() {
        let abef = _mm_add_epi32(abef[lane], abef_before[lane]);
        let cdgh = _mm_add_epi32(cdgh[lane], cdgh_before[lane]);
        *state = in_order(abef, cdgh);
    }
}

/// Step by step for all states, so that one's results are waited for with the others' work.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn four_rounds<const N: usize>(
    abef: &mut Words<N>,
    cdgh: &mut Words<N>,
    words: &Words<N>,
    constants: __m128i,
) {
    const UPPER_HALF: i32 = 0b11_10;
    let mut added = *words;
    for lane in 0..N {
        added[lane] = _mm_add_epi32(words[lane], constants);
    }
    // Two rounds turn c, d, g, h into the next a, b, e, f, and a, b, e, f are the next c, d, g, h.
    for lane in 0..N {
        cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], added[lane]);
    }
    for lane in 0..N {
        let upper = _mm_shuffle_epi32::<UPPER_HALF>(added[lane]);
        abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], upper);
    }
}

/// The four words that take the place of the oldest, at `place`.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn next_words<const N: usize>(words: &[Words<N>; 4], place: usize) -> Words<N> {
    let [oldest, second, third, newest] = [0, 1, 2, 3].map(|age| &words[(place + age) % 4]);
    let mut next = *oldest;
    for lane in 0..N {
        let seventh = _mm_alignr_epi8::<4>(newest[lane], third[lane]);
        let sum = _mm_sha256msg1_epu32(oldest[lane], second[lane]);
        next[lane] = _mm_sha256msg2_epu32(_mm_add_epi32(sum, seventh), newest[lane]);
    }
    next
}

#[inline]
#[target_feature(enable = "ssse3")]
fn big_endian(quarter: __m128i) -> __m128i {
    const ORDER: [u8; 16] = [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12];
    _mm_shuffle_epi8(quarter, bytemuck::cast(ORDER))
}

#[inline]
#[target_feature(enable = "ssse3,sse4.1")]
fn paired(state: &State) -> (__m128i, __m128i) {
    let [abcd, efgh]: [__m128i; 2] = bytemuck::cast(*state);
    let badc = _mm_shuffle_epi32::<0b10_11_00_01>(abcd);
    let hgfe = _mm_shuffle_epi32::<0b00_01_10_11>(efgh);
    let feba = _mm_alignr_epi8::<8>(badc, hgfe);
    let hgdc = _mm_blend_epi16::<0b1111_0000>(hgfe, badc);
    (feba, hgdc)
}

#[inline]
#[target_feature(enable = "ssse3,sse4.1")]
fn in_order(feba: __m128i, hgdc: __m128i) -> State {
    let abef = _mm_shuffle_epi32::<0b00_01_10_11>(feba);
    let ghcd = _mm_shuffle_epi32::<0b10_11_00_01>(hgdc);
    let abcd = _mm_blend_epi16::<0b1111_0000>(abef, ghcd);
    let efgh = _mm_alignr_epi8::<8>(ghcd, abef);
    bytemuck::cast([abcd, efgh])
}
