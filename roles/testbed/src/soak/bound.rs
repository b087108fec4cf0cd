//! What the hub's limits add up to, from the hub's own constants.

use winze_hub::limits::{HubLimits, WRITE_BATCH_BYTES};
use winze_transport::limits::READ_BUFFER_BYTES;

/// What of the program, and of its threads' stacks, heaps and spare buffers, becomes resident only once it has work, in
/// bytes: the same for one connection as for all.
const PROGRAM_BYTES: u64 = 16 * 1024 * 1024;

/// What a connection costs beside its buffers, in bytes: its task, cipher states, identity, entries in maps, a few
/// control messages, the start of a frame.
const CONNECTION_BYTES: u64 = 16 * 1024;

/// What a message costs beside its payload while it waits, in bytes: its frame, its place in a queue, the allocator's
/// header.
const MESSAGE_BYTES: u64 = 128;

/// What is connected to a hub, by what each can make it hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Connections of any kind, strangers included.
    pub connections: u64,
    /// Those of them that send or are sent messages.
    pub busy: u64,
    /// Ends of channels that messages wait at.
    pub channel_ends: u64,
}

impl Load {
    /// The most memory that this makes a hub hold on top of what it has when nobody is connected, in bytes.
    pub(super) fn bound_bytes(&self, limits: &HubLimits) -> u64 {
        let payload = u64::from(limits.payload_bytes_max);
        // What came in and is being decrypted, a read's frames and the one that is not whole; a batch to write, as frames
        // and encrypted, and one message more. A connection that waits for its peer has given its buffers back.
        let batches = 2 * (READ_BUFFER_BYTES + WRITE_BATCH_BYTES) as u64 + 3 * payload;
        let window = limits.window_bytes + limits.window_messages * MESSAGE_BYTES;
        PROGRAM_BYTES
            + self.connections * CONNECTION_BYTES
            + self.busy * batches
            + self.channel_ends * window
    }
}
