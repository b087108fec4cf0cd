//! Poly1305 (RFC 8439 section 2.5) of eight texts at a time, as the AEAD takes it (2.8): no
//! associated data, the text, zeros up to 16 bytes, and then both lengths.
//!
//! A number modulo 2^130 - 5 is three limbs of 44, 44 and 42 bits, which leaves room for carries in
//! the 52 bits that a multiplication takes.

use std::arch::x86_64::*;

use super::chacha20::transpose_quarters;
use super::texts::{CHUNK_BYTES, load};
use crate::one::MAC_BYTES;
use crate::run::Text;

/// Texts of one pass.
pub(super) const LANES: usize = 8;

/// Bytes of a block of Poly1305.
const BLOCK_BYTES: usize = 16;

const LOW_44: u64 = (1 << 44) - 1;
const LOW_42: u64 = (1 << 42) - 1;

/// A number in each lane, from its lowest limb on.
type Numbers = [__m512i; 3];

/// The MACs of `texts` in `buffer`, each under the one-time key that its register starts with
/// (block 0 of ChaCha20 under the text's nonce). An empty text has one too; a caller with fewer
/// texts ignores it.
#[target_feature(enable = "avx512f,avx512bw,avx512ifma")]
pub(super) fn macs(
    keys: &[__m512i; LANES],
    buffer: &[u8],
    texts: &[Text; LANES],
) -> [[u8; MAC_BYTES]; LANES] {
    let [r_low, r_high, s_low, s_high, ..] = transpose(*keys);
    let r = Multiplier::new(limbs(
        _mm512_and_si512(r_low, each(0x0fff_fffc_0fff_ffff)),
        _mm512_and_si512(r_high, each(0x0fff_fffc_0fff_fffc)),
    ));
    // The block with the lengths is one more.
    let blocks = texts.map(|text| text.bytes.div_ceil(BLOCK_BYTES) as u64 + 1);
    let blocks_max = blocks.into_iter().max().unwrap_or(0);
    let blocks: __m512i = bytemuck::cast(blocks);

    let mut sum: Numbers = [_mm512_setzero_si512(); 3];
    let mut done = 0;
    while done < blocks_max {
        let mut chunks = *keys;
        for (chunk, text) in chunks.iter_mut().zip(texts) {
            *chunk = chunk_with_lengths(buffer, *text, done as usize * BLOCK_BYTES);
        }
        for [low, high] in transpose(chunks).as_chunks().0 {
            if done == blocks_max {
                break;
            }
            let is_within = _mm512_cmpgt_epu64_mask(blocks, each(done));
            let product = r.multiply(add_block(sum, limbs(*low, *high)));
            for (limb, product) in sum.iter_mut().zip(product) {
                *limb = _mm512_mask_mov_epi64(*limb, is_within, product);
            }
            done += 1;
        }
    }

    let (low, high) = add_s(reduce(sum), s_low, s_high);
    let low: [[u8; 8]; LANES] = bytemuck::cast(low);
    let high: [[u8; 8]; LANES] = bytemuck::cast(high);
    let mut macs = [[0; MAC_BYTES]; LANES];
    for (mac, (low, high)) in macs.iter_mut().zip(low.into_iter().zip(high)) {
        mac[..8].copy_from_slice(&low);
        mac[8..].copy_from_slice(&high);
    }
    macs
}

/// What the numbers are multiplied by at each block.
struct Multiplier {
    r: Numbers,
    /// 20 times the two upper limbs: a product of theirs weighs 2^132 or more, and 2^132 is 20
    /// modulo 2^130 - 5.
    r1_20: __m512i,
    r2_20: __m512i,
}

impl Multiplier {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(r: Numbers) -> Multiplier {
        Multiplier {
            r,
            r1_20: _mm512_slli_epi64::<2>(five_times(r[1])),
            r2_20: _mm512_slli_epi64::<2>(five_times(r[2])),
        }
    }

