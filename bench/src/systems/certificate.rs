//! The certificate of the servers that speak TLS, and what their clients trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::error::BenchError;

/// A server's certificate on disk, made for this run.
pub struct TlsFiles {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM, mode 0600 through its folder, which is its owner's alone.
    pub key: PathBuf,
    /// The certificate as text, for a client that trusts it.
    pub certificate_pem: String,
    der: CertificateDer<'static>,
}

impl TlsFiles {
    /// Makes a self-signed certificate for 127.0.0.1 (ECDSA P-256) in `folder`.
    ///
    /// # Errors
    /// [`BenchError::Machine`].
    pub fn make(folder: &Path) -> Result<TlsFiles, BenchError> {
        let failed = |error: &dyn std::fmt::Display| BenchError::machine("a certificate", error);
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(|error| failed(&error))?;
        let files = TlsFiles {
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
            certificate_pem: made.cert.pem(),
            der: made.cert.der().clone(),
        };
        std::fs::write(&files.certificate, &files.certificate_pem)
            .and_then(|()| std::fs::write(&files.key, made.signing_key.serialize_pem()))
            .map_err(|error| failed(&error))?;
        Ok(files)
    }

    /// A client that trusts this certificate alone.
    ///
    /// # Errors
    /// [`BenchError::Machine`].
    pub fn client(&self) -> Result<ClientConfig, BenchError> {
        let failed = |error: rustls::Error| BenchError::machine("a TLS client", error);
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).map_err(failed)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }
}
