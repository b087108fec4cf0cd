//! What a check found, and the looks that every role's check takes.

use std::fmt::Display;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use winze_runtime::clock::now_unix_s_u32;
use winze_runtime::config::PublicKeySource;
use winze_runtime::keyfile;
use winze_transport::keys::ServerIdentity;

/// Problems, each with the key of the configuration that it is about.
#[derive(Debug, Default)]
#[cfg_attr(
    not(all(feature = "hub", feature = "pool", feature = "mint")),
    allow(dead_code)
)]
pub(super) struct Findings {
    problems: Vec<String>,
}

#[cfg_attr(
    not(all(feature = "hub", feature = "pool", feature = "mint")),
    allow(dead_code)
)]
impl Findings {
    /// Everything that was found, in the order of the looks.
    pub(super) fn into_problems(self) -> Vec<String> {
        self.problems
    }

    /// A problem at `key`; one that was found before counts once.
    pub(super) fn problem(&mut self, key: &str, problem: impl Display) {
        let problem = format!("{key}: {problem}");
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// The error of `result` is a problem at `key`.
    pub(super) fn look<T, E: Display>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.problem(key, error)).ok()
    }

    /// A secret key's file must be there, be its owner's alone, and hold a key.
    pub(super) fn secret_key(&mut self, key: &str, file: impl AsRef<Path>) {
        self.look(key, keyfile::read_secret(file));
    }

    /// A public key must be one.
    pub(super) fn public_key(&mut self, key: &str, source: &PublicKeySource) {
        self.look(key, source.resolve());
    }

    /// A file of somebody else's must be there for us to read.
    pub(super) fn readable(&mut self, key: &str, file: impl AsRef<Path>) {
        let file = file.as_ref();
        if let Err(error) = std::fs::File::open(file) {
            self.problem(
                key,
                format_args!("{}: cannot read: {error}", file.display()),
            );
        }
    }

    /// A server's key and certificate must belong together, and the certificate be valid now.
    pub(super) fn server(&mut self, static_key: (&str, &Path), certificate: (&str, &Path)) {
        let key = self.look(static_key.0, keyfile::read_secret(static_key.1));
        let signed = self.look(certificate.0, keyfile::read_certificate(certificate.1));
        if let (Some(key), Some(signed)) = (key, signed) {
            let authority = signed.authority_key;
            let valid = signed.verify(&authority, now_unix_s_u32());
            self.look(certificate.0, valid);
            self.look(certificate.0, ServerIdentity::new(key, signed));
        }
    }

    /// A file that the role makes must have a folder to be made in.
    pub(super) fn folder_of(&mut self, key: &str, file: impl AsRef<Path>) {
        let file = file.as_ref();
        let folder = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            self.problem(
                key,
                format_args!("{}: its folder does not exist", file.display()),
            );
        } else if file.is_dir() {
            self.problem(key, format_args!("{} is a folder", file.display()));
        }
    }

    /// `host:port` must be a form that can be dialled, and an IP address or a name that resolves.
    pub(super) fn dial(&mut self, key: &str, address: &str) {
        match address.to_socket_addrs() {
            Ok(mut addresses) => match addresses.next() {
                None => self.problem(key, format_args!("{address:?} resolves to no address")),
                Some(found) if found.port() == 0 => {
                    self.problem(key, format_args!("{address:?}: port 0 cannot be dialled"));
                }
                Some(_) => {}
            },
            Err(error) => self.problem(
                key,
                format_args!("{address:?} is no host:port to dial: {error}"),
            ),
        }
    }

    /// Addresses to listen on must differ, other than in port 0.
    pub(super) fn listen(&mut self, addresses: &[(&str, SocketAddr)]) {
        for (index, (key, address)) in addresses.iter().enumerate() {
            let same = addresses[..index]
                .iter()
                .find(|(_, other)| other == address && other.port() != 0);
            if let Some((other, _)) = same {
                self.problem(
                    key,
                    format_args!("{address} is the address of {other} as well"),
                );
            }
        }
    }
}
