//! What a run leaves.

pub mod json;
pub mod table;