    /// The product, modulo 2^130 - 5 but not below it. Limbs of `a` are below 2^52, and so are those of what
    /// this gives with a block added: a clamped `r` has 44, 44 and 36 bits, so the part of the product that
    /// comes back to the lowest limb stays below 2^51.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn multiply(&self, a: Numbers) -> Numbers {
        let [r0, r1, r2] = self.r;
        let columns = [
            [r0, self.r2_20, self.r1_20],
            [r1, r0, self.r2_20],
            [r2, r1, r0],
        ];
        // Of each product the 52 lower bits, and those above. The lowest limb is ready last, so it comes last.
        let mut low = [_mm512_setzero_si512(); 3];
        let mut high = low;
        for (column, by) in columns.iter().enumerate() {
            for limb in [1, 2, 0] {
                low[column] = _mm512_madd52lo_epu64(low[column], a[limb], by[limb]);
                high[column] = _mm512_madd52hi_epu64(high[column], a[limb], by[limb]);
            }
        }
        // 2^52 of one limb is 2^8 of the next.
        low[1] = _mm512_add_epi64(low[1], _mm512_slli_epi64::<8>(high[0]));
        low[2] = _mm512_add_epi64(low[2], _mm512_slli_epi64::<8>(high[1]));
        low[1] = _mm512_add_epi64(low[1], _mm512_srli_epi64::<44>(low[0]));
        low[2] = _mm512_add_epi64(low[2], _mm512_srli_epi64::<44>(low[1]));
        // 2^130 is 5; the highest limb has 42 bits below that, so 2^52 of it are 2^10 times 2^130.
        let over = _mm512_add_epi64(
            _mm512_srli_epi64::<42>(low[2]),
            _mm512_slli_epi64::<10>(high[2]),
        );
        [
            _mm512_add_epi64(_mm512_and_si512(low[0], each(LOW_44)), five_times(over)),
            _mm512_and_si512(low[1], each(LOW_44)),
            _mm512_and_si512(low[2], each(LOW_42)),
        ]
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn each(value: u64) -> __m512i {
    _mm512_set1_epi64(value.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f")]
fn five_times(value: __m512i) -> __m512i {
    _mm512_add_epi64(value, _mm512_slli_epi64::<2>(value))
}

/// 128 bits as limbs.
#[inline]
#[target_feature(enable = "avx512f")]
fn limbs(low: __m512i, high: __m512i) -> Numbers {
    let middle = _mm512_or_si512(_mm512_srli_epi64::<44>(low), _mm512_slli_epi64::<20>(high));
    [
        _mm512_and_si512(low, each(LOW_44)),
        _mm512_and_si512(middle, each(LOW_44)),
        _mm512_srli_epi64::<24>(high),
    ]
}

/// A block is 16 bytes and a bit above them.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_block(sum: Numbers, block: Numbers) -> Numbers {
    [
        _mm512_add_epi64(sum[0], block[0]),
        _mm512_add_epi64(sum[1], block[1]),
        _mm512_add_epi64(sum[2], _mm512_or_si512(block[2], each(1 << 40))),
    ]
}

/// Of what the AEAD authenticates, the 64 bytes from `start` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn chunk_with_lengths(buffer: &[u8], text: Text, start: usize) -> __m512i {
    let rest = Text {
        at: text.at + start,
        bytes: text.bytes.saturating_sub(start),
    };
    let chunk = load(buffer, rest);
    if rest.bytes >= CHUNK_BYTES {
        return chunk;
    }
    // The length of the associated data is 0, that of the text the eight bytes behind it.
    let length_at = text.bytes.next_multiple_of(BLOCK_BYTES) + 8;
    let word = length_at.wrapping_sub(start) / 8;
    let is_here = if word < CHUNK_BYTES / 8 { 1 << word } else { 0 };
    _mm512_mask_set1_epi64(chunk, is_here, (text.bytes as u64).cast_signed())
}

/// From eight words of a lane in a register to a word of all lanes in a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(lanes: [__m512i; 8]) -> [__m512i; 8] {
    let mut even = [_mm512_setzero_si512(); 4];
    let mut odd = even;
    for (pair, (even, odd)) in lanes
        .as_chunks()
        .0
        .iter()
        .zip(even.iter_mut().zip(&mut odd))
    {
        let [a, b]: [__m512i; 2] = *pair;
        *even = _mm512_unpacklo_epi64(a, b);
        *odd = _mm512_unpackhi_epi64(a, b);
    }
    let [w0, w2, w4, w6] = transpose_quarters(even);
    let [w1, w3, w5, w7] = transpose_quarters(odd);
    [w0, w1, w2, w3, w4, w5, w6, w7]
}

