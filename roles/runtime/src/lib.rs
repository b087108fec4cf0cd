//! What the shell of every Winze process shares: configuration files, key files, logging, the operator's HTTP
//! port, metrics, the clock, and the signals that stop a process or have it read its configuration again.
//!
//! Nothing here knows a protocol. Start reading at [`config`], then [`keyfile`]; [`ops_http`] is what an operator
//! sees of a running process.

pub mod admission;
pub mod clock;
pub mod config;
pub mod hangup;
pub mod keyfile;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod ops_http;
pub mod ready;
pub mod repeats;
pub mod shutdown;
