//! A CPU miner that speaks Sv2: the demonstration's and the tests' own.
//!
//! A real mining client over Noise, on the messages of the reference crates, so that the pool is
//! held against something that was not written for it. Start reading at [`miner`], then [`session`];
//! the pure parts are [`work`] (jobs, targets), [`ledger`] (which share an answer is about) and
//! [`proof`] (headers and hashes).
//!
//! - [`Miner`] finds and submits shares until its [`ShareBudget`] is used up, and dials again when
//!   the pool goes.
//! - [`MiningClient`] is one connection, message by message, for tests that misbehave.

pub mod budget;
pub mod client;
pub mod finder;
pub mod incoming;
pub mod ledger;
pub mod limits;
pub mod miner;
pub mod outgoing;
pub mod proof;
pub mod session;
pub mod work;

pub use budget::{BudgetState, ShareBudget};
pub use client::{ClientError, ConnectConfig, MiningClient};
pub use incoming::{Incoming, MessageError};
pub use miner::{Miner, MinerConfig};
pub use outgoing::OpenChannel;
pub use proof::Target;
pub use session::MinerEvent;
pub use work::{Assignment, ChannelKind, ChannelTerms, ChannelWork, Share};
