//! HMAC-SHA256 (RFC 2104, FIPS 180-4) of several messages at a time, under one key of 32 bytes.
//!
//! SHA-256 is one long chain of operations, so whoever hashes one message spends most of the time
//! waiting for its own results. Messages need nothing of each other: [`Key::macs`] compresses blocks
//! of up to sixteen of them at a time, each in a lane of a vector register (AVX-512), or where that
//! is not to be had or they are few, four side by side with the processor's instructions for SHA-256.
//! Elsewhere they go through RustCrypto's `sha2`, one after the other; nobody can tell which it was
//! but by the clock.
//!
//! Nothing in a message, a key or a MAC decides about a branch or an address; lengths do, which
//! everybody on the network sees.

mod blocks;
mod compression;
mod key;

pub use blocks::Message;
pub use key::{Key, MAC_BYTES};
