//! Keys and certificates on disk: one text file each.
//!
//! | file | contents |
//! |---|---|
//! | secret key | base58check of the 32 bytes, then a newline; mode 0600 |
//! | public key | base58check of `[1, 0]` and the 32 x-only bytes (Sv2 specification, section 4.7), then a newline |
//! | certificate | TOML: version, validity, both keys, signature |
//! | other secret (seed, password) | its text, then a newline; mode 0600 |
//!
//! A secret file that its group or others may read is refused at reading, and no file is ever overwritten.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use winze_transport::keys::{Certificate, PublicKey, SecretKey, ServerIdentity};
use zeroize::Zeroizing;

use crate::limits::KEY_FILE_BYTES_MAX;

/// Mode of a file that holds a secret: its owner reads and writes it, nobody else does anything.
pub const SECRET_MODE: u32 = 0o600;
/// Mode of a file that anyone may read.
pub const PUBLIC_MODE: u32 = 0o644;

/// Why a key file could not be read or written. No variant holds any of a secret's text.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file could not be opened or read.
    #[error("{path}: cannot read: {source}{}", hint(source), path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file or its folder could not be written. `AlreadyExists` means that the file is there and was left alone.
    #[error("{path}: {}", not_written(source), path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A secret that its group or others have access to may be known already.
    #[error("{path}: a secret with mode {mode:04o}; only its owner may have access: chmod 600 it, or better make a new one", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold what it should.
    #[error("{path}: not {expected}: {problem}", path = path.display())]
    Contents {
        /// The file.
        path: PathBuf,
        /// What was expected in it.
        expected: &'static str,
        /// What is wrong, without the contents.
        problem: String,
    },
}

/// How a file that is missing is come by.
fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => {
            "; `winze keys init winze-data` makes the files that those in config/ name"
        }
        _ => "",
    }
}

fn not_written(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AlreadyExists => "is there already, and is never overwritten".to_owned(),
        _ => format!("cannot write: {source}"),
    }
}

/// Reads a secret key.
///
/// # Errors
/// [`KeyFileError::Read`], [`KeyFileError::Exposed`] for a file that group or others may read or write, and
/// [`KeyFileError::Contents`].
pub fn read_secret(path: impl AsRef<Path>) -> Result<SecretKey, KeyFileError> {
    let path = path.as_ref();
    let text = read_secret_text(path)?;
    text.parse()
        .map_err(|error| contents(path, "a secret key", error))
}

/// Writes a secret key to a new file with mode 0600.
///
/// # Errors
/// [`KeyFileError::Write`], also when the file exists.
pub fn write_secret(path: impl AsRef<Path>, key: &SecretKey) -> Result<(), KeyFileError> {
    write_secret_text(path, &key.to_text())
}

/// Reads a secret that is not a key of ours (a seed, a password): its text without white space at either end.
///
/// # Errors
/// Those of [`read_secret`].
pub fn read_secret_text(path: impl AsRef<Path>) -> Result<Zeroizing<String>, KeyFileError> {
    let path = path.as_ref();
    let file = open(path)?;
    // Of the open file, not of the path: what was checked is what is read.
    let mode = file
        .metadata()
        .map_err(|source| KeyFileError::Read {
            path: path.to_owned(),
            source,
        })?
        .mode()
        & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let text = read_bounded(path, file)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Writes a secret's text and a newline to a new file with mode 0600.
///
/// # Errors
/// [`KeyFileError::Write`], also when the file exists.
pub fn write_secret_text(path: impl AsRef<Path>, text: &str) -> Result<(), KeyFileError> {
    let mut line = Zeroizing::new(String::with_capacity(text.len() + 1));
    line.push_str(text);
    line.push('\n');
    write_new(path.as_ref(), line.as_bytes(), SECRET_MODE)
}

/// Reads a public key.
///
/// # Errors
/// [`KeyFileError::Read`] and [`KeyFileError::Contents`].
pub fn read_public(path: impl AsRef<Path>) -> Result<PublicKey, KeyFileError> {
    let path = path.as_ref();
    let text = read_bounded(path, open(path)?)?;
    text.trim()
        .parse()
        .map_err(|error| contents(path, "a public key", error))
}

/// Writes a public key to a new file.
///
/// # Errors
/// [`KeyFileError::Write`], also when the file exists.
pub fn write_public(path: impl AsRef<Path>, key: &PublicKey) -> Result<(), KeyFileError> {
    write_new(path.as_ref(), format!("{key}\n").as_bytes(), PUBLIC_MODE)
}

/// Reads a certificate. Its signature and validity are not checked here.
///
/// # Errors
/// [`KeyFileError::Read`] and [`KeyFileError::Contents`].
pub fn read_certificate(path: impl AsRef<Path>) -> Result<Certificate, KeyFileError> {
    let path = path.as_ref();
    let text = read_bounded(path, open(path)?)?;
    toml::from_str(&text).map_err(|error| contents(path, "a certificate", error.message()))
}

/// Writes a certificate to a new file.
///
/// # Errors
/// [`KeyFileError::Write`], also when the file exists.
pub fn write_certificate(
    path: impl AsRef<Path>,
    certificate: &Certificate,
) -> Result<(), KeyFileError> {
    let path = path.as_ref();
    let text =
        toml::to_string(certificate).map_err(|error| contents(path, "a certificate", error))?;
    write_new(path, text.as_bytes(), PUBLIC_MODE)
}

/// Reads a server's static key and the certificate for it.
///
/// # Errors
/// Those of [`read_secret`] and [`read_certificate`], and [`KeyFileError::Contents`] for a certificate that is not
/// for this key.
pub fn read_server_identity(
    static_key: impl AsRef<Path>,
    certificate: impl AsRef<Path>,
) -> Result<ServerIdentity, KeyFileError> {
    let key = read_secret(static_key)?;
    let path = certificate.as_ref();
    ServerIdentity::new(key, read_certificate(path)?)
        .map_err(|error| contents(path, "the certificate of this server's static key", error))
}

fn contents(path: &Path, expected: &'static str, problem: impl std::fmt::Display) -> KeyFileError {
    KeyFileError::Contents {
        path: path.to_owned(),
        expected,
        problem: problem.to_string(),
    }
}

fn open(path: &Path) -> Result<File, KeyFileError> {
    File::open(path).map_err(|source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    })
}

fn read_bounded(path: &Path, file: File) -> Result<Zeroizing<String>, KeyFileError> {
    // Full capacity at once: a growing buffer would leave copies of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX as usize + 1));
    file.take(KEY_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| KeyFileError::Read {
            path: path.to_owned(),
            source,
        })?;
    if bytes.len() as u64 > KEY_FILE_BYTES_MAX {
        return Err(contents(
            path,
            "a key file",
            format_args!("larger than {KEY_FILE_BYTES_MAX} bytes"),
        ));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(contents(path, "a text file", "invalid UTF-8")),
    }
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyFileError> {
    let failed = |source| KeyFileError::Write {
        path: path.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder(path));
    written.map_err(|source| {
        // Half a key must not stand in the way of the next attempt; the first error is the one to tell.
        let _ = std::fs::remove_file(path);
        failed(source)
    })
}

/// A new file survives a power cut only once its folder has been written as well.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
