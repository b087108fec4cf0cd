//! A run: frames that lie one behind the other, each a header and a payload, each of those with
//! room for its MAC behind it.
//!
//! ```text
//! | header, 6 | MAC, 16 | payload, 1.. | MAC, 16 | header, 6 | MAC, 16 | payload ...
//! ```
//!
//! A header takes the next nonce and its payload the one after that.

use crate::one::MAC_BYTES;

/// Bytes of a header's plaintext (Sv2 specification 3.2).
pub const HEADER_BYTES: usize = 6;

/// Frames of one run, at most. With two hundred bytes each they fill all lanes of seven passes of ChaCha20.
pub const RUN_FRAMES_MAX: usize = 16;

/// The longest payload in a run, in bytes of plaintext. A longer one keeps `ring` busy by itself.
pub const RUN_PAYLOAD_BYTES_MAX: usize = 2048;

/// Bytes that a frame takes in a run.
pub const fn frame_bytes(payload_bytes: usize) -> usize {
    HEADER_BYTES + MAC_BYTES + payload_bytes + MAC_BYTES
}

/// A text in a run's buffer, without its MAC, which is behind it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Text {
    pub at: usize,
    pub bytes: usize,
}

impl Text {
    pub fn end(self) -> usize {
        self.at + self.bytes
    }
}

/// Where the frame that starts at `at` has its two texts.
#[derive(Clone, Copy, Default)]
pub(crate) struct FrameAt {
    pub header: Text,
    pub payload: Text,
}

impl FrameAt {
    pub fn new(at: usize, payload_bytes: usize) -> FrameAt {
        let header = Text {
            at,
            bytes: HEADER_BYTES,
        };
        let payload = Text {
            at: header.end() + MAC_BYTES,
            bytes: payload_bytes,
        };
        FrameAt { header, payload }
    }

    pub fn end(self) -> usize {
        self.payload.end() + MAC_BYTES
    }
}

/// Whether a payload of so many bytes may be in a run: 1 to [`RUN_PAYLOAD_BYTES_MAX`]. An empty one has no block and no nonce.
pub fn is_for_run(payload_bytes: usize) -> bool {
    (1..=RUN_PAYLOAD_BYTES_MAX).contains(&payload_bytes)
}

/// The frames of a run, with what `payloads_bytes` say of their length. `None` where they are more
/// than [`RUN_FRAMES_MAX`], one is not [for a run](is_for_run), or they are not `run_bytes` together.
pub(crate) fn lay_out(
    payloads_bytes: &[usize],
    run_bytes: usize,
) -> Option<([FrameAt; RUN_FRAMES_MAX], usize)> {
    let mut frames = [FrameAt::default(); RUN_FRAMES_MAX];
    let mut end = 0;
    for (index, payload_bytes) in payloads_bytes.iter().enumerate() {
        if !is_for_run(*payload_bytes) {
            return None;
        }
        let frame = FrameAt::new(end, *payload_bytes);
        *frames.get_mut(index)? = frame;
        end = frame.end();
    }
    (end == run_bytes).then_some((frames, payloads_bytes.len()))
}
