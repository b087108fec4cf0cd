use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{PublicKey, SecretKey, verify_schnorr};

/// The one version of the certificate format (Sv2 specification 4.5.3).
pub const CERTIFICATE_VERSION: u16 = 0;

/// How many seconds a certificate counts as valid before its start and after its end, for clocks
/// that differ a little. The same as the Sv2 reference crate's, so that both judge alike.
pub const TIME_LEEWAY_S: u32 = 10;

/// Bytes of SIGNATURE_NOISE_MESSAGE (Sv2 specification 4.5.2).
pub(crate) const SIGNATURE_MESSAGE_BYTES: usize = 74;

/// An authority's word that a static key belongs to one of its servers for a while (Sv2
/// specification 4.5.3).
///
/// The signature covers `SHA-256(version U16 LE || valid_from U32 LE || not_valid_after U32 LE ||
/// static key's x coordinate)`. Its fields are public: a certificate means nothing until
/// [`Self::verify`] has said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// [`CERTIFICATE_VERSION`].
    pub version: u16,
    /// Start of the validity, seconds since 1970.
    pub valid_from_unix_s: u32,
    /// Last second of the validity, since 1970.
    pub not_valid_after_unix_s: u32,
    /// The server's key in the handshake.
    pub static_key: PublicKey,
    /// Who signed. Not covered by the signature and not sent: each client knows the authority
    /// that it trusts.
    pub authority_key: PublicKey,
    /// BIP 340 signature by `authority_key`.
    #[serde(with = "hex")]
    pub signature: [u8; 64],
}

impl Certificate {
    /// Signs a certificate for `static_key`. `aux_rand` is fresh randomness, see
    /// [`SecretKey::sign_schnorr`].
    pub fn sign(
        authority: &SecretKey,
        static_key: PublicKey,
        valid_from_unix_s: u32,
        not_valid_after_unix_s: u32,
        aux_rand: &[u8; 32],
    ) -> Certificate {
        let mut certificate = Certificate {
            version: CERTIFICATE_VERSION,
            valid_from_unix_s,
            not_valid_after_unix_s,
            static_key,
            authority_key: authority.public_key(),
            signature: [0; 64],
        };
        certificate.signature = authority.sign_schnorr(&certificate.digest(), aux_rand);
        certificate
    }

    /// Whether `authority` vouches for `static_key` at `now_unix_s`, give or take
    /// [`TIME_LEEWAY_S`]. The signature is judged before the time, so that only a certificate
    /// that `authority` really made is called expired.
    pub fn verify(&self, authority: &PublicKey, now_unix_s: u32) -> Result<(), CertificateError> {
        self.verify_signature(authority)?;
        if now_unix_s < self.valid_from_unix_s.saturating_sub(TIME_LEEWAY_S) {
            return Err(CertificateError::NotYetValid {
                valid_from_unix_s: self.valid_from_unix_s,
                now_unix_s,
            });
        }
        if now_unix_s > self.not_valid_after_unix_s.saturating_add(TIME_LEEWAY_S) {
            return Err(CertificateError::Expired {
                not_valid_after_unix_s: self.not_valid_after_unix_s,
                now_unix_s,
            });
        }
        Ok(())
    }

    /// [`Self::verify`] without a look at the time.
    pub(crate) fn verify_signature(&self, authority: &PublicKey) -> Result<(), CertificateError> {
        if self.version != CERTIFICATE_VERSION {
            return Err(CertificateError::Version {
                found: self.version,
            });
        }
        if self.authority_key != *authority
            || !verify_schnorr(authority, &self.digest(), &self.signature)
        {
            return Err(CertificateError::NotSignedBy {
                authority: *authority,
                static_key: self.static_key,
            });
        }
        Ok(())
    }

    /// SIGNATURE_NOISE_MESSAGE: what of the certificate travels in act 2.
    ///
    /// ```text
    /// | version U16 LE | valid_from U32 LE | not_valid_after U32 LE | signature, 64 bytes |
    /// ```
    pub(crate) fn to_signature_message(&self) -> [u8; SIGNATURE_MESSAGE_BYTES] {
        let mut message = [0; SIGNATURE_MESSAGE_BYTES];
        message[..10].copy_from_slice(&self.signed_numbers());
        message[10..].copy_from_slice(&self.signature);
        message
    }

