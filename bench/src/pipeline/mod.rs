//! Shares on their way from a pool to a quote in a real cdk store: what the two flows have in common.

pub mod legacy;
pub mod winze;

/// Shares whose quotes are not there yet, at most, of either flow.
pub const OUTSTANDING: usize = 8_192;

/// Shares that a pool writes down at a time: as many miners as that, each waiting for its share to be accepted.
pub const MINERS: usize = 512;

/// What a share is worth, in `hash`.
pub const AMOUNT: u64 = 1_024;

/// The unit of the quotes.
pub const UNIT: &str = "hash";
