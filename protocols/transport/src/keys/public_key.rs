use std::fmt;
use std::str::FromStr;

use secp256k1::schnorr::Signature;
use secp256k1::{Message, SECP256K1, XOnlyPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{KeyError, base58check};

/// Version in front of a public key in text: a U16 LE, 1 (Sv2 specification 4.7).
const TEXT_VERSION: [u8; 2] = [1, 0];

/// A public key of secp256k1: the 32-byte x coordinate of a point, as BIP 340 has it. Always on
/// the curve.
///
/// `Display`, `FromStr` and serde use the text of Sv2 specification 4.7; `Debug` shows the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Fails with [`KeyError::NotOnCurve`].
    pub fn from_bytes(x: [u8; 32]) -> Result<PublicKey, KeyError> {
        match XOnlyPublicKey::from_slice(&x) {
            Ok(_) => Ok(PublicKey(x)),
            Err(_) => Err(KeyError::NotOnCurve),
        }
    }

    /// The x coordinate, big-endian.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The x coordinate, big-endian.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    pub(crate) fn to_x_only(self) -> XOnlyPublicKey {
        XOnlyPublicKey::from_slice(&self.0).expect("every constructor checks that it is a point")
    }
}

impl From<XOnlyPublicKey> for PublicKey {
    fn from(key: XOnlyPublicKey) -> PublicKey {
        PublicKey(key.serialize())
    }
}

/// Whether `signature` is `public_key`'s over the 32 bytes of `message` (BIP 340). A signature
/// that is no signature at all is simply not valid.
pub fn verify_schnorr(public_key: &PublicKey, message: &[u8; 32], signature: &[u8; 64]) -> bool {
    let Ok(signature) = Signature::from_slice(signature) else {
        return false;
    };
    SECP256K1
        .verify_schnorr(
            &signature,
            &Message::from_digest(*message),
            &public_key.to_x_only(),
        )
        .is_ok()
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut versioned = [0; 34];
        let (version, x) = versioned.split_at_mut(TEXT_VERSION.len());
        version.copy_from_slice(&TEXT_VERSION);
        x.copy_from_slice(&self.0);
        f.pad(&base58check::encode(&versioned))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<PublicKey, KeyError> {
        let [v0, v1, x @ ..] = *base58check::decode::<34>(text)?;
        if [v0, v1] != TEXT_VERSION {
            return Err(KeyError::Version { found: [v0, v1] });
        }
        PublicKey::from_bytes(x)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PublicKey, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sv2 specification 4.7.1.
    const SPECIFIED_X: [u8; 32] = [
        118, 99, 112, 0, 151, 156, 28, 17, 175, 12, 48, 11, 205, 140, 127, 228, 134, 16, 252, 233,
        185, 193, 30, 61, 174, 227, 90, 224, 176, 138, 116, 85,
    ];
    const SPECIFIED_TEXT: &str = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh";

    #[test]
    fn the_text_form_is_that_of_the_specification() {
        let key: PublicKey = SPECIFIED_TEXT.parse().unwrap();
        assert_eq!(key.to_bytes(), SPECIFIED_X);
        assert_eq!(key.to_string(), SPECIFIED_TEXT);
        assert_eq!(serde_json::to_value(key).unwrap(), SPECIFIED_TEXT);
    }

    #[test]
    fn a_mistyped_key_says_what_is_wrong_with_it() {
        let parse = str::parse::<PublicKey>;
        let swapped = SPECIFIED_TEXT.replace("h3H", "3hH");
        assert_eq!(parse(&swapped), Err(KeyError::Checksum));
        assert_eq!(parse(&SPECIFIED_TEXT[1..]), Err(KeyError::NotBase58));
        assert_eq!(parse("0OIl"), Err(KeyError::NotBase58));
        assert_eq!(parse(&"1".repeat(1 << 20)), Err(KeyError::NotBase58));

        let mut other_version = [0; 34];
        other_version[0] = 2;
        other_version[2..].copy_from_slice(&SPECIFIED_X);
        assert_eq!(
            parse(&base58check::encode(&other_version)),
            Err(KeyError::Version { found: [2, 0] })
        );

        // No point of the curve has the x coordinate 5.
        let mut off_curve = [0; 34];
        off_curve[0] = 1;
        off_curve[33] = 5;
        assert_eq!(
            parse(&base58check::encode(&off_curve)),
            Err(KeyError::NotOnCurve)
        );
    }

    #[test]
    fn a_signature_of_all_ones_is_invalid_and_not_an_error() {
        let key: PublicKey = SPECIFIED_TEXT.parse().unwrap();
        assert!(!verify_schnorr(&key, &[7; 32], &[0xff; 64]));
    }
}
