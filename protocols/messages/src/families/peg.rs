//! The peg family: what coordinators and federations say about pegging in and out.
//!
//! Its id is taken and its messages are not designed: see [`signing`](super::signing).

/// The peg family's extension.
pub const EXT_PEG: u16 = 0x4804;
