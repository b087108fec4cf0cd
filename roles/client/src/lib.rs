//! How every role talks to the hub.

pub mod limits;
pub mod outbox;
pub mod store;

pub use store::{Schema, Store, StoreError};
