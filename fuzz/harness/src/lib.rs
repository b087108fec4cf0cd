//! Fuzzing: every decoder, the handshake and the state machines that read what strangers send, as functions of bytes.
//!
//! A target is a `fn(&[u8])` that panics where a promise is broken. It is written once, and run by two:
//!
//! [`replay`] runs it in `scripts/test`, on the inputs in `corpus/` and on a few mutations of them.
//!
//! The targets for the hub's core look at what is private to it, and so live with its tests
//! (`roles/hub/src/core/tests/fuzzed.rs`).

mod frames;
mod replay;

pub use frames::wire_frames;
pub use replay::{corpus_folder, replay};
