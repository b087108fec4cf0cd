//! Configuration files: TOML, one struct per role, unknown keys refused by the struct
//! (`#[serde(deny_unknown_fields)]`), relative paths relative to the file that names them.

mod path;
mod public_key;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub use path::ConfigPath;
pub use public_key::PublicKeySource;

use crate::limits::CONFIG_FILE_BYTES_MAX;

/// Why a configuration file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path}: cannot read the configuration: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is larger than [`CONFIG_FILE_BYTES_MAX`].
    #[error("{path}: larger than {CONFIG_FILE_BYTES_MAX} bytes, not a configuration", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not TOML, has a key that does not exist, lacks one, or has a value of the wrong kind.
    #[error("{path}:{line}: {message}{key}", path = path.display(), key = in_key(key))]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line of the mistake, from 1. A key that is missing is reported at the table that lacks it.
        line: usize,
        /// The key with its table (`limits.idle_timeout_ms`) where one could be told, else empty.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// The file is for another role than the one that was started.
    #[error("{path}:{line}: this is the configuration of role {found:?}, not of {wanted:?}", path = path.display())]
    OtherRole {
        /// The file.
        path: PathBuf,
        /// Line of the top-level key `role`, from 1.
        line: usize,
        /// The role that the file names.
        found: String,
        /// The role that was started.
        wanted: String,
    },
    /// A value is well formed and yet cannot be used: a role's own check found it.
    #[error("{path}: {key}: {message}", path = path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key with its table (`limits.idle_timeout_ms`).
        key: String,
        /// What is wrong with its value.
        message: String,
    },
}

fn in_key(key: &str) -> String {
    if key.is_empty() {
        String::new()
    } else {
        format!(" (at `{key}`)")
    }
}

/// Reads `path` into `T`. Relative [`ConfigPath`]s in it are taken from the folder of `path`.
///
/// A top-level key `role` says whose configuration the file is and is not handed to `T`; see [`load_role`].
///
/// # Errors
/// [`ConfigError::Read`], [`ConfigError::TooLarge`] or [`ConfigError::Parse`], each naming the file.
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T, ConfigError> {
    Document::read(path.as_ref())?.parse()
}

/// As [`load`], and refuses a file whose top-level key `role` names another role than `wanted`. A file without that
/// key is taken.
///
/// # Errors
/// Those of [`load`], and [`ConfigError::OtherRole`].
pub fn load_role<T: DeserializeOwned>(
    path: impl AsRef<Path>,
    wanted: &str,
) -> Result<T, ConfigError> {
    let document = Document::read(path.as_ref())?;
    match &document.role {
        Some((found, line)) if found != wanted => Err(ConfigError::OtherRole {
            path: document.path.clone(),
            line: *line,
            found: found.clone(),
            wanted: wanted.to_owned(),
        }),
        _ => document.parse(),
    }
}

/// The role that the top-level key `role` of a configuration file names, if it has that key.
///
/// # Errors
/// Those of [`load`] for a file that is not TOML at all.
pub fn role(path: impl AsRef<Path>) -> Result<Option<String>, ConfigError> {
    Ok(Document::read(path.as_ref())?.role.map(|(role, _)| role))
}

/// A file's text, with its `role` taken out of it.
struct Document {
    path: PathBuf,
    text: String,
    role: Option<(String, usize)>,
}

impl Document {
    fn read(path: &Path) -> Result<Document, ConfigError> {
        let mut text = read_text(path)?;
        let table =
            toml::de::DeTable::parse(&text).map_err(|error| parse_error(path, &text, &error))?;
        let entry = table
            .get_ref()
            .iter()
            .find(|(key, _)| key.get_ref() == "role");
        let mut role = None;
        if let Some((key, value)) = entry
            && let Some(found) = value.get_ref().as_str()
        {
            role = Some((
                found.to_owned(),
                line_of(&text, key.span().start),
                key.span().start..value.span().end,
            ));
        }
        let role = role.map(|(found, line, span)| {
            // Blanked, not cut, so that the lines and columns of later mistakes stay right.
            text.replace_range(span.clone(), &" ".repeat(span.len()));
            (found, line)
        });
        Ok(Document {
            path: path.to_owned(),
            text,
            role,
        })
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        path::with_base(folder_of(&self.path), || toml::from_str(&self.text))
            .map_err(|error| parse_error(&self.path, &self.text, &error))
    }
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let read = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(read)?;
    let mut text = String::new();
    file.take(CONFIG_FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(read)?;
    if text.len() as u64 > CONFIG_FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn parse_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start);
    ConfigError::Parse {
        path: path.to_owned(),
        line: line_of(text, at),
        key: key_at(text, at),
        message: error.message().trim_end().replace('\n', ", "),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The key that the byte at `at` belongs to, with the table above it. It reads lines, not grammar, and is there to
/// point a person to the place: a value is never shown, because it may be a password.
fn key_at(text: &str, at: usize) -> String {
    let line_end = text
        .get(at..)
        .and_then(|rest| rest.find('\n'))
        .map_or(text.len(), |length| at + length);
    let mut key = None;
    for line in text.get(..line_end).unwrap_or_default().lines().rev() {
        let line = line.trim();
        if line.starts_with('[') && !line.contains('=') {
            let table = line.trim_matches(['[', ']', ' ']).to_owned();
            return match key {
                Some(key) => format!("{table}.{key}"),
                None => table,
            };
        }
        if key.is_none()
            && !line.starts_with('#')
            && let Some((name, _)) = line.split_once('=')
        {
            key = Some(name.trim().trim_matches('"').to_owned());
        }
    }
    key.unwrap_or_default()
}

#[cfg(test)]
mod tests;
