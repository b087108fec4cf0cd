//! The mint role: a real Cashu mint (cdk) that makes quotes for mining shares, already paid, at the request of the pools in
//! its configuration.
//!
//! A wallet reaches it over the NUT HTTP API and a pool through the hub; the two meet in cdk's store. Where to start
//! reading:
//!
//! | question | file |
//! |---|---|
//! | how does a request become a quote, and what can a crash do | `issuance.rs`: checks in `issuance/check.rs`, cdk's store in `issuance/record.rs` |
//! | how much may a pool have issued | `allowance.rs` |
//! | what may a wallet do over HTTP, and how much at once | `api.rs`, `api/admission.rs` |
//! | which ecash is it | `ecash.rs`, `processor.rs`, [`seed`] |
//! | who hears of a new keyset | `announce.rs`, in Redis `redis_requests/keyset.rs` |
//! | how do requests come off a list in Redis | `redis_requests/mod.rs` |
//! | what can be configured | [`config`], [`limits`] |
//! | how does the process start and stop | `service.rs` |

mod allowance;
mod announce;
mod api;
pub mod config;
mod ecash;
mod error;
mod issuance;
pub mod limits;
mod metrics;
mod processor;
mod redis_requests;
pub mod seed;
mod service;
#[cfg(test)]
mod testing;

pub use api::ApiError;
pub use config::MintConfig;
pub use ecash::EcashError;
pub use error::MintError;
pub use processor::MINING_SHARE;
pub use redis_requests::RedisRequestsConfig;
pub use seed::{Seed, SeedError};
pub use service::{BoundMint, Mint, MintHandle, rotate_keyset, run};
