//! What a share is worth.

use bitcoin::Target;

use crate::limits::QUOTE_AMOUNT_BITS_MAX;

/// The least work that earns a quote, as leading zero bits of a share's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinimumWork {
    zero_bits: u32,
}

impl MinimumWork {
    /// `zero_bits` from 0 to 255; more is taken as 255.
    pub fn new(zero_bits: u8) -> MinimumWork {
        MinimumWork {
            zero_bits: u32::from(zero_bits),
        }
    }

    /// The easiest target a channel may have: every hash at or below it is worth a quote.
    pub fn target(&self) -> Target {
        let mut bytes = [0xff_u8; 32];
        let whole = (self.zero_bits / 8) as usize;
        for byte in bytes.iter_mut().take(whole) {
            *byte = 0;
        }
        if let Some(byte) = bytes.get_mut(whole) {
            *byte >>= self.zero_bits % 8;
        }
        Target::from_be_bytes(bytes)
    }

    /// The expected number of hashes for one share of this work.
    pub fn hashes(&self) -> f64 {
        f64::from(self.zero_bits).exp2()
    }

    /// The amount of the quote for a share, in ehash: `2^(n - minimum)` for `n` leading zero bits,
    /// at most 2^62. `None` where the share has less than the minimum and is worth nothing.
    pub fn amount(&self, header_hash: &[u8; 32]) -> Option<u64> {
        let above = leading_zero_bits(header_hash).checked_sub(self.zero_bits)?;
        Some(1 << above.min(QUOTE_AMOUNT_BITS_MAX))
    }
}

/// Leading zero bits of a header hash as a 256-bit number. The hash function's last byte is the
/// number's most significant one.
pub fn leading_zero_bits(header_hash: &[u8; 32]) -> u32 {
    let mut bits = 0;
    for byte in header_hash.iter().rev() {
        bits += byte.leading_zeros();
        if *byte != 0 {
            break;
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_with_zero_bits(bits: u32) -> [u8; 32] {
        let mut hash = [0xff; 32];
        let whole = (bits / 8) as usize;
        for byte in hash.iter_mut().rev().take(whole) {
            *byte = 0;
        }
        if whole < 32 {
            hash[31 - whole] = 0xff >> (bits % 8);
        }
        hash
    }

    #[test]
    fn the_amount_doubles_with_each_zero_bit_and_ends_at_the_cap() {
        let minimum = MinimumWork::new(10);
        let amount = |bits| minimum.amount(&hash_with_zero_bits(bits));
        assert_eq!(amount(9), None);
        assert_eq!(amount(10), Some(1));
        assert_eq!(amount(11), Some(2));
        assert_eq!(amount(43), Some(1 << 33));
        assert_eq!(amount(72), Some(1 << 62));
        assert_eq!(amount(73), Some(1 << 62));
        assert_eq!(amount(256), Some(1 << 62));
    }

    #[test]
    fn the_minimum_target_is_the_border_between_nothing_and_one() {
        for bits in [0_u8, 1, 8, 13, 16, 31, 255] {
            let minimum = MinimumWork::new(bits);
            let border = minimum.target().to_le_bytes();
            assert_eq!(minimum.amount(&border), Some(1), "{bits} bits");
            assert_eq!(leading_zero_bits(&border), u32::from(bits));
        }
    }

    #[test]
    fn a_known_block_has_its_known_zero_bits() {
        let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Bitcoin);
        let hash: [u8; 32] = *genesis.block_hash().as_ref();
        assert_eq!(leading_zero_bits(&hash), 43);
    }
}
