//! What people and programs read: a table, one object, a page with a plot.

pub mod json;
pub mod markdown;
pub mod plot;
pub mod table;
