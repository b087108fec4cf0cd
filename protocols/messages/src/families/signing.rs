//! The signing family: threshold key generation and signing rounds.
//!
//! Its id is taken and its messages are not designed: the [table](crate::table) has none, so a
//! hub treats the family as one that it does not know, and forwards what its configuration
//! allows without looking inside. Its messages will end with their author's signature, not with
//! the mint-quote family's authenticator: they have to serve as evidence.

/// The signing family's extension.
pub const EXT_SIGNING: u16 = 0x4803;
