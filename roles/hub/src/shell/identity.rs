//! What the hub proves to its clients that it is the hub with: its static key, and the authority's certificate for it.

use winze_runtime::clock::now_unix_s_u32;
use winze_runtime::keyfile::{self, KeyFileError};
use winze_transport::{Certificate, CertificateError, ServerIdentity};

use crate::config::HubConfig;

/// Why the hub's key and certificate are not to be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// One of the files cannot be read, or the certificate is for another key.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// No client would accept the certificate at present.
    #[error("{file}: {source}")]
    Certificate {
        /// The certificate's file.
        file: String,
        /// What is wrong with it.
        source: CertificateError,
    },
}

/// The pair out of the files that `config` names. Clients would accept it now, or it has the certificate that is `shown`
/// already: that it has expired since is no reason to keep a thief on the list.
pub(super) fn read(
    config: &HubConfig,
    shown: Option<&Certificate>,
) -> Result<ServerIdentity, IdentityError> {
    let identity =
        keyfile::read_server_identity(&config.static_key_file, &config.certificate_file)?;
    let certificate = identity.certificate();
    if shown == Some(certificate) {
        return Ok(identity);
    }
    certificate
        .verify(&certificate.authority_key, now_unix_s_u32())
        .map_err(|source| IdentityError::Certificate {
            file: config.certificate_file.to_string(),
            source,
        })?;
    Ok(identity)
}