/// The one number below 2^130 - 5 that each is, its limbs without carries.
#[inline]
#[target_feature(enable = "avx512f")]
fn reduce(mut number: Numbers) -> Numbers {
    let over = carry(&mut number);
    number[0] = _mm512_add_epi64(number[0], five_times(over));
    // Where there was something over, the highest limb has room for what is carried now.
    carry(&mut number);
    // With 5 added it is 2^130 or more if it was 2^130 - 5 or more, and what is below that bit is the difference.
    let mut less = number;
    less[0] = _mm512_add_epi64(less[0], each(5));
    let is_over = carry(&mut less);
    let is_over = _mm512_test_epi64_mask(is_over, is_over);
    for (limb, less) in number.iter_mut().zip(less) {
        *limb = _mm512_mask_mov_epi64(*limb, is_over, less);
    }
    number
}

/// Carries from limb to limb, and gives what there is of 2^130.
#[inline]
#[target_feature(enable = "avx512f")]
fn carry(number: &mut Numbers) -> __m512i {
    let [n0, n1, n2] = *number;
    let n1 = _mm512_add_epi64(n1, _mm512_srli_epi64::<44>(n0));
    let n2 = _mm512_add_epi64(n2, _mm512_srli_epi64::<44>(n1));
    *number = [
        _mm512_and_si512(n0, each(LOW_44)),
        _mm512_and_si512(n1, each(LOW_44)),
        _mm512_and_si512(n2, each(LOW_42)),
    ];
    _mm512_srli_epi64::<42>(n2)
}

/// The sum's 128 lower bits, as two words.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_s([n0, n1, n2]: Numbers, s_low: __m512i, s_high: __m512i) -> (__m512i, __m512i) {
    let low = _mm512_or_si512(n0, _mm512_slli_epi64::<44>(n1));
    let high = _mm512_or_si512(_mm512_srli_epi64::<20>(n1), _mm512_slli_epi64::<24>(n2));
    let low = _mm512_add_epi64(low, s_low);
    let has_carry = _mm512_cmplt_epu64_mask(low, s_low);
    let high = _mm512_add_epi64(high, s_high);
    (low, _mm512_mask_add_epi64(high, has_carry, high, each(1)))
}

#[cfg(test)]
mod tests {
    use poly1305::Poly1305;
    use poly1305::universal_hash::KeyInit;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::lanes::Lanes;

    /// The one text in every lane, behind `before` bytes of another.
    fn macs_of(key: &[u8; 32], text: &[u8], before: usize) -> Option<[[u8; MAC_BYTES]; LANES]> {
        Lanes::of_this_processor()?;
        let buffer = [&vec![0xa5; before], text, &[0x5a; 70]].concat();
        let text = Text {
            at: before,
            bytes: text.len(),
        };
        let mut block = [0; CHUNK_BYTES];
        block[..32].copy_from_slice(key);
        #[expect(unsafe_code, reason = "the processor was asked above")]
        // SAFETY: there is a `Lanes` only where the features were found.
        Some(unsafe { macs(&[bytemuck::cast(block); LANES], &buffer, &[text; LANES]) })
    }

    /// What the AEAD makes of a text before it is authenticated (RFC 8439 section 2.8).
    fn with_lengths(text: &[u8]) -> Vec<u8> {
        let mut all = text.to_vec();
        all.resize(text.len().next_multiple_of(BLOCK_BYTES), 0);
        all.extend([0; 8]);
        all.extend((text.len() as u64).to_le_bytes());
        all
    }

    fn of_other_library(key: &[u8; 32], text: &[u8]) -> [u8; MAC_BYTES] {
        let other = Poly1305::new(key.into());
        other.compute_unpadded(&with_lengths(text)).into()
    }

