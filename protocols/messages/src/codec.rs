//! The codec: a cursor over bytes that knows which message and field it is in.
//!
//! Decoding is exact. Every byte belongs to a field, texts are UTF-8, flags are 0 or 1, and a
//! length is compared with what is there before anything is copied. Encoding refuses what would
//! not decode. The first thing that is wrong ends either.
//!
//! A message is a list of fields, each of a [`Kind`](kinds::Kind). Decoding, the hub's check without memory,
//! and the description for a person all take fields off the same [`Reader`] by the same kinds,
//! so they cannot disagree.

pub mod error;
pub mod kinds;
pub mod message;
pub mod reader;
pub mod writer;

pub use error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, MessageError};
pub use message::{Field, Framing, Message};
pub use reader::Reader;
pub use writer::Writer;
