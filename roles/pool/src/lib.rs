//! The pool: a Sv2 mining server whose shares become mint quotes.

pub mod identity;
pub mod limits;
pub mod mining;
pub mod template;
pub mod work;
