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

    /// Takes an empty queue, and keeps it if it is neither one too many nor too long.
    pub(super) fn give(&mut self, queue: VecDeque<Outgoing>) {
        let is_kept = (1..=SPARE_QUEUE_MESSAGES_MAX).contains(&queue.capacity());
        if is_kept && self.spare.len() < SPARE_QUEUES_MAX {
            self.spare.push(queue);
        }
    }
}
