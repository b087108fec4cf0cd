//! The bridge role: Redis lists of an older deployment on one side, the hub on the other.
//!
//! | direction | table | who it is to the hub | where |
//! |---|---|---|---|
//! | a legacy pool's list to a mint at the hub | `[requests]` | a requester, as a pool is | `requests.rs` |
//! | pools at the hub to a legacy mint's list | `[legacy_mint]` | a responder, as a mint is | `legacy_mint/` |
//!
//! Each is off unless its table is there. They share the identity, the connection to the hub and the store, and nothing
//! else. Where to start reading:
//!
//! | question | file |
//! |---|---|
//! | what can be configured | [`config`], [`limits`] |
//! | how does the process start and stop | `service.rs` |
//! | what is on disk | `store.rs` |
//! | what does the operator see | `health.rs`, `metrics.rs` |

pub mod config;
mod error;
mod health;
mod legacy_mint;
pub mod limits;
mod metrics;
mod requests;
mod service;
mod store;

pub use config::{BridgeConfig, InvalidValue};
pub use error::BridgeError;
pub use service::{BoundBridge, Bridge, run};
pub use store::OtherMint;
