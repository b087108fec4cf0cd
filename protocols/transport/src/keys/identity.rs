use thiserror::Error;

use super::{Certificate, CertificateError, PublicKey, SecretKey};

/// What a server proves itself with: its static key, and an authority's certificate for it. The
/// authority's own secret is not needed here, and should be on another machine.
#[derive(Debug)]
pub struct ServerIdentity {
    static_key: SecretKey,
    certificate: Certificate,
}

impl ServerIdentity {
    /// Checks that the certificate is for this key and is signed by the authority that it names.
    /// Whether it is valid now is for a caller with a clock: see [`Certificate::verify`].
    pub fn new(
        static_key: SecretKey,
        certificate: Certificate,
    ) -> Result<ServerIdentity, IdentityError> {
        if certificate.static_key != static_key.public_key() {
            return Err(IdentityError::OtherKey {
                certified: certificate.static_key,
                loaded: static_key.public_key(),
            });
        }
        certificate.verify_signature(&certificate.authority_key)?;
        Ok(ServerIdentity {
            static_key,
            certificate,
        })
    }

    /// The certificate, for instance to warn before it expires.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The secret key that the certificate is for.
    pub fn static_key(&self) -> &SecretKey {
        &self.static_key
    }
}

/// A key and a certificate that do not make an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// The certificate is for another key: files of two servers, or of two rotations, were mixed.
    #[error("certificate is for server key {certified}, the key loaded is {loaded}")]
    OtherKey {
        /// The key in the certificate.
        certified: PublicKey,
        /// The key that was given with it.
        loaded: PublicKey,
    },
    /// The certificate would convince no client.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_up_files_are_noticed_before_a_client_meets_them() {
        let key = |byte| SecretKey::from_bytes(&[byte; 32]).unwrap();
        let certificate = Certificate::sign(&key(1), key(2).public_key(), 0, u32::MAX, &[0; 32]);
        assert!(ServerIdentity::new(key(2), certificate.clone()).is_ok());
        assert!(matches!(
            ServerIdentity::new(key(3), certificate.clone()),
            Err(IdentityError::OtherKey { .. })
        ));

        let mut forged = certificate;
        forged.authority_key = key(4).public_key();
        assert!(matches!(
            ServerIdentity::new(key(2), forged),
            Err(IdentityError::Certificate(
                CertificateError::NotSignedBy { .. }
            ))
        ));
    }
}
