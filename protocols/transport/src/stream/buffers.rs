//! The buffers that connections read into and write from, and the room for the frames of a read,
//! while they do.
//!
//! A connection that waits for its peer needs none. So the buffers belong to the threads: a
//! connection takes one of its thread's, and gives it back to whichever thread it is on then. A
//! thousand idle connections hold nothing, and a busy one finds a buffer that is in the
//! processor's cache already.

use std::cell::RefCell;

use crate::frame::Frame;
use crate::limits::{FRAMES_KEPT_MAX, READ_BUFFER_BYTES, SPARE_BUFFERS_MAX, WRITE_KEPT_BYTES};

thread_local! {
    static READ: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static WRITE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static FRAMES: RefCell<Vec<Vec<Frame>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for [`READ_BUFFER_BYTES`].
pub(super) fn take_for_read() -> Vec<u8> {
    READ.with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| Vec::with_capacity(READ_BUFFER_BYTES))
}

/// Gives back what [`take_for_read`] gave.
pub(super) fn give_from_read(buffer: Vec<u8>) {
    READ.with_borrow_mut(|spare| keep(spare, buffer, READ_BUFFER_BYTES));
}

/// An empty buffer, for as much as its taker puts into it.
pub(super) fn take_for_write() -> Vec<u8> {
    WRITE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives back what [`take_for_write`] gave; of what it has grown to, [`WRITE_KEPT_BYTES`] are kept.
pub(super) fn give_from_write(buffer: Vec<u8>) {
    WRITE.with_borrow_mut(|spare| keep(spare, buffer, WRITE_KEPT_BYTES));
}

/// Room for frames, empty.
pub(super) fn take_for_frames() -> Vec<Frame> {
    FRAMES.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives back what [`take_for_frames`] gave, or other room for frames; of it, [`FRAMES_KEPT_MAX`]
/// are kept.
pub(super) fn give_from_frames(frames: Vec<Frame>) {
    FRAMES.with_borrow_mut(|spare| keep(spare, frames, FRAMES_KEPT_MAX));
}

/// Keeps it empty, with room for `room_max`, if it is not one too many.
fn keep<T>(spare: &mut Vec<Vec<T>>, mut buffer: Vec<T>, room_max: usize) {
    if spare.len() < SPARE_BUFFERS_MAX {
        buffer.clear();
        buffer.shrink_to(room_max);
        spare.push(buffer);
    }
}
