//! `redis-server`, in the clear and with TLS, and how to dial it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use redis::{Client, TlsCertificates};

use super::certificate::TlsFiles;
use crate::error::BenchError;
use crate::server::Server;
use crate::setting::Setting;

/// A running server and how to dial it.
pub struct Redis {
    /// The process.
    pub server: Server,
    /// `127.0.0.1:port`.
    pub address: String,
    /// Makes connections.
    pub client: Client,
}

impl Redis {
    /// Starts one on a free port, its files in `folder`. `more` are further arguments; without any it keeps nothing on
    /// disk.
    ///
    /// # Errors
    /// Those of [`Server::start`] and [`Server::until_said`].
    pub async fn start(
        setting: &Setting,
        folder: &Path,
        with_tls: bool,
        more: &[&str],
    ) -> Result<Redis, BenchError> {
        let port = free_port()?.to_string();
        let tls = match with_tls {
            true => Some(TlsFiles::make(folder)?),
            false => None,
        };
        let mut arguments = vec!["--bind", "127.0.0.1", "--save", ""];
        let files = tls.as_ref().map(|files| {
            let certificate = files.certificate.display().to_string();
            (certificate, files.key.display().to_string())
        });
        match &files {
            Some((certificate, key)) => {
                arguments.extend(["--port", "0", "--tls-port", &port]);
                arguments.extend(["--tls-cert-file", certificate, "--tls-key-file", key]);
                arguments.extend([
                    "--tls-ca-cert-file",
                    certificate,
                    "--tls-auth-clients",
                    "no",
                ]);
            }
            None => arguments.extend(["--port", &port]),
        }
        arguments.extend_from_slice(more);
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let program = &setting.programs.redis;
        let mut server = Server::start("redis-server", program, &arguments, folder)?;
        server
            .until_said(|line| line.contains("Ready to accept connections").then_some(()))
            .await?;
        let client = match tls {
            Some(files) => Client::build_with_tls(
                format!("rediss://127.0.0.1:{port}"),
                TlsCertificates {
                    client_tls: None,
                    root_cert: Some(files.certificate_pem.into_bytes()),
                },
            ),
            None => Client::open(format!("redis://127.0.0.1:{port}")),
        };
        let client = client.map_err(|error| BenchError::peer("redis", error))?;
        Ok(Redis {
            server,
            address: format!("127.0.0.1:{port}"),
            client,
        })
    }
}

/// A port that nobody listens on at present: Redis takes none by itself.
fn free_port() -> Result<u16, BenchError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| BenchError::machine("a free port", error))
}
