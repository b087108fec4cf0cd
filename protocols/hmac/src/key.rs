use zeroize::Zeroizing;

use crate::blocks::{BLOCK_BYTES, Message, put_outer_block};
use crate::compression::{INITIAL, Instructions, State, to_bytes};
use crate::many::{Lane, Start, hash_all};

/// Bytes of a MAC.
pub const MAC_BYTES: usize = 32;

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// What RFC 2104 has the key's two blocks filled with.
const INNER_PAD: u8 = 0x36;
const OUTER_PAD: u8 = 0x5c;

/// A key, ready for use: its own two blocks are hashed already, once for all messages.
///
/// These states have one place, on the heap, however often their owner is moved, and it is
/// overwritten when this is dropped. What is out of reach are the copies on the stack: those of
/// when it is made, and for each message what is hashed on from. They last until the stack is used
/// again.
pub struct Key {
    states: Box<Zeroizing<[State; 2]>>,
    instructions: Instructions,
}

impl Key {
    /// Takes the fastest way that this processor has.
    pub fn new(key: &[u8; KEY_BYTES]) -> Key {
        Key::with(key, Instructions::of_this_processor())
    }

    /// Each message by itself through `sha2`, as where there are no instructions: for comparison.
    pub fn one_by_one(key: &[u8; KEY_BYTES]) -> Key {
        Key::with(key, Instructions::NONE)
    }

    fn with(key: &[u8; KEY_BYTES], instructions: Instructions) -> Key {
        let mut states = Box::new(Zeroizing::new([INITIAL; 2]));
        for (state, pad) in states.iter_mut().zip([INNER_PAD, OUTER_PAD]) {
            let mut block = Zeroizing::new([pad; BLOCK_BYTES]);
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
            sha2::compress256(state, &[(*block).into()]);
        }
        Key {
            states,
            instructions,
        }
    }

    /// Whether messages are hashed side by side here.
    pub fn has_lanes(&self) -> bool {
        !self.instructions.is_none()
    }

    /// The MAC of one message.
    pub fn mac(&self, message: Message<'_>) -> [u8; MAC_BYTES] {
        let mut mac = [[0; MAC_BYTES]];
        self.macs(&[message], &mut mac);
        let [mac] = mac;
        mac
    }

    /// The MAC of each message, at its place; they may be of different lengths.
    ///
    /// # Panics
    /// Where `macs` are not as many as `messages`.
    pub fn macs(&self, messages: &[Message<'_>], macs: &mut [[u8; MAC_BYTES]]) {
        assert_eq!(messages.len(), macs.len(), "a place for each MAC");
        let [inner, outer] = &**self.states;
        let key = Start {
            state: inner,
            bytes: BLOCK_BYTES,
        };
        hash_all(self.instructions, key, messages, |ended| {
            if ended.blocks_behind > 0 {
                macs[ended.place] = to_bytes(ended.state);
                return Lane::Free;
            }
            put_outer_block(&to_bytes(ended.state), ended.block);
            *ended.state = *outer;
            Lane::HasBlock
        });
    }
}
