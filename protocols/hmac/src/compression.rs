//! SHA-256's compression function (FIPS 180-4 section 6.2), of several states at a time.

#[cfg(target_arch = "x86_64")]
mod constants;
#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
mod sha_ni;

use crate::blocks::Block;

/// What SHA-256 carries from block to block.
pub(crate) type State = [u32; 8];

/// Before the first block (FIPS 180-4 section 5.3.3).
pub(crate) const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// States that are compressed together at most: what a vector register has lanes for their words.
pub(crate) const LANES: usize = 16;

/// From how many on lanes are faster, although some of them are empty.
const IN_LANES_MIN: usize = 8;

/// Which instructions this processor has.
#[derive(Clone, Copy)]
pub(crate) struct Instructions {
    in_lanes: Option<InLanes>,
    sha_ni: Option<ShaNi>,
}

/// Proof that there is AVX-512: there is none where it is not.
#[derive(Clone, Copy)]
struct InLanes(Found);

/// The same of the instructions for SHA-256.
#[derive(Clone, Copy)]
struct ShaNi(Found);

#[cfg(target_arch = "x86_64")]
type Found = ();
#[cfg(not(target_arch = "x86_64"))]
type Found = std::convert::Infallible;

impl Instructions {
    /// Nothing that not every processor has.
    pub const NONE: Instructions = Instructions {
        in_lanes: None,
        sha_ni: None,
    };

    pub fn of_this_processor() -> Instructions {
        Instructions {
            in_lanes: InLanes::of_this_processor(),
            sha_ni: ShaNi::of_this_processor(),
        }
    }

    /// Whether one by one is all that can be done.
    pub fn is_none(self) -> bool {
        self.in_lanes.is_none() && self.sha_ni.is_none()
    }

    /// Compresses its block into each of the first `used` states. What the others are then, nobody knows.
    pub fn compress(self, used: usize, states: &mut [State; LANES], blocks: &[Block; LANES]) {
        if let Some(in_lanes) = self.in_lanes
            && used >= IN_LANES_MIN
        {
            return in_lanes.compress(states, blocks);
        }
        let (states, blocks) = (&mut states[..used], &blocks[..used]);
        if let Some(sha_ni) = self.sha_ni {
            let (states, blocks) = side_by_side::<4>(sha_ni, states, blocks);
            let (states, blocks) = side_by_side::<2>(sha_ni, states, blocks);
            side_by_side::<1>(sha_ni, states, blocks);
            return;
        }
        for (state, block) in states.iter_mut().zip(blocks) {
            sha2::compress256(state, &[(*block).into()]);
        }
    }
}

/// As a result: each word big-endian.
pub(crate) fn to_bytes(state: &State) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    bytes
}

/// `N` and `N`, and gives those that are left.
fn side_by_side<'a, const N: usize>(
    sha_ni: ShaNi,
    states: &'a mut [State],
    blocks: &'a [Block],
) -> (&'a mut [State], &'a [Block]) {
    let (states, states_left) = states.as_chunks_mut::<N>();
    let (blocks, blocks_left) = blocks.as_chunks();
    for (states, blocks) in states.iter_mut().zip(blocks) {
        sha_ni.compress(states, blocks);
    }
    (states_left, blocks_left)
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "what they call may run on this processor alone")]
mod found {
    use super::*;

    impl InLanes {
        pub fn of_this_processor() -> Option<InLanes> {
            let found = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            found.then_some(InLanes(()))
        }

        pub fn compress(self, states: &mut [State; LANES], blocks: &[Block; LANES]) {
            let InLanes(()) = self;
            // SAFETY: it asks for the features that were found when `self` was made, and for nothing else.
            unsafe { lanes::compress(states, blocks) }
        }
    }

    impl ShaNi {
        pub fn of_this_processor() -> Option<ShaNi> {
            let found = is_x86_feature_detected!("sha")
                && is_x86_feature_detected!("ssse3")
                && is_x86_feature_detected!("sse4.1");
            found.then_some(ShaNi(()))
        }

        pub fn compress<const N: usize>(self, states: &mut [State; N], blocks: &[Block; N]) {
            let ShaNi(()) = self;
            // SAFETY: as with `InLanes`.
            unsafe { sha_ni::compress(states, blocks) }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod found {
    use super::*;

    impl InLanes {
        pub fn of_this_processor() -> Option<InLanes> {
            None
        }

        pub fn compress(self, _: &mut [State; LANES], _: &[Block; LANES]) {
            match self.0 {}
        }
    }

    impl ShaNi {
        pub fn of_this_processor() -> Option<ShaNi> {
            None
        }

        pub fn compress<const N: usize>(self, _: &mut [State; N], _: &[Block; N]) {
            match self.0 {}
        }
    }
}
