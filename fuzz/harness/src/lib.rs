//! What fuzz targets stand on: frames out of any bytes, and their corpora replayed.
//!
//! A target is a `fn(&[u8])` that panics where a promise is broken. It is written once, and run by two:
//!
//! - `scripts/fuzz`: libFuzzer, for as long as one likes. Its binaries are in `fuzz/libfuzzer`, a workspace of its own,
//!   since everything in it is built with coverage counters;
//! - `scripts/test`: [`replay`], with what is in `fuzz/corpus` and a few mutations of it.

mod frames;
mod replay;

pub use frames::{next_frame, wire_frames};
pub use replay::{corpus_folder, replay};
