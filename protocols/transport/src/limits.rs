//! Every limit of this crate that is not fixed by the Sv2 specification.

use crate::codec::HEADER_BLOCK_BYTES;

/// What a connection takes and sends. Small before a peer has said who it is, raised afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest plaintext payload of a frame, in bytes. A frame that announces more is refused
    /// before memory is taken for it. At most
    /// [`PAYLOAD_BYTES_MAX`](crate::frame::PAYLOAD_BYTES_MAX) has a meaning.
    pub payload_bytes_max: usize,
}

/// The most that one read takes, in bytes of ciphertext. A connection holds a buffer of this size
/// from a read until the frames in it have been taken; while it waits for its peer, no more than
/// the part of a Noise block that has come.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Ciphertext that may wait to be written, in bytes. A writer that holds this much refuses the
/// next frame; so it never holds more than this and one frame. A caller meets it only if it
/// pushes without flushing: its own batches are bounded by credit, far below.
pub const WRITE_PENDING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Memory of a write's buffer that a thread keeps for the next write, of whichever connection, in
/// bytes: enough for an ordinary batch, which so takes no memory anew.
pub const WRITE_KEPT_BYTES: usize = 128 * 1024;

/// Frames that a thread keeps room for, for the next read, of whichever connection: as many as
/// there can be in [`READ_BUFFER_BYTES`].
pub const FRAMES_KEPT_MAX: usize = READ_BUFFER_BYTES / HEADER_BLOCK_BYTES;

/// Buffers of each kind that a thread keeps for the next connection that needs one; more are
/// freed. One is in use where connections take turns, others come from those that did not finish
/// theirs.
pub const SPARE_BUFFERS_MAX: usize = 4;
