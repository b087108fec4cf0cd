//! A role's store file from outside of the role, whether or not that runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use thiserror::Error;

use super::{Schema, StoreError};
use crate::limits::STORE_BUSY_TIMEOUT_MS;

/// Why a role's store file cannot be looked at.
#[derive(Debug, Error)]
pub enum StoreFileError {
    /// There is no such file.
    #[error("{}: there is no such file", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is no store of a role that keeps this.
    #[error("{} holds no {wanted}", path.display())]
    NotThere {
        /// The file.
        path: PathBuf,
        /// What was looked for, and whose it is.
        wanted: &'static str,
    },
    /// An older program made it.
    #[error("{} is of version {found} and this program works with {known}: start its role once, which brings it up to date", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: usize,
        /// The one known here.
        known: usize,
    },
    /// It cannot be opened, read or written; or a newer program made it.
    #[error("{}: {source}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: StoreError,
    },
}

/// Opens a role's file to look only: nothing that is done through it changes the file. `wanted` says for a person what
/// `schema` is and whose.
pub(crate) fn open_read_only(
    path: &Path,
    schema: &Schema,
    wanted: &'static str,
) -> Result<Connection, StoreFileError> {
    let connection = open_with(path, schema, wanted, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(at(path))?;
    Ok(connection)
}

/// Opens a role's file to change it. SQLite's own locks order that with what a running role writes.
pub(crate) fn open(
    path: &Path,
    schema: &Schema,
    wanted: &'static str,
) -> Result<Connection, StoreFileError> {
    let connection = open_with(path, schema, wanted, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(at(path))?;
    // The log is the role's to copy: SQLite before 3.51.3 can forget what is committed while another connection copies.
    connection
        .pragma_update(None, "wal_autocheckpoint", 0)
        .map_err(at(path))?;
    Ok(connection)
}

fn open_with(
    path: &Path,
    schema: &Schema,
    wanted: &'static str,
    flags: OpenFlags,
) -> Result<Connection, StoreFileError> {
    if !path.exists() {
        return Err(StoreFileError::Missing {
            path: path.to_owned(),
        });
    }
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(at(path))?;
    connection
        .busy_timeout(Duration::from_millis(STORE_BUSY_TIMEOUT_MS))
        .map_err(at(path))?;
    let is_ours = connection
        .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'winze_schema'")
        .and_then(|mut statement| statement.exists([]))
        .map_err(at(path))?;
    let found: Option<usize> = match is_ours {
        true => connection
            .query_row(
                "SELECT version FROM winze_schema WHERE name = ?1",
                [schema.name],
                |row| row.get(0),
            )
            .optional()
            .map_err(at(path))?,
        false => None,
    };
    let path = path.to_owned();
    let known = schema.migrations.len();
    match found {
        None => Err(StoreFileError::NotThere { path, wanted }),
        Some(found) if found < known => Err(StoreFileError::Older { path, found, known }),
        Some(found) if found > known => Err(StoreFileError::Store {
            path,
            source: StoreError::NewerSchema {
                name: schema.name,
                found,
                known,
            },
        }),
        Some(_) => Ok(connection),
    }
}

fn at(path: &Path) -> impl Fn(rusqlite::Error) -> StoreFileError + '_ {
    |source| StoreFileError::Store {
        path: path.to_owned(),
        source: source.into(),
    }
}
