//! What a run leaves.

pub mod json;
mod machine;
pub mod markdown;
mod plot;
pub mod table;
