//! The transport held against the Sv2 reference crates, and against peers and networks that
//! misbehave.

mod frames_and_reference;
mod handshake_and_reference;
mod handshake_refusals;
mod reading;
mod reference;
mod secrets;
mod world;
mod writing;
