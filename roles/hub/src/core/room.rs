//! Room for messages that wait for their reader, of channels where none wait.

use std::collections::VecDeque;

use super::outgoing::Outgoing;
use crate::limits::{SPARE_QUEUE_MESSAGES_MAX, SPARE_QUEUES_MAX};

/// Most channels are empty most of the time. So the room that one has no use for any more goes to the next one that has:
/// however many channels there are, what is written and read is in the processor's cache still.
#[derive(Debug, Default)]
pub(super) struct Room {
    spare: Vec<VecDeque<Outgoing>>,
}

impl Room {
    /// An empty queue.
    pub(super) fn take(&mut self) -> VecDeque<Outgoing> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes an empty queue, and keeps what may be kept of it.
    pub(super) fn give(&mut self, mut queue: VecDeque<Outgoing>) {
        if queue.capacity() > 0 && self.spare.len() < SPARE_QUEUES_MAX {
            queue.shrink_to(SPARE_QUEUE_MESSAGES_MAX);
            self.spare.push(queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_long_queues_were_needed_a_few_short_ones_are_kept() {
        let mut room = Room::default();
        for _ in 0..2 * SPARE_QUEUES_MAX {
            room.give(VecDeque::with_capacity(10 * SPARE_QUEUE_MESSAGES_MAX));
        }
        room.give(VecDeque::new());
        let kept = std::iter::from_fn(|| Some(room.take()).filter(|queue| queue.capacity() > 0));
        let kept: Vec<usize> = kept.map(|queue| queue.capacity()).collect();
        assert_eq!(kept, [SPARE_QUEUE_MESSAGES_MAX; SPARE_QUEUES_MAX]);
    }
}
