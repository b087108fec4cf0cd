//! The hub: peers dial it, prove who they are, and exchange typed messages through it. It keeps nothing on disk.
//!
//! The wire is `protocols/SPECIFICATION.md`. In here:
//!
//! | start here | what |
//! |---|---|
//! | [`core`] | routing as a state machine without IO, clock or randomness |
//! | [`limits`] | every limit, with unit and reason |
//! | [`config`] | the configuration file |
//! | [`Hub`] | the shell: listener, a task for each connection, the operator's HTTP port |

pub mod config;
pub mod core;
pub mod limits;
#[cfg(feature = "sabotage")]
pub mod sabotage;
#[cfg(not(feature = "sabotage"))]
mod sabotage;
mod shell;

pub use config::{GroupConfig, HubConfig, InvalidValue, InvalidValues, MayOpen, PeerConfig};
pub use limits::HubLimits;
pub use shell::{BoundHub, Hub, HubError, IdentityError, ReloadError, Reloader, run};
