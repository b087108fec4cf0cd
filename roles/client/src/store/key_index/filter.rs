//! Which hashes are not in the file, for most of those that are not.

use crate::limits::{KEY_FILTER_BITS_PER_HASH, KEY_FILTER_HASHES_MAX, KEY_FILTER_HASHES_MIN};

/// A block has the bits of all hashes that lie in it: a cache line, so that a look costs one access to memory.
const BLOCK_BITS: usize = 512;

/// Bits of each hash. At twelve bits of room for each, half a percent of the hashes that are not in are taken for in.
const PROBES: u32 = 5;

/// Bits of a hash that choose a bit of the block.
const PROBE_BITS: u32 = BLOCK_BITS.ilog2();

/// A blocked Bloom filter (Putze, Sanders and Singler, 2007) of hashes that lie in one slice. It forgets nothing: where hashes go, it
/// is made anew. Without any it has no memory.
#[derive(Default)]
pub(super) struct Filter {
    blocks: Vec<[u64; BLOCK_BITS / 64]>,
    hashes: usize,
    room: usize,
}

impl Filter {
    /// With room for half as many again, so that it has to be made anew the more seldom the larger it is.
    pub(super) fn of(hashes: &[i64]) -> Filter {
        let wanted = hashes.len().saturating_add(hashes.len() / 2);
        let room = wanted.clamp(KEY_FILTER_HASHES_MIN, KEY_FILTER_HASHES_MAX);
        let blocks = (room * KEY_FILTER_BITS_PER_HASH).div_ceil(BLOCK_BITS);
        let mut filter = Filter {
            blocks: vec![[0; BLOCK_BITS / 64]; blocks],
            hashes: 0,
            room,
        };
        for hash in hashes {
            filter.add(*hash);
        }
        filter
    }

    /// To be called on one that is not [full](Self::is_full); on one that is, more and more is taken for in.
    pub(super) fn add(&mut self, hash: i64) {
        if self.blocks.is_empty() {
            *self = Filter::of(&[]);
        }
        self.hashes += 1;
        let place = self.place(hash);
        if let Some(block) = self.blocks.get_mut(place) {
            for bit in bits(hash) {
                block[bit / 64] |= 1 << (bit % 64);
            }
        }
    }

    /// False where it was never added.
    pub(super) fn may_have(&self, hash: i64) -> bool {
        let block = self.blocks.get(self.place(hash));
        block.is_some_and(|block| bits(hash).all(|bit| block[bit / 64] >> (bit % 64) & 1 == 1))
    }

    /// Whether it is to be made anew with more room.
    pub(super) fn is_full(&self) -> bool {
        self.hashes > self.room && self.room < KEY_FILTER_HASHES_MAX
    }

    /// The highest bits of a slice's hashes are alike; the next ones choose the block, the lowest the bits in it.
    fn place(&self, hash: i64) -> usize {
        let in_slice = u128::from(hash.cast_unsigned() << super::SLICE_BITS);
        ((in_slice * self.blocks.len() as u128) >> 64) as usize
    }
}

fn bits(hash: i64) -> impl Iterator<Item = usize> {
    (0..PROBES)
        .map(move |probe| (hash.cast_unsigned() >> (probe * PROBE_BITS)) as usize % BLOCK_BITS)
}

#[cfg(test)]
mod tests {
    use super::super::key_hash;
    use super::*;

    fn hashes(range: std::ops::Range<u64>) -> impl Iterator<Item = i64> {
        let of_one_slice = |hash: i64| hash.cast_unsigned() >> (64 - super::super::SLICE_BITS) == 0;
        range
            .map(|n| key_hash(&[&n.to_le_bytes()]))
            .filter(move |hash| of_one_slice(*hash))
    }

    #[test]
    fn what_was_added_is_there_and_little_else_is_taken_for_there() {
        assert!(!Filter::default().may_have(0));
        let there: Vec<i64> = hashes(0..1_000_000).collect();
        let (first, more) = there.split_at(there.len() / 3);
        let mut filter = Filter::of(first);
        for hash in more {
            if filter.is_full() {
                filter = Filter::of(&there);
                break;
            }
            filter.add(*hash);
        }
        assert!(there.iter().all(|hash| filter.may_have(*hash)));
        let others: Vec<i64> = hashes(1_000_000..2_000_000).collect();
        let mistaken = others.iter().filter(|hash| filter.may_have(**hash)).count();
        assert!(
            mistaken * 100 < others.len(),
            "{mistaken} of {}",
            others.len()
        );
    }
}
