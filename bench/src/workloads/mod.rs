//! The kinds of work.

pub mod backlog;
pub mod bridge;
pub mod durable;
pub mod fan_out;
pub mod floor;
pub mod flow;
pub mod idle;
pub mod pipeline;
pub mod round_trip;
pub mod scale;

/// The payload that the bounds are for, in bytes: a quote request with its authenticator.
pub const PAYLOAD_BYTES: u64 = 200;
