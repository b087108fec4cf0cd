use zeroize::Zeroizing;

use crate::blocks::{BLOCK_BYTES, Message, put_outer_block};
use crate::compression::{Instructions, LANES, State};

/// Bytes of a MAC.
pub const MAC_BYTES: usize = 32;

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Before the first block (FIPS 180-4 section 5.3.3).
const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

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
        let mut states = [INITIAL; LANES];
        let mut blocks = [[0; BLOCK_BYTES]; LANES];
        let mut lanes = [Lane::default(); LANES];
        // The first lanes are used, as many as there are messages for.
        let used = messages.len().min(LANES);
        let mut waiting = used..messages.len();
        for (place, (lane, state)) in lanes.iter_mut().zip(&mut states).take(used).enumerate() {
            (*lane, *state) = (Lane::new(place, messages), *inner);
        }
        let mut used = used;
        while used > 0 {
            for (lane, block) in lanes.iter().zip(&mut blocks).take(used) {
                if lane.next < lane.blocks {
                    messages[lane.place].put_block_behind_key(lane.next, block);
                }
            }
            self.instructions.compress(used, &mut states, &blocks);
            let mut at = 0;
            while at < used {
                let (lane, state) = (&mut lanes[at], &mut states[at]);
                lane.next += 1;
                if lane.next == lane.blocks {
                    put_outer_block(&bytes(state), &mut blocks[at]);
                    *state = *outer;
                } else if lane.next > lane.blocks {
                    macs[lane.place] = bytes(state);
                    let Some(place) = waiting.next() else {
                        // The last one takes its lane, and has its turn there.
                        used -= 1;
                        (lanes[at], states[at]) = (lanes[used], states[used]);
                        continue;
                    };
                    (*lane, *state) = (Lane::new(place, messages), *inner);
                }
                at += 1;
            }
        }
    }
}

/// A message on its way.
#[derive(Clone, Copy, Default)]
struct Lane {
    /// Its place among the messages.
    place: usize,
    /// Its next block, and how many it has. Behind the last one comes that of the outer hash.
    next: usize,
    blocks: usize,
}

impl Lane {
    fn new(place: usize, messages: &[Message<'_>]) -> Lane {
        Lane {
            place,
            next: 0,
            blocks: messages[place].blocks(),
        }
    }
}

/// As a result: each word big-endian.
fn bytes(state: &State) -> [u8; MAC_BYTES] {
    let mut bytes = [0; MAC_BYTES];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    bytes
}