    /// Puts together what act 2 carries with the keys that are known from elsewhere. Nothing is
    /// verified here.
    pub(crate) fn from_signature_message(
        message: &[u8; SIGNATURE_MESSAGE_BYTES],
        static_key: PublicKey,
        authority_key: PublicKey,
    ) -> Certificate {
        let [v0, v1, f0, f1, f2, f3, a0, a1, a2, a3, signature @ ..] = *message;
        Certificate {
            version: u16::from_le_bytes([v0, v1]),
            valid_from_unix_s: u32::from_le_bytes([f0, f1, f2, f3]),
            not_valid_after_unix_s: u32::from_le_bytes([a0, a1, a2, a3]),
            static_key,
            authority_key,
            signature,
        }
    }

    fn signed_numbers(&self) -> [u8; 10] {
        let [v0, v1] = self.version.to_le_bytes();
        let [f0, f1, f2, f3] = self.valid_from_unix_s.to_le_bytes();
        let [a0, a1, a2, a3] = self.not_valid_after_unix_s.to_le_bytes();
        [v0, v1, f0, f1, f2, f3, a0, a1, a2, a3]
    }

    fn digest(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.signed_numbers())
            .chain_update(self.static_key.as_bytes())
            .finalize()
            .into()
    }
}

/// Why a certificate does not vouch for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// A format that this implementation does not know.
    #[error("certificate has version {found}, expected {CERTIFICATE_VERSION}")]
    Version {
        /// The version it has.
        found: u16,
    },
    /// Another authority signed it, or nobody did.
    #[error("certificate of server key {static_key} is not signed by authority {authority}")]
    NotSignedBy {
        /// The authority that is trusted.
        authority: PublicKey,
        /// The server that claims its word.
        static_key: PublicKey,
    },
    /// Signed by the right authority for a time to come.
    #[error("certificate is valid from {valid_from_unix_s}, now is {now_unix_s} (unix seconds)")]
    NotYetValid {
        /// Start of its validity.
        valid_from_unix_s: u32,
        /// The time at which it was judged.
        now_unix_s: u32,
    },
    /// Signed by the right authority for a time that is over.
    #[error(
        "certificate was valid until {not_valid_after_unix_s}, now is {now_unix_s} (unix seconds)"
    )]
    Expired {
        /// Last second of its validity.
        not_valid_after_unix_s: u32,
        /// The time at which it was judged.
        now_unix_s: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: u32 = 1_000_000;
    const UNTIL: u32 = 2_000_000;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_bytes(&[byte; 32]).unwrap()
    }

    fn certificate() -> Certificate {
        Certificate::sign(&key(1), key(2).public_key(), FROM, UNTIL, &[0; 32])
    }

    #[test]
    fn validity_ends_ten_seconds_outside_its_borders() {
        let (certificate, authority) = (certificate(), key(1).public_key());
        for now in [FROM - 10, FROM, UNTIL, UNTIL + 10] {
            assert_eq!(certificate.verify(&authority, now), Ok(()));
        }
        assert!(matches!(
            certificate.verify(&authority, FROM - 11),
            Err(CertificateError::NotYetValid { .. })
        ));
        assert!(matches!(
            certificate.verify(&authority, UNTIL + 11),
            Err(CertificateError::Expired { .. })
        ));
    }

    #[test]
    fn each_signed_field_is_covered() {
        let authority = key(1).public_key();
        let alterations: [fn(&mut Certificate); 5] = [
            |c| c.valid_from_unix_s -= 1,
            |c| c.not_valid_after_unix_s += 1,
            |c| c.static_key = key(3).public_key(),
            |c| c.authority_key = key(3).public_key(),
            |c| c.signature[63] ^= 1,
        ];
        for alter in alterations {
            let mut altered = certificate();
            alter(&mut altered);
            assert!(matches!(
                altered.verify(&authority, FROM),
                Err(CertificateError::NotSignedBy { .. })
            ));
        }
        let mut unknown = certificate();
        unknown.version = 1;
        assert_eq!(
            unknown.verify(&authority, FROM),
            Err(CertificateError::Version { found: 1 })
        );
    }

    #[test]
    fn a_certificate_survives_its_file() {
        let text = serde_json::to_string(&certificate()).unwrap();
        assert_eq!(
            serde_json::from_str::<Certificate>(&text).unwrap(),
            certificate()
        );
        assert!(text.contains(&hex::encode(certificate().signature)));
    }
}
