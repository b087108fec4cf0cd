//! What is said on the Winze wire: every message, its layout and its proof.
//!
//! `protocols/SPECIFICATION.md` is the contract that this crate implements; sections named here
//! are that page's. There is no socket, clock, randomness or disk in it.
//!
//! Where to start reading:
//!
//! | question | file |
//! |---|---|
//! | which messages are there, who sends them, how long may they be | [`table`] |
//! | what does a message hold | [`families`], one file each |
//! | how are bytes taken apart, and what do errors say | [`codec`] |
//! | may a hub forward these bytes | [`check`] |
//! | who is on this connection | [`authentication`] |
//! | who wrote this message, whatever the hub says | [`authenticator`] |
//! | what do these bytes say, for a person | [`mod@describe`] |
//!
//! A message of the connection (common, extensions, hub) is a struct with `encode_payload`,
//! `decode_payload` and `to_frame`. A message of a channel is the struct of its **body**: what
//! stands between the channel id and the authenticator.

pub mod authentication;
pub mod authenticator;
pub mod check;
pub mod codec;
pub mod describe;
pub mod families;
pub mod limits;
pub mod names;
pub mod table;
pub mod text;

pub use authenticator::{
    AuthenticatorError, Opened, PairKeys, Sealed, Unsealed, channel_frame, request_digest,
    request_digests,
};
pub use check::{Refusal, check_channel_payload};
pub use codec::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, MessageError};
pub use describe::{Description, describe, describe_bytes};
pub use families::common::EXT_COMMON;
pub use families::extensions::EXT_EXTENSIONS;
pub use families::hub::EXT_HUB;
pub use families::mint_quote::EXT_MINT_QUOTE;
pub use families::peg::EXT_PEG;
pub use families::signing::EXT_SIGNING;
pub use names::{NameError, PeerName};
pub use table::{Direction, Row, Side};
