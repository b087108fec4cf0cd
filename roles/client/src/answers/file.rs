//! A record of answers from outside of the role that it belongs to, whether or not that runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use thiserror::Error;

use super::{ANSWERS_SCHEMA, AnsweredPeer, accept, peers};
use crate::limits::STORE_BUSY_TIMEOUT_MS;
use crate::store::StoreError;

/// A role's SQLite file, opened beside the role.
pub struct AnswersFile {
    connection: Connection,
}

/// Why a record of answers cannot be looked at.
#[derive(Debug, Error)]
pub enum AnswersFileError {
    /// There is no such file.
    #[error("{}: there is no such file", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is no store of a role that answers.
    #[error("{} holds no answers: it is not the store file of a role that answers, as a mint's is", path.display())]
    NoAnswers {
        /// The file.
        path: PathBuf,
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

impl AnswersFile {
    /// Opens it to look only: nothing that is done through it changes the file.
    ///
    /// # Errors
    /// [`AnswersFileError`].
    pub fn open_read_only(path: &Path) -> Result<AnswersFile, AnswersFileError> {
        let file = AnswersFile::open_with(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        file.connection
            .pragma_update(None, "query_only", true)
            .map_err(at(path))?;
        Ok(file)
    }

    /// Opens it to [`Self::accept`]. SQLite's own locks order that with what a running role writes.
    ///
    /// # Errors
    /// [`AnswersFileError`].
    pub fn open(path: &Path) -> Result<AnswersFile, AnswersFileError> {
        let file = AnswersFile::open_with(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        file.connection
            .pragma_update(None, "synchronous", "FULL")
            .map_err(at(path))?;
        Ok(file)
    }

    fn open_with(path: &Path, flags: OpenFlags) -> Result<AnswersFile, AnswersFileError> {
        if !path.exists() {
            return Err(AnswersFileError::Missing {
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
                    [ANSWERS_SCHEMA.name],
                    |row| row.get(0),
                )
                .optional()
                .map_err(at(path))?,
            false => None,
        };
        let path = path.to_owned();
        let known = ANSWERS_SCHEMA.migrations.len();
        match found {
            None => Err(AnswersFileError::NoAnswers { path }),
            Some(found) if found < known => Err(AnswersFileError::Older { path, found, known }),
            Some(found) if found > known => Err(AnswersFileError::Store {
                path,
                source: StoreError::NewerSchema {
                    name: ANSWERS_SCHEMA.name,
                    found,
                    known,
                },
            }),
            Some(_) => Ok(AnswersFile { connection }),
        }
    }

    /// Whom the role answers, by name, and how far it has come with each.
    pub fn peers(&self) -> Result<Vec<AnsweredPeer>, StoreError> {
        peers(&self.connection)
    }

    /// The operator's word that new answers may be given again: to `peer`, or to everybody. Gives
    /// the names of those that were waiting for it. A role that runs goes on at once.
    pub fn accept(
        &mut self,
        peer: Option<&str>,
        now_unix_ms: u64,
    ) -> Result<Vec<String>, StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut accepted = Vec::new();
        for known in peers(&transaction)? {
            if peer.is_none_or(|peer| peer == known.peer)
                && accept(&transaction, known.extension, &known.peer, now_unix_ms)?
            {
                accepted.push(known.peer);
            }
        }
        transaction.commit()?;
        Ok(accepted)
    }
}

fn at(path: &Path) -> impl Fn(rusqlite::Error) -> AnswersFileError + '_ {
    |source| AnswersFileError::Store {
        path: path.to_owned(),
        source: source.into(),
    }
}
