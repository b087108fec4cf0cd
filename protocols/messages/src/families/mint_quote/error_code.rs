use std::fmt;

/// Codes below this are final, codes from it on temporary.
const TEMPORARY_FROM: u32 = 100;

/// Why a mint does not issue a quote (section 5, at 0x82).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum QuoteErrorCode {
    /// The header hash was used with another amount, unit or locking key.
    Conflict = 1,
    /// The amount is 0.
    AmountZero = 2,
    /// The amount is over the mint's cap.
    AmountTooLarge = 3,
    /// The mint does not have the unit.
    UnknownUnit = 4,
    /// The mint never had this keyset for the unit.
    UnknownKeyset = 5,
    /// The locking key is not a point on the curve.
    BadLockingKey = 6,
    /// The description is over the mint's limit.
    DescriptionTooLong = 7,
    /// The pool may not issue this unit.
    UnitNotAllowed = 8,
    /// The pool's operator gave the request up: a pool's word to a miner, never a mint's.
    Withdrawn = 9,
    /// The mint has too much to do.
    Busy = 100,
    /// The mint cannot issue at present.
    Unavailable = 101,
    /// Over what the pool may issue per hour or per day.
    Allowance = 102,
    /// The request's authenticator does not verify.
    BadAuthenticator = 103,
}

impl QuoteErrorCode {
    /// Every code there is.
    pub const ALL: [QuoteErrorCode; 13] = [
        QuoteErrorCode::Conflict,
        QuoteErrorCode::AmountZero,
        QuoteErrorCode::AmountTooLarge,
        QuoteErrorCode::UnknownUnit,
        QuoteErrorCode::UnknownKeyset,
        QuoteErrorCode::BadLockingKey,
        QuoteErrorCode::DescriptionTooLong,
        QuoteErrorCode::UnitNotAllowed,
        QuoteErrorCode::Withdrawn,
        QuoteErrorCode::Busy,
        QuoteErrorCode::Unavailable,
        QuoteErrorCode::Allowance,
        QuoteErrorCode::BadAuthenticator,
    ];

    /// The number on the wire.
    pub fn to_u32(self) -> u32 {
        self as u32
    }

    /// `None` for a code of a later version; [`Self::is_final_number`] still tells what to do.
    pub fn from_u32(number: u32) -> Option<QuoteErrorCode> {
        Self::ALL.into_iter().find(|code| code.to_u32() == number)
    }

    /// Whether asking again is pointless.
    pub fn is_final(self) -> bool {
        Self::is_final_number(self.to_u32())
    }

    /// [`Self::is_final`] for any number, known or not.
    pub fn is_final_number(number: u32) -> bool {
        number < TEMPORARY_FROM
    }

    /// The name in the specification, for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            QuoteErrorCode::Conflict => "conflict",
            QuoteErrorCode::AmountZero => "amount-zero",
            QuoteErrorCode::AmountTooLarge => "amount-too-large",
            QuoteErrorCode::UnknownUnit => "unknown-unit",
            QuoteErrorCode::UnknownKeyset => "unknown-keyset",
            QuoteErrorCode::BadLockingKey => "bad-locking-key",
            QuoteErrorCode::DescriptionTooLong => "description-too-long",
            QuoteErrorCode::UnitNotAllowed => "unit-not-allowed",
            QuoteErrorCode::Withdrawn => "withdrawn",
            QuoteErrorCode::Busy => "busy",
            QuoteErrorCode::Unavailable => "unavailable",
            QuoteErrorCode::Allowance => "allowance",
            QuoteErrorCode::BadAuthenticator => "bad-authenticator",
        }
    }
}

impl fmt::Display for QuoteErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
