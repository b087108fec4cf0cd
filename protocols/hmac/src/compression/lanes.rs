//! In the lanes of vector registers, where the processor has AVX-512.

use std::arch::x86_64::*;

use super::constants::K;
use super::{LANES, State};
use crate::blocks::Block;

/// A word of each state or block in each register, one of them in each lane.
type Words = [__m512i; 8];

/// See [`compress`](super::compress); all of them.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn compress(states: &mut [State; LANES], blocks: &[Block; LANES]) {
    let before = transpose(rows(states));
    let (early, late) = words(blocks);
    let (mut early, mut late) = (transpose(early), transpose(late));
    let [k, k_of_next @ ..] = &K;
    let mut state = sixteen_rounds(before, &early, &late, k);
    for k in k_of_next {
        (early, late) = next_words(early, late);
        state = sixteen_rounds(state, &early, &late, k);
    }
    for (word, before) in state.iter_mut().zip(before) {
        *word = _mm512_add_epi32(*word, before);
    }
    for (row, pair) in transpose(state).into_iter().enumerate() {
        [states[row], states[row + 8]] = bytemuck::cast(pair);
    }
}

/// Two states in each register: 0 with 8, 1 with 9 and so on.
#[inline]
#[target_feature(enable = "avx512f")]
fn rows(states: &[State; LANES]) -> Words {
    let (first, second) = states.split_at(8);
    let mut rows = [_mm512_setzero_si512(); 8];
    for (row, (first, second)) in rows.iter_mut().zip(first.iter().zip(second)) {
        *row = pair(bytemuck::cast(*first), bytemuck::cast(*second));
    }
    rows
}

/// In the same order the first halves of two blocks in each register, and the second halves.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn words(blocks: &[Block; LANES]) -> (Words, Words) {
    const ORDER: [u8; 16] = [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12];
    let order = _mm512_broadcast_i32x4(bytemuck::cast(ORDER));
    let (first, second) = blocks.split_at(8);
    let mut early = [_mm512_setzero_si512(); 8];
    let mut late = early;
    for (index, (first, second)) in first.iter().zip(second).enumerate() {
        let [a, b]: [__m256i; 2] = bytemuck::cast(*first);
        let [c, d]: [__m256i; 2] = bytemuck::cast(*second);
        early[index] = _mm512_shuffle_epi8(pair(a, c), order);
        late[index] = _mm512_shuffle_epi8(pair(b, d), order);
    }
    (early, late)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn pair(low: __m256i, high: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

/// From two states in a register to a word of each, and back.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose([a, b, c, d, e, f, g, h]: Words) -> Words {
    let (upper, lower) = (fours([a, b, c, d]), fours([e, f, g, h]));
    let even = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0);
    let odd = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
    let mut words = [_mm512_setzero_si512(); 8];
    for (index, (upper, lower)) in upper.into_iter().zip(lower).enumerate() {
        words[index] = _mm512_permutex2var_epi64(upper, even, lower);
        words[index + 4] = _mm512_permutex2var_epi64(upper, odd, lower);
    }
    words
}

