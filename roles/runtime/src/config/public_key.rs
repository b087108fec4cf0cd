//! A public key in a configuration file, written out or in a file of its own.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use winze_transport::keys::PublicKey;

use super::ConfigPath;
use crate::keyfile::{self, KeyFileError};

/// Where a public key comes from: `public_key = "9b..."` (the Sv2 text form), or `public_key_file = "peer.pub"`
/// (that text in a file). Exactly one of the two must be there.
///
/// A table embeds it with `#[serde(flatten)]`, which works together with `deny_unknown_fields`; or it stands as a
/// table of its own: `authority = { public_key_file = "authority.pub" }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKeySource {
    /// The key itself.
    Inline(PublicKey),
    /// A file that holds it.
    File(ConfigPath),
}

impl PublicKeySource {
    /// The key, read from its file where it is in one.
    ///
    /// # Errors
    /// Those of [`keyfile::read_public`].
    pub fn resolve(&self) -> Result<PublicKey, KeyFileError> {
        match self {
            PublicKeySource::Inline(key) => Ok(*key),
            PublicKeySource::File(path) => keyfile::read_public(path),
        }
    }
}

impl From<PublicKey> for PublicKeySource {
    fn from(key: PublicKey) -> Self {
        PublicKeySource::Inline(key)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    public_key: Option<PublicKey>,
    public_key_file: Option<ConfigPath>,
}

impl<'de> Deserialize<'de> for PublicKeySource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As a struct, not an untagged enum: only so does serde tell an outer table which keys were used here, and
        // only so is a key that does not parse reported as what it is.
        match Written::deserialize(deserializer)? {
            Written {
                public_key: Some(key),
                public_key_file: None,
            } => Ok(PublicKeySource::Inline(key)),
            Written {
                public_key: None,
                public_key_file: Some(path),
            } => Ok(PublicKeySource::File(path)),
            Written {
                public_key: Some(_),
                public_key_file: Some(_),
            } => Err(D::Error::custom(
                "both `public_key` and `public_key_file`; keep one",
            )),
            Written {
                public_key: None,
                public_key_file: None,
            } => Err(D::Error::custom(
                "missing field `public_key` or `public_key_file`",
            )),
        }
    }
}
