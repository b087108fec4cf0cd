//! What a check found, and the looks that every role's check takes.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use rustix::fs::{Access, access};
use winze_runtime::clock::now_unix_s_u32;
use winze_runtime::config::PublicKeySource;
use winze_runtime::{keyfile, logging};
use winze_transport::keys::ServerIdentity;

/// How every SQLite file begins (SQLite file format, section 1.3).
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";

/// Problems, each with the key of the configuration that it is about.
#[derive(Debug, Default)]
#[cfg_attr(
    not(all(
        feature = "hub",
        feature = "pool",
        feature = "mint",
        feature = "bridge"
    )),
    allow(dead_code)
)]
pub(super) struct Findings {
    problems: Vec<String>,
    warnings: Vec<String>,
}

#[cfg_attr(
    not(all(
        feature = "hub",
        feature = "pool",
        feature = "mint",
        feature = "bridge"
    )),
    allow(dead_code)
)]
impl Findings {
    /// Everything that was found, in the order of the looks: problems, then warnings.
    pub(super) fn into_parts(self) -> (Vec<String>, Vec<String>) {
        (self.problems, self.warnings)
    }

    /// Something that the role starts with, and that is hardly meant so.
    pub(super) fn warning(&mut self, key: &str, warning: impl Display) {
        self.warnings.push(format!("{key}: {warning}"));
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

    /// A secret key's file must be there, be its owner's alone, and hold a key: the one of the public key beside it, if
    /// there is one, since that is what others are given.
    pub(super) fn secret_key(&mut self, key: &str, file: impl AsRef<Path>) {
        let file = file.as_ref();
        let secret = self.look(key, keyfile::read_secret(file));
        let public_file = file.with_extension("pub");
        if secret.is_none() || !public_file.exists() {
            return;
        }
        let public = self.look(key, keyfile::read_public(&public_file));
        if let (Some(secret), Some(public)) = (secret, public)
            && secret.public_key() != public
        {
            let (file, public_file) = (file.display(), public_file.display());
            self.problem(
                key,
                format_args!("{public_file} is not the public key of {file}; whoever was given it knows another"),
            );
        }
    }

    /// The log's filter must be one.
    pub(super) fn log(&mut self, filter: &str) {
        self.look("log", logging::check(filter));
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

    /// A store must be a database of ours to read and write, or have a folder to be made in.
    pub(super) fn store(&mut self, key: &str, file: impl AsRef<Path>) {
        let file = file.as_ref();
        let before = self.problems.len();
        self.folder_of(key, file);
        if self.problems.len() > before {
            return;
        }
        let folder = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let both = Access::READ_OK | Access::WRITE_OK;
        // SQLite makes its log beside the file.
        if let Err(error) = access(folder, both | Access::EXEC_OK) {
            let folder = folder.display();
            self.problem(key, format_args!("{folder}: cannot write there: {error}"));
        }
        if !file.exists() {
            return;
        }
        if let Err(error) = access(file, both) {
            let file = file.display();
            self.problem(key, format_args!("{file}: cannot write: {error}"));
            return;
        }
        let mut begin = Vec::new();
        let read = File::open(file)
            .and_then(|file| file.take(SQLITE_MAGIC.len() as u64).read_to_end(&mut begin));
        match read {
            // An empty file is a database without tables.
            Ok(0) => {}
            Ok(_) if begin == SQLITE_MAGIC => {}
            Ok(_) => self.problem(key, format_args!("{} is no database", file.display())),
            Err(error) => self.problem(
                key,
                format_args!("{}: cannot read: {error}", file.display()),
            ),
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
