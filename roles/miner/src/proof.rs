//! Proof of work: the 80 bytes that are hashed, their double SHA-256, and what the result is worth.

use bitcoin::hashes::{Hash, HashEngine, sha256};

/// Bytes of a block header.
pub const HEADER_BYTES: usize = 80;
/// Offset of the part of the header that the second SHA-256 block begins with.
const TAIL_OFFSET: usize = 64;
/// Offset of the nonce within the header.
const NONCE_OFFSET: usize = 76;

/// A 256-bit upper bound on a share's hash, in the byte order of Sv2's `U256`: least significant
/// byte first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Target([u8; 32]);

impl Target {
    /// The easiest target: every hash meets it.
    pub const MAX: Target = Target([0xff; 32]);

    /// From the 32 bytes of an Sv2 `U256`, least significant byte first.
    pub fn from_le_bytes(bytes: [u8; 32]) -> Self {
        Target(bytes)
    }

    /// From the compact form in a block header (`nBits`).
    pub fn from_nbits(nbits: u32) -> Self {
        let compact = bitcoin::CompactTarget::from_consensus(nbits);
        Target(bitcoin::Target::from_compact(compact).to_le_bytes())
    }

    /// The target that asks for a hash with at least `zero_bits` leading zero bits (0 to 256).
    pub fn from_zero_bits(zero_bits: u32) -> Self {
        let mut bytes = [0xff; 32];
        for bit in 0..zero_bits.min(256) {
            let at = 31 - (bit / 8) as usize;
            bytes[at] &= !(0x80 >> (bit % 8));
        }
        Target(bytes)
    }

    /// The 32 bytes as they go over the wire, least significant first.
    pub fn to_le_bytes(self) -> [u8; 32] {
        self.0
    }

    /// The harder of two targets.
    pub fn harder(self, other: Target) -> Target {
        if self.is_met_by(&other.0) {
            other
        } else {
            self
        }
    }

    /// Whether `hash` (internal byte order, as SHA-256 gives it) is at or below the target.
    pub fn is_met_by(&self, hash: &[u8; 32]) -> bool {
        for (hash_byte, target_byte) in hash.iter().zip(&self.0).rev() {
            if hash_byte != target_byte {
                return hash_byte < target_byte;
            }
        }
        true
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut big_endian = self.0;
        big_endian.reverse();
        write!(f, "Target({})", hex::encode(big_endian))
    }
}

/// Leading zero bits of a hash read as a 256-bit number: what a share's worth is computed from.
pub fn zero_bits(hash: &[u8; 32]) -> u32 {
    let mut bits = 0;
    for byte in hash.iter().rev() {
        bits += byte.leading_zeros();
        if *byte != 0 {
            break;
        }
    }
    bits
}

/// A block header whose nonce is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenHeader {
    /// `nVersion`, in full.
    pub version: u32,
    /// Hash of the block before, internal byte order.
    pub prev_hash: [u8; 32],
    /// Merkle root, internal byte order.
    pub merkle_root: [u8; 32],
    /// `nTime`, seconds since 1970.
    pub ntime: u32,
    /// `nBits`: the network's target.
    pub nbits: u32,
}

impl OpenHeader {
    /// The header as hashed (little-endian throughout), with the given nonce.
    pub fn to_bytes(&self, nonce: u32) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..36].copy_from_slice(&self.prev_hash);
        bytes[36..68].copy_from_slice(&self.merkle_root);
        bytes[68..72].copy_from_slice(&self.ntime.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.nbits.to_le_bytes());
        bytes[NONCE_OFFSET..].copy_from_slice(&nonce.to_le_bytes());
        bytes
    }

    /// The block hash with the given nonce, internal byte order.
    pub fn hash(&self, nonce: u32) -> [u8; 32] {
        self.searcher().hash(nonce)
    }

    /// A searcher that has hashed the first 64 bytes once for all nonces.
    pub fn searcher(&self) -> Searcher {
        let bytes = self.to_bytes(0);
        let mut engine = sha256::Hash::engine();
        engine.input(&bytes[..TAIL_OFFSET]);
        let mut tail = [0; HEADER_BYTES - TAIL_OFFSET];
        tail.copy_from_slice(&bytes[TAIL_OFFSET..]);
        Searcher { engine, tail }
    }
}

/// One header's hash as a function of its nonce alone.
pub struct Searcher {
    engine: sha256::HashEngine,
    tail: [u8; HEADER_BYTES - TAIL_OFFSET],
}

impl Searcher {
    /// The block hash with this nonce, internal byte order.
    pub fn hash(&mut self, nonce: u32) -> [u8; 32] {
        self.tail[NONCE_OFFSET - TAIL_OFFSET..].copy_from_slice(&nonce.to_le_bytes());
        let mut engine = self.engine.clone();
        engine.input(&self.tail);
        let once = sha256::Hash::from_engine(engine);
        sha256::Hash::hash(once.as_byte_array()).to_byte_array()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Block 125,552 of bitcoin's main chain, from the chain itself.
    fn block_125552() -> (OpenHeader, u32, &'static str) {
        let le = |hex_be: &str| -> [u8; 32] {
            let mut bytes: [u8; 32] = hex::decode(hex_be).unwrap().try_into().unwrap();
            bytes.reverse();
            bytes
        };
        let header = OpenHeader {
            version: 1,
            prev_hash: le("00000000000008a3a41b85b8b29ad444def299fee21793cd8b9e567eab02cd81"),
            merkle_root: le("2b12fcf1b09288fcaff797d71e950e71ae42b91e8bdb2304758dfcffc2b620e3"),
            ntime: 0x4dd7_f5c7,
            nbits: 0x1a44_b9f2,
        };
        (
            header,
            0x9546_a142,
            "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d",
        )
    }

    #[test]
    fn a_block_of_the_main_chain_hashes_to_its_name_and_meets_its_target() {
        let (header, nonce, name) = block_125552();
        let hash = header.hash(nonce);
        let mut display = hash;
        display.reverse();
        assert_eq!(hex::encode(display), name);
        assert!(Target::from_nbits(header.nbits).is_met_by(&hash));
        assert!(!Target::from_nbits(header.nbits).is_met_by(&header.hash(nonce ^ 1)));
        assert_eq!(zero_bits(&hash), 67);
    }

    #[test]
    fn a_target_of_n_zero_bits_is_met_from_n_zero_bits_on() {
        for bits in [0, 1, 7, 8, 9, 31, 255] {
            let target = Target::from_zero_bits(bits);
            let mut hash = target.to_le_bytes();
            assert_eq!(zero_bits(&hash), bits);
            assert!(target.is_met_by(&hash), "the target itself meets it");
            if bits > 0 {
                let lifted = 31 - ((bits - 1) / 8) as usize;
                hash[lifted] |= 0x80 >> ((bits - 1) % 8);
                assert!(!target.is_met_by(&hash), "one bit more does not");
            }
        }
        assert_eq!(zero_bits(&[0; 32]), 256);
        let (easy, hard) = (Target::from_zero_bits(4), Target::from_zero_bits(9));
        assert_eq!(easy.harder(hard), hard);
        assert_eq!(hard.harder(easy), hard);
    }
}
