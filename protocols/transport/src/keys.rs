//! Keys and certificates, and how they are written as text.
//!
//! | what | text |
//! |---|---|
//! | [`PublicKey`] | base58check of `[1, 0]` and the 32-byte x coordinate (Sv2 specification 4.7) |
//! | [`SecretKey`] | base58check of the 32 bytes, without a prefix |
//! | [`Certificate`] | fields for a TOML or JSON file: numbers, keys as above, signature in hex |

mod base58check;
mod certificate;
mod identity;
mod public_key;
mod secret_key;

pub(crate) use certificate::SIGNATURE_MESSAGE_BYTES;
pub use certificate::{CERTIFICATE_VERSION, Certificate, CertificateError, TIME_LEEWAY_S};
pub use identity::{IdentityError, ServerIdentity};
pub use public_key::{PublicKey, verify_schnorr};
pub use secret_key::SecretKey;

use thiserror::Error;

/// Bytes or text that are not a key. Says what is wrong, never what the text was: it may be a
/// secret, or most of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The text has characters outside the base58 alphabet, or is far too long or too short.
    #[error("key text is not base58 of the expected length")]
    NotBase58,
    /// The last four bytes are not the double SHA-256 of the others: a typing error.
    #[error("key text has a wrong checksum")]
    Checksum,
    /// The public key starts with a version other than `[1, 0]`.
    #[error("public key text has version {found:?}, expected [1, 0]")]
    Version {
        /// The two bytes in front of the key.
        found: [u8; 2],
    },
    /// The 32 bytes are not the x coordinate of a point of secp256k1.
    #[error("public key is not on the curve")]
    NotOnCurve,
    /// The 32 bytes are zero, or not below the order of secp256k1.
    #[error("secret key is out of range")]
    OutOfRange,
}
