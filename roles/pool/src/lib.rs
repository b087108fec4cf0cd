//! The pool: a Sv2 mining server that miners connect to over Noise, and whose accepted shares become mint quotes.
//!
//! | start here | what |
//! |---|---|
//! | [`mining`] | the mining protocol as a state machine without IO, one per connection |
//! | [`template`] | what there is to mine on: from a bitcoin node, or built in |
//! | [`work`] | what a share is worth |
//! | [`redis_path`] | quote requests over a list in Redis, beside the hub or in its place |
//! | [`store`] | shares, quote requests and quotes on disk |
//! | [`Pool`] | the shell: listener, a task per miner, the client of the hub, HTTP |
//! | [`config`], [`limits`] | the operator's choices, and everything else that is bounded |
//!
//! The way of a share: a miner submits it; `channels_sv2` checks it; it is written to the store together with the
//! request for its quote, in one transaction; then the miner hears that it was accepted. The client sends the
//! request through the hub until the mint has answered; the answer and its effect are one transaction again. The
//! miner hears of the quote on its mining connection, and finds it over HTTP.

pub mod config;
pub mod directory;
pub mod http;
pub mod identity;
pub mod limits;
pub mod metrics;
pub mod mining;
pub mod redis_path;
mod server;
pub mod store;
pub mod template;
pub mod work;

pub use config::{InvalidValue, PoolConfig};
pub use server::{BoundPool, Pool, PoolError, run};
