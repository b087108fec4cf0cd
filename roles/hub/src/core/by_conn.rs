//! What is looked up by a connection's number, several times for each message.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::ConnId;

/// A map whose order is no order that means anything, and the same for the same history.
pub type ByConn<T> = HashMap<ConnId, T, BuildHasherDefault<NumberHasher>>;

/// Spreads numbers that are the hub's own: nobody else chooses them, so none can be chosen to meet.
#[derive(Clone, Copy, Debug, Default)]
pub struct NumberHasher(u64);

/// An odd number with its bits well mixed: 2^64 over the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(SPREAD);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
