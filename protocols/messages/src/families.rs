//! The families of messages, one file each: what a message means, and its fields in their order.

pub mod common;
pub mod extensions;
pub mod hub;
pub mod mint_quote;
pub mod peg;
pub mod signing;
