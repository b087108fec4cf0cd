//! The messages against the specification, the Sv2 reference crates, and a hostile peer.

mod authenticators;
mod specification;
