//! Every bound of this crate, with its unit and reason. Sizes that follow from a message's
//! layout are computed in [`crate::table`].

/// The longest text of a `STR0_255` field in bytes, and the longest `B0_255` field: what its one
/// length byte can say.
pub const TEXT_BYTES_MAX: usize = 255;

/// A role or a name in bytes. Long enough for a host's name, short enough for a log line.
pub const NAME_BYTES_MAX: usize = 32;

/// A channel's label in bytes (section 2, `OpenChannel`).
pub const LABEL_BYTES_MAX: usize = 64;

/// Extensions in one list of the negotiation. Sv2 allows 65,535; both lists of a
/// `RequestExtensions.Error` have to fit the 4,096 bytes that a frame may hold before
/// authentication, and nobody has as many.
pub const EXTENSIONS_MAX: usize = 512;

/// Keys of a keyset: one for each power of two that a U64 holds.
pub const KEYSET_KEYS_MAX: usize = 64;

/// The largest amount of a quote, in its unit: SQL stores of mints hold signed 64-bit numbers.
/// It is the receiver who refuses more (`amount-too-large`); a larger amount does decode.
pub const AMOUNT_MAX: u64 = 1 << 62;