/// The same in each quarter of the registers: four words of four become four of each place.
#[inline]
#[target_feature(enable = "avx512f")]
fn fours([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    [
        _mm512_unpacklo_epi64(ab_low, cd_low),
        _mm512_unpackhi_epi64(ab_low, cd_low),
        _mm512_unpacklo_epi64(ab_high, cd_high),
        _mm512_unpackhi_epi64(ab_high, cd_high),
    ]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sixteen_rounds(
    state: Words,
    early: &Words,
    late: &Words,
    [k_early, k_late]: &[[u32; 8]; 2],
) -> Words {
    eight_rounds(eight_rounds(state, early, k_early), late, k_late)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn eight_rounds(state: Words, words: &Words, constants: &[u32; 8]) -> Words {
    let [w0, w1, w2, w3, w4, w5, w6, w7] = *words;
    let [k0, k1, k2, k3, k4, k5, k6, k7] = *constants;
    let state = round(round(state, w0, k0), w1, k1);
    let state = round(round(state, w2, k2), w3, k3);
    let state = round(round(state, w4, k4), w5, k5);
    round(round(state, w6, k6), w7, k7)
}

/// FIPS 180-4 section 6.2.2, step 3.
#[inline]
#[target_feature(enable = "avx512f")]
fn round([a, b, c, d, e, f, g, h]: Words, word: __m512i, constant: u32) -> Words {
    /// Bit `4x + 2y + z` is the function's result for these bits: `x ? y : z`, and what most of them are.
    const CHOICE: i32 = 0b1100_1010;
    const MAJORITY: i32 = 0b1110_1000;
    let word = _mm512_add_epi32(word, _mm512_set1_epi32(constant.cast_signed()));
    let sum = xor3(
        _mm512_ror_epi32::<6>(e),
        _mm512_ror_epi32::<11>(e),
        _mm512_ror_epi32::<25>(e),
    );
    let choice = _mm512_ternarylogic_epi32::<CHOICE>(e, f, g);
    // What is there first is added first.
    let t1 = _mm512_add_epi32(_mm512_add_epi32(_mm512_add_epi32(h, word), choice), sum);
    let sum = xor3(
        _mm512_ror_epi32::<2>(a),
        _mm512_ror_epi32::<13>(a),
        _mm512_ror_epi32::<22>(a),
    );
    let majority = _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c);
    let t2 = _mm512_add_epi32(sum, majority);
    let (new_a, new_e) = (_mm512_add_epi32(t1, t2), _mm512_add_epi32(d, t1));
    [new_a, a, b, c, new_e, e, f, g]
}

/// The sixteen words behind these sixteen (FIPS 180-4 section 6.2.2, step 1).
#[inline]
#[target_feature(enable = "avx512f")]
fn next_words(early: Words, late: Words) -> (Words, Words) {
    let [w0, w1, w2, w3, w4, w5, w6, w7] = early;
    let [w8, w9, w10, w11, w12, w13, w14, w15] = late;
    let w0 = next_word(w0, w1, w9, w14);
    let w1 = next_word(w1, w2, w10, w15);
    let w2 = next_word(w2, w3, w11, w0);
    let w3 = next_word(w3, w4, w12, w1);
    let w4 = next_word(w4, w5, w13, w2);
    let w5 = next_word(w5, w6, w14, w3);
    let w6 = next_word(w6, w7, w15, w4);
    let w7 = next_word(w7, w8, w0, w5);
    let w8 = next_word(w8, w9, w1, w6);
    let w9 = next_word(w9, w10, w2, w7);
    let w10 = next_word(w10, w11, w3, w8);
    let w11 = next_word(w11, w12, w4, w9);
    let w12 = next_word(w12, w13, w5, w10);
    let w13 = next_word(w13, w14, w6, w11);
    let w14 = next_word(w14, w15, w7, w12);
    let w15 = next_word(w15, w0, w8, w13);
    (
        [w0, w1, w2, w3, w4, w5, w6, w7],
        [w8, w9, w10, w11, w12, w13, w14, w15],
    )
}

/// Of those that are sixteen, fifteen, seven and two before it.
#[inline]
#[target_feature(enable = "avx512f")]
fn next_word(w16: __m512i, w15: __m512i, w7: __m512i, w2: __m512i) -> __m512i {
    let of_15 = xor3(
        _mm512_ror_epi32::<7>(w15),
        _mm512_ror_epi32::<18>(w15),
        _mm512_srli_epi32::<3>(w15),
    );
    let of_2 = xor3(
        _mm512_ror_epi32::<17>(w2),
        _mm512_ror_epi32::<19>(w2),
        _mm512_srli_epi32::<10>(w2),
    );
    _mm512_add_epi32(_mm512_add_epi32(_mm512_add_epi32(w16, w7), of_15), of_2)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    const XOR3: i32 = 0b1001_0110;
    _mm512_ternarylogic_epi32::<XOR3>(a, b, c)
}
