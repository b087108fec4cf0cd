//! One side of a connection, built on the Sv2 reference crates alone: a peer for tests that shares nothing with the
//! crates under test but the specification (`protocols/SPECIFICATION.md`). It is a dev-dependency only, and depends on
//! no crate of this workspace: a mistake of ours cannot be in both sides.
//!
//! - [`Connection`]: a socket after the Noise handshake, as client or as server, that sends and expects messages.
//! - [`Peer`]: the same without a socket, for tests that pass bytes by hand.
//! - The messages of the connection and of a quote, as somebody would define them who has only `binary_sv2`.
//! - [`tagged_hash`] and [`authenticate_digest`]: the hashes of the specification, from the ground up.
//!
//! Everything here panics where the other side does not do what was expected: that is what fails a test.

mod connection;
mod hashes;
mod messages;
mod peer;

pub use connection::Connection;
pub use hashes::{authenticate_digest, tagged_hash, x_only};
pub use messages::{
    Authenticate, AuthenticateSuccess, Authenticator, EXT_EXTENSIONS, EXT_HUB, EXT_MINT_QUOTE,
    Extensions, OpenChannel, OpenChannelSuccess, Presence, QuoteRequest, QuoteRequestBody,
    QuoteResponse, QuoteResponseBody, StoreQuery, StoreState, text,
};
pub use peer::Peer;
