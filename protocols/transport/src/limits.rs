//! Every limit of this crate that is not fixed by the Sv2 specification.

use crate::noise::BLOCK_BYTES_MAX;

/// What a connection takes and sends. Small before a peer has said who it is, raised afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest plaintext payload of a frame, in bytes. A frame that announces more is refused
    /// before memory is taken for it. At most
    /// [`PAYLOAD_BYTES_MAX`](crate::frame::PAYLOAD_BYTES_MAX) has a meaning.
    pub payload_bytes_max: usize,
}

/// Room for ciphertext that a connection reads into, in bytes; the most that one read takes. It
/// has to hold one whole Noise block, and 64 KiB is about what a socket holds for a reader.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;
const _: () = assert!(READ_BUFFER_BYTES >= BLOCK_BYTES_MAX);

/// Ciphertext that may wait to be written, in bytes. A writer that holds this much refuses the
/// next frame; so it never holds more than this and one frame. A caller meets it only if it
/// pushes without flushing: its own batches are bounded by credit, far below.
pub const WRITE_PENDING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Memory that a writer keeps after a burst is written, in bytes: enough for an ordinary batch,
/// little enough to keep for thousands of connections.
pub const WRITE_KEPT_BYTES: usize = 64 * 1024;
