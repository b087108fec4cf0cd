//! The hub.

pub mod core;
pub mod limits;
