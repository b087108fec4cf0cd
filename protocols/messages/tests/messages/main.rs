//! The messages against the specification, the Sv2 reference crates, and a hostile peer.

mod authentication;
mod authenticators;
mod hub_check;
mod payloads;
mod reference;
mod refused_encodings;
mod round_trips;
mod specification;
