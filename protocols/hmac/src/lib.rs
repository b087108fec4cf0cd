//! SHA-256 (FIPS 180-4) of several messages at a time, and HMAC-SHA256 (RFC 2104) of them under one key of 32 bytes.
//!
//! SHA-256 is one long chain of operations, so whoever hashes one message spends most of the time
//! waiting for its own results. Messages need nothing of each other: [`Sha256::digests`] and
//! [`Key::macs`] compress blocks of up to sixteen of them at a time, each in a lane of a vector
//! register (AVX-512), or where that is not to be had or they are few, four side by side with the
//! processor's instructions for SHA-256. Elsewhere they go through RustCrypto's `sha2`, one after
//! the other; nobody can tell which it was but by the clock.
//!
//! Nothing in a message, a key or a MAC decides about a branch or an address; lengths do, which
//! everybody on the network sees.

mod blocks;
mod compression;
mod digest;
mod key;
mod many;

pub use blocks::Message;
pub use digest::{DIGEST_BYTES, Sha256};
pub use key::{Key, MAC_BYTES};
