//! Many messages on their way through SHA-256, each in a lane.

use crate::blocks::{BLOCK_BYTES, Block, Message};
use crate::compression::{INITIAL, Instructions, LANES, State};

/// What was hashed before every message.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) state: &'a State,
    /// Of whole blocks.
    pub(crate) bytes: usize,
}

/// A message all of whose blocks are hashed.
pub(crate) struct Ended<'a> {
    /// Its place among the messages.
    pub(crate) place: usize,
    /// How many blocks were hashed behind it.
    pub(crate) blocks_behind: usize,
    pub(crate) state: &'a mut State,
    /// Its lane's.
    pub(crate) block: &'a mut Block,
}

/// What becomes of the lane of a message that has ended.
pub(crate) enum Lane {
    /// Its block is hashed behind the message, and it is asked about again.
    HasBlock,
    /// The next message takes it.
    Free,
}

/// Hashes each message on from `start`. They may be of different lengths.
pub(crate) fn hash_all(
    instructions: Instructions,
    start: Start<'_>,
    messages: &[Message<'_>],
    mut at_end: impl FnMut(Ended<'_>) -> Lane,
) {
    let mut states = [INITIAL; LANES];
    let mut blocks = [[0; BLOCK_BYTES]; LANES];
    let mut under_way = [UnderWay::default(); LANES];
    // The first lanes are used, as many as there are messages for.
    let mut used = messages.len().min(LANES);
    let mut waiting = used..messages.len();
    for (place, (message, state)) in under_way.iter_mut().zip(&mut states).take(used).enumerate() {
        (*message, *state) = (UnderWay::new(place, messages), *start.state);
    }
    while used > 0 {
        for (message, block) in under_way.iter().zip(&mut blocks).take(used) {
            if message.next < message.blocks {
                messages[message.place].put_block(message.next, start.bytes, block);
            }
        }
        instructions.compress(used, &mut states, &blocks);
        let mut at = 0;
        while at < used {
            let (message, state) = (&mut under_way[at], &mut states[at]);
            message.next += 1;
            if let Some(blocks_behind) = message.next.checked_sub(message.blocks) {
                let ended = Ended {
                    place: message.place,
                    blocks_behind,
                    state,
                    block: &mut blocks[at],
                };
                if let Lane::Free = at_end(ended) {
                    let Some(place) = waiting.next() else {
                        // The last one takes its lane, and has its turn there.
                        used -= 1;
                        (under_way[at], states[at]) = (under_way[used], states[used]);
                        continue;
                    };
                    (*message, *state) = (UnderWay::new(place, messages), *start.state);
                }
            }
            at += 1;
        }
    }
}

/// A message in its lane.
#[derive(Clone, Copy, Default)]
struct UnderWay {
    /// Its place among the messages.
    place: usize,
    /// Its next block, and how many it has. Behind the last one come those that it is given at its end.
    next: usize,
    blocks: usize,
}

impl UnderWay {
    fn new(place: usize, messages: &[Message<'_>]) -> UnderWay {
        UnderWay {
            place,
            next: 0,
            blocks: messages[place].blocks(),
        }
    }
}
