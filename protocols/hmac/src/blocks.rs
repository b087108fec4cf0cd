//! A message as SHA-256 takes it: padded, in blocks.

/// What SHA-256 compresses at a time.
pub(crate) const BLOCK_BYTES: usize = 64;

/// A block's bytes.
pub(crate) type Block = [u8; BLOCK_BYTES];

/// Behind a message: a byte that ends it, and its length as a U64 BE.
const PADDING_BYTES_MIN: usize = 1 + size_of::<u64>();

/// A message in two parts, one behind the other; either may be empty.
#[derive(Clone, Copy, Default)]
pub struct Message<'a> {
    /// What it begins with: for instance what is put together for the hash alone.
    pub head: &'a [u8],
    /// All the rest, where it lies.
    pub body: &'a [u8],
}

impl Message<'_> {
    fn bytes(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// How many blocks it takes, its padding included.
    pub(crate) fn blocks(&self) -> usize {
        (self.bytes() + PADDING_BYTES_MIN).div_ceil(BLOCK_BYTES)
    }

    /// Makes `block` the one at `index`, below [`Self::blocks`], where `bytes_before` were hashed before the message: whole
    /// blocks.
    #[inline]
    pub(crate) fn put_block(&self, index: usize, bytes_before: usize, block: &mut Block) {
        let at = index * BLOCK_BYTES;
        if let Some(at) = at.checked_sub(self.head.len())
            && let Some(whole) = self.body.get(at..).and_then(|rest| rest.first_chunk())
        {
            *block = *whole;
            return;
        }
        *block = [0; BLOCK_BYTES];
        let mut filled = 0;
        let body_at = at.saturating_sub(self.head.len());
        for (part, at) in [(self.head, at), (self.body, body_at)] {
            let rest = part.get(at..).unwrap_or_default();
            let room = &mut block[filled..];
            let bytes = rest.len().min(room.len());
            room[..bytes].copy_from_slice(&rest[..bytes]);
            filled += bytes;
        }
        if index == self.bytes() / BLOCK_BYTES {
            block[filled] = END;
        }
        if index + 1 == self.blocks() {
            put_length(block, bytes_before + self.bytes());
        }
    }
}

const END: u8 = 0x80;

/// Puts the length of what was hashed, in bits, at the end of its last block.
fn put_length(block: &mut Block, hashed_bytes: usize) {
    let bits = 8 * hashed_bytes as u64;
    let place = block.len() - size_of::<u64>();
    block[place..].copy_from_slice(&bits.to_be_bytes());
}

/// Makes `block` that of the outer hash behind the key's: the inner one's result.
#[inline]
pub(crate) fn put_outer_block(inner: &[u8; 32], block: &mut Block) {
    *block = [0; BLOCK_BYTES];
    block[..inner.len()].copy_from_slice(inner);
    block[inner.len()] = END;
    put_length(block, BLOCK_BYTES + inner.len());
}
