//! Every decoder, what is read in Redis, the handshake, and the state machines that read what others send, as functions of
//! bytes that panic where a promise is broken.
//!
//! The targets for the hub's core look at what is private to it, and live with its tests:
//! `roles/hub/src/core/tests/fuzzed.rs`.

mod authenticators;
mod handshake;
mod legacy;
mod messages;
mod mining;
mod session;
mod strict_json;
mod texts;
mod wire;

pub use authenticators::authenticators;
pub use handshake::handshake;
pub use legacy::legacy;
pub use messages::messages;
pub use mining::mining;
pub use session::session;
pub use texts::texts;
pub use wire::wire;
