use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;
use thiserror::Error;

/// Why something was not stored or not read. Cheap to clone: one failed commit is the answer to
/// every job that shared it.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// The caller's misuse, or a peer's: the key is there with other content.
    #[error("{table} already holds key {key_hex} of {peer} with other content")]
    Conflict {
        /// Which table.
        table: &'static str,
        /// Whose key.
        peer: String,
        /// The key in hex.
        key_hex: String,
    },
    /// The job's own reason to be rolled back.
    #[error("rolled back: {reason}")]
    Aborted {
        /// As the job gave it.
        reason: String,
    },
    /// The job panicked and was rolled back.
    #[error("the job panicked and was rolled back")]
    Panicked,
    /// The transaction that this job shared with others was lost, and nothing of it was kept.
    #[error("rolled back with the transaction that it shared: {cause}")]
    RolledBack {
        /// What ended the transaction.
        cause: String,
    },
    /// What lies in the file is not what this program writes there.
    #[error("{table} holds a row that cannot be read: {detail}")]
    Corrupt {
        /// Which table.
        table: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The file's structure, or a record in it that nothing can replace, is damaged.
    #[error(
        "{} is damaged ({detail}). Restore it from a backup; or save what is whole with \
         `sqlite3 FILE .recover` into another file, and look at what is missing there",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// SQLite's or the disk's failure.
    #[error("database: {0}")]
    Sqlite(#[from] Arc<rusqlite::Error>),
    /// The file cannot be made, opened or protected.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Another process, or another store in this one, has the file open.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database, and not one that this role may write to.
    #[error("it is not this role's: {found}")]
    Foreign {
        /// Whose it is, as far as it shows.
        found: String,
    },
    /// A newer program wrote this file.
    #[error("schema {name} has version {found}, this program knows up to {known}")]
    NewerSchema {
        /// Which schema.
        name: &'static str,
        /// The version in the file.
        found: usize,
        /// The newest one known here.
        known: usize,
    },
    /// The store is being closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether it is the disk's doing (full, read-only, failing, damaged), and not that of the job:
    /// any other job may fare alike until the operator has seen to it.
    pub fn is_the_disks(&self) -> bool {
        match self {
            StoreError::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::DiskFull
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::ReadOnly
                        | ErrorCode::CannotOpen
                        | ErrorCode::PermissionDenied
                        | ErrorCode::DatabaseCorrupt
                        | ErrorCode::NotADatabase
                )
            ),
            StoreError::File { .. } | StoreError::Corrupt { .. } | StoreError::Damaged { .. } => {
                true
            }
            _ => false,
        }
    }
}

impl StoreError {
    /// At the start, damage is told with what can be done about it.
    pub(super) fn at_open(self, path: &Path) -> StoreError {
        let is_damage = match &self {
            StoreError::Corrupt { .. } => true,
            StoreError::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            _ => false,
        };
        match is_damage {
            true => StoreError::Damaged {
                path: path.to_owned(),
                detail: self.to_string(),
            },
            false => self,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        StoreError::Sqlite(Arc::new(error))
    }
}
