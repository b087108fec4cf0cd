//! The promises of Winze, tried on a virtual clock: the real hub core, sessions, requester and
//! responder on real SQLite, in one thread, with faults and enemies drawn from one seed.
//!
//! | start here | what |
//! |---|---|
//! | [`world`] | one run: who does what in a step, and what is checked after it |
//! | [`fault`] | what goes wrong |
//! | [`truth`], [`ledger`] | what was promised and what was done; what was sent to a group and what became of it |
//! | [`evil`], [`liar`] | peers and hubs that keep no rules |
//! | [`sabotage`] | rules that a run breaks, to show that it would notice |
//! | [`campaign`] | many runs, and the shortest story of a broken promise |

pub mod campaign;
pub mod cast;
pub mod chat;
pub mod client;
pub mod coverage;
pub mod evil;
pub mod fault;
pub mod ledger;
pub mod liar;
pub mod member;
pub mod mint;
pub mod net;
pub mod opener;
pub mod pool;
pub mod quotes;
pub mod sabotage;
pub mod store;
pub mod truth;
pub mod world;
