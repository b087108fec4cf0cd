use crate::blocks::{BLOCK_BYTES, Message};
use crate::compression::{INITIAL, Instructions, State, to_bytes};
use crate::many::{Lane, Start, hash_all};

/// Bytes of a digest.
pub const DIGEST_BYTES: usize = 32;

/// SHA-256 (FIPS 180-4), ready for messages that may all begin with the same block.
#[derive(Clone)]
pub struct Sha256 {
    state: State,
    bytes_before: usize,
    instructions: Instructions,
}

impl Sha256 {
    /// Takes the fastest way that this processor has.
    pub fn new() -> Sha256 {
        Sha256 {
            state: INITIAL,
            bytes_before: 0,
            instructions: Instructions::of_this_processor(),
        }
    }

    /// [`Self::new`] for messages before each of which this block is hashed: it is once, for all of them.
    pub fn behind(block: &[u8; BLOCK_BYTES]) -> Sha256 {
        let mut sha256 = Sha256::new();
        sha2::compress256(&mut sha256.state, &[(*block).into()]);
        sha256.bytes_before = block.len();
        sha256
    }

    /// Each message by itself through `sha2`, as where there are no instructions: for comparison.
    pub fn one_by_one(self) -> Sha256 {
        Sha256 {
            instructions: Instructions::NONE,
            ..self
        }
    }

    /// The digest of one message.
    pub fn digest(&self, message: Message<'_>) -> [u8; DIGEST_BYTES] {
        let mut state = self.state;
        let mut block = [0; BLOCK_BYTES];
        for index in 0..message.blocks() {
            message.put_block(index, self.bytes_before, &mut block);
            sha2::compress256(&mut state, &[block.into()]);
        }
        to_bytes(&state)
    }

    /// The digest of each message, at its place; they may be of different lengths.
    ///
    /// # Panics
    /// Where `digests` are not as many as `messages`.
    pub fn digests(&self, messages: &[Message<'_>], digests: &mut [[u8; DIGEST_BYTES]]) {
        assert_eq!(messages.len(), digests.len(), "a place for each digest");
        let start = Start {
            state: &self.state,
            bytes: self.bytes_before,
        };
        hash_all(self.instructions, start, messages, |ended| {
            digests[ended.place] = to_bytes(ended.state);
            Lane::Free
        });
    }
}

impl Default for Sha256 {
    fn default() -> Sha256 {
        Sha256::new()
    }
}
