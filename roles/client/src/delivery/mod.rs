//! The schedule of a requester, for any family: which request is sent when.

mod core;

#[cfg(test)]
mod tests;

pub use self::core::{RejectKind, Rejected, RequesterCore, Schedule};