    /// Keys as they come, and those with the largest and the smallest numbers.
    fn key() -> impl Strategy<Value = [u8; 32]> {
        prop_oneof![
            any::<[u8; 32]>(),
            vec(prop::sample::select(vec![0, 1, 0xfc, 0xff]), 32)
                .prop_map(|bytes| bytes.try_into().expect("so many were asked for")),
        ]
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            vec(any::<u8>(), 0..300),
            vec(prop::sample::select(vec![0, 1, 0xfb, 0xff]), 0..100),
            (0..2_000_usize).prop_map(|bytes| vec![0xff; bytes]),
        ]
    }

    /// Limbs as the sum can have them, with every carry that there is.
    fn limbs_with_carries() -> impl Strategy<Value = [u64; 3]> {
        let limb = |low: u64, max: u64| {
            prop_oneof![
                0..=max,
                prop::sample::select(vec![0, low - 5, low - 4, low, (2 * low).min(max), max])
            ]
        };
        (
            limb(LOW_44, 1 << 51),
            limb(LOW_44, LOW_44),
            limb(LOW_42, LOW_42),
        )
            .prop_map(<[u64; 3]>::from)
    }

    /// The number as its 88 lower bits and what is above them.
    fn split([n0, n1, n2]: [u64; 3]) -> (u128, u64) {
        let low = u128::from(n0) + (u128::from(n1) << 44);
        (low & ((1 << 88) - 1), n2 + (low >> 88) as u64)
    }

    fn reduced(limbs: [u64; 3]) -> Option<[u64; 3]> {
        Lanes::of_this_processor()?;
        let each = limbs.map(|limb| bytemuck::cast([limb; LANES]));
        #[expect(unsafe_code, reason = "the processor was asked above")]
        // SAFETY: there is a `Lanes` only where the feature was found.
        let reduced = unsafe { reduce(each) };
        Some(reduced.map(|limb| bytemuck::cast::<_, [u64; LANES]>(limb)[LANES - 1]))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn a_reduced_number_is_the_same_but_for_multiples_of_the_prime_and_below_it(
            limbs in limbs_with_carries(),
        ) {
            if let Some(reduced) = reduced(limbs) {
                prop_assert!(reduced[0] <= LOW_44 && reduced[1] <= LOW_44 && reduced[2] <= LOW_42);
                let prime = [LOW_44 - 4, LOW_44, LOW_42];
                prop_assert!(reduced.iter().rev().lt(prime.iter().rev()));
                // limbs + 5 k = reduced + k * 2^130, for as many primes as were taken off.
                let is_same = |k: u64| {
                    let (low, high) = split(reduced);
                    split([limbs[0] + 5 * k, limbs[1], limbs[2]]) == (low, high + (k << 42))
                };
                prop_assert!((0..3).any(is_same), "{limbs:?} {reduced:?}");
            }
        }

        #[test]
        fn the_macs_are_those_of_another_library(
            key in key(), text in text(), before in 0..70_usize,
        ) {
            if let Some(macs) = macs_of(&key, &text, before) {
                prop_assert_eq!(macs, [of_other_library(&key, &text); LANES]);
            }
        }

        /// With `r` = 1 the number is the sum of the blocks: it is made to come out around 2^130 - 5, where one
        /// subtraction of that decides over all bits.
        #[test]
        fn the_last_reduction_is_right_on_both_sides_of_the_prime(
            first in any::<u128>(), off in 0..12_u128, s in any::<[u8; 16]>(),
        ) {
            // Three blocks, the last with the length 32, have 3 * 2^128: off 6 makes 2^130 - 5 of them.
            let second = 0_u128.wrapping_sub(11).wrapping_add(off).wrapping_sub(32 << 64).wrapping_sub(first);
            prop_assume!(first.checked_add(second).is_some());
            let mut key = [0; 32];
            key[0] = 1;
            key[16..].copy_from_slice(&s);
            let text = [first.to_le_bytes(), second.to_le_bytes()].concat();
            if let Some(macs) = macs_of(&key, &text, 0) {
                prop_assert_eq!(macs, [of_other_library(&key, &text); LANES]);
            }
        }
    }
}
