//! ChaCha20 (RFC 8439 section 2.3), sixteen blocks at a time.

use std::arch::x86_64::*;

use super::Words;

/// Blocks of one pass.
pub(super) const LANES: usize = 16;

/// Which blocks of the key's stream: lane by lane, that with this counter under this nonce.
#[derive(Default)]
pub(super) struct Blocks {
    pub nonces: [u64; LANES],
    pub counters: [u32; LANES],
}

/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// A word of the state in each register, a block in each lane.
type State = [__m512i; 16];

/// The sixteen blocks, each in a register.
#[target_feature(enable = "avx512f")]
pub(super) fn pass(key: &Words, blocks: &Blocks) -> [__m512i; LANES] {
    let mut start: State = [_mm512_setzero_si512(); 16];
    let (constants, rest) = start.split_at_mut(4);
    for (register, word) in constants.iter_mut().zip(CONSTANTS) {
        *register = _mm512_set1_epi32(word.cast_signed());
    }
    for (register, word) in rest.iter_mut().zip(key) {
        *register = _mm512_set1_epi32(word.cast_signed());
    }
    // Words 12 to 15: the counter, and the nonce of the Noise framework: 32 zero bits, then a U64 LE.
    let (mut nonces_low, mut nonces_high) = ([0; LANES], [0; LANES]);
    for (lane, nonce) in blocks.nonces.into_iter().enumerate() {
        nonces_low[lane] = nonce as u32;
        nonces_high[lane] = (nonce >> 32) as u32;
    }
    start[12] = bytemuck::cast(blocks.counters);
    start[14] = bytemuck::cast(nonces_low);
    start[15] = bytemuck::cast(nonces_high);

    let mut state = start;
    for _ in 0..10 {
        quarter_round(&mut state, [0, 4, 8, 12]);
        quarter_round(&mut state, [1, 5, 9, 13]);
        quarter_round(&mut state, [2, 6, 10, 14]);
        quarter_round(&mut state, [3, 7, 11, 15]);
        quarter_round(&mut state, [0, 5, 10, 15]);
        quarter_round(&mut state, [1, 6, 11, 12]);
        quarter_round(&mut state, [2, 7, 8, 13]);
        quarter_round(&mut state, [3, 4, 9, 14]);
    }
    for (word, start) in state.iter_mut().zip(start) {
        *word = _mm512_add_epi32(*word, start);
    }
    transpose(state)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn quarter_round(state: &mut State, [a, b, c, d]: [usize; 4]) {
    state[a] = _mm512_add_epi32(state[a], state[b]);
    state[d] = _mm512_rol_epi32::<16>(_mm512_xor_si512(state[d], state[a]));
    state[c] = _mm512_add_epi32(state[c], state[d]);
    state[b] = _mm512_rol_epi32::<12>(_mm512_xor_si512(state[b], state[c]));
    state[a] = _mm512_add_epi32(state[a], state[b]);
    state[d] = _mm512_rol_epi32::<8>(_mm512_xor_si512(state[d], state[a]));
    state[c] = _mm512_add_epi32(state[c], state[d]);
    state[b] = _mm512_rol_epi32::<7>(_mm512_xor_si512(state[b], state[c]));
}

/// From a word of each block in a register to a block in a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(words: State) -> [__m512i; LANES] {
    // Of each four words, what belongs to block 4q + j comes together in quarter q of register j.
    let mut fours = words;
    for at in (0..16).step_by(4) {
        let [a, b, c, d] = [words[at], words[at + 1], words[at + 2], words[at + 3]];
        let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        fours[at] = _mm512_unpacklo_epi64(ab_low, cd_low);
        fours[at + 1] = _mm512_unpackhi_epi64(ab_low, cd_low);
        fours[at + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);
        fours[at + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);
    }
    // Then the quarters change places: four registers with words 0.., 4.., 8.. and 12.. of four blocks.
    let mut blocks = words;
    for j in 0..4 {
        let quarters = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
        let [q0, q1, q2, q3] = transpose_quarters(quarters);
        (blocks[j], blocks[4 + j], blocks[8 + j], blocks[12 + j]) = (q0, q1, q2, q3);
    }
    blocks
}

/// Register `i` gets quarter `i` (128 bits) of each of the four.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn transpose_quarters([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    // Quarters 0 and 2 of two registers, or their quarters 1 and 3.
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let (ab_even, cd_even) = (
        _mm512_shuffle_i32x4::<EVEN>(a, b),
        _mm512_shuffle_i32x4::<EVEN>(c, d),
    );
    let (ab_odd, cd_odd) = (
        _mm512_shuffle_i32x4::<ODD>(a, b),
        _mm512_shuffle_i32x4::<ODD>(c, d),
    );
    [
        _mm512_shuffle_i32x4::<EVEN>(ab_even, cd_even),
        _mm512_shuffle_i32x4::<EVEN>(ab_odd, cd_odd),
        _mm512_shuffle_i32x4::<ODD>(ab_even, cd_even),
        _mm512_shuffle_i32x4::<ODD>(ab_odd, cd_odd),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Lanes;

    /// RFC 8439 section 2.3.2, but for the nonce's first word, which is 0 in the Noise framework: section A.1, test
    /// vectors 1 to 3 have a nonce of zeros. Vector 5 is under a nonce whose last byte is 2.
    #[test]
    fn blocks_are_those_of_the_rfc_in_whichever_lane() {
        let Some(_) = Lanes::of_this_processor() else {
            return;
        };
        let zeros = [0; 8];
        let last_is_1 = [0, 0, 0, 0, 0, 0, 0, 0x0100_0000];
        let cases: [(Words, u64, u32, &str); 4] = [
            (
                zeros,
                0,
                0,
                "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7",
            ),
            (
                zeros,
                0,
                1,
                "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed",
            ),
            (
                last_is_1,
                0,
                1,
                "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a",
            ),
            (
                zeros,
                2 << 56,
                0,
                "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7",
            ),
        ];
        for (key, nonce, counter, expected) in cases {
            for lane in 0..LANES {
                let mut blocks = Blocks::default();
                blocks.nonces = blocks.nonces.map(|_| 77);
                (blocks.nonces[lane], blocks.counters[lane]) = (nonce, counter);
                #[expect(unsafe_code, reason = "the processor was asked above")]
                // SAFETY: there is a `Lanes` only where the feature was found.
                let streams = unsafe { pass(&key, &blocks) };
                let stream: [u8; 64] = bytemuck::cast(streams[lane]);
                assert_eq!(hex::encode(&stream[..32]), expected, "lane {lane}");
            }
        }
    }
}
