//! What pools and mints of the Redis era say to each other: JSON in a list and under keys, before there was a wire.
//!
//! | where | what | who writes it | how it is read |
//! |---|---|---|---|
//! | list [`keys::REQUESTS`] | one [`QuoteRequest`] a share | the pool, `RPUSH` | the mint, `BRPOP` |
//! | key [`keys::KEYSET`] | the active [`Keyset`] | the mint, `SET` | the pool, `GET` once a second at its start |
//! | keys [`keys::QUOTE_PREFIX`]`:<header hash>` | the quote's id | the earlier mints, `SET`; later ones write none | the pool |
//!
//! [`ListRules`] says what of a list's entries a mint is asked.
//!
//! Pure: no Redis, no clock. What others wrote is read in all its historical shapes; what is written here is the latest one.

pub mod keys;
mod keyset;
mod nested;
mod once;
mod request;
mod rules;

pub use keyset::{Keyset, KeysetError};
pub use request::{QuoteRequest, RequestError, Shape};
pub use rules::{Asked, EntryError, ListRules};
