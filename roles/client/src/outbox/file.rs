//! An outbox from outside of the role that it belongs to, whether or not that runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use thiserror::Error;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::text::header_hash_to_text;
use winze_runtime::clock::now_unix_ms;

use super::set_back::acknowledge;
use super::{Backlog, OUTBOX_SCHEMA, backlog, discard, parked_page, release};
use crate::limits::{OPERATOR_ROWS_PER_STEP, STORE_BUSY_TIMEOUT_MS};
use crate::store::StoreError;

/// A role's SQLite file, opened beside the role.
pub struct OutboxFile {
    connection: Connection,
}

/// Why an outbox cannot be looked at.
#[derive(Debug, Error)]
pub enum OutboxFileError {
    /// There is no such file.
    #[error("{}: there is no such file", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is no store of a role that asks.
    #[error("{} holds no outbox: it is not the store file of a role that asks, as a pool's is", path.display())]
    NoOutbox {
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

/// Whom a role asks, and how much lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxPeer {
    /// Peer name.
    pub peer: String,
    /// The family, without the channel bit.
    pub extension: u16,
    /// How much waits and is parked.
    pub backlog: Backlog,
    /// Requests that were given up, of which the role has yet to take note.
    pub discarded: u64,
}

/// A request as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// See [`StoredRequest::sequence`](super::StoredRequest::sequence).
    pub sequence: u64,
    /// See [`NewRequest::key`](super::NewRequest::key).
    pub key: Vec<u8>,
    /// When it was made.
    pub created_unix_ms: u64,
    /// How often it was sent, as of about a second ago.
    pub attempts: u32,
    /// When it was last sent; `None` where it was not.
    pub last_sent_unix_ms: Option<u64>,
    /// When it was parked; `None` where it waits.
    pub parked_unix_ms: Option<u64>,
    /// Why it was parked, or last put off.
    pub error: Option<String>,
}

/// A request's key as its family writes it: a header hash as block hashes are written, else hex.
pub fn key_to_text(extension: u16, key: &[u8]) -> String {
    match <&[u8; 32]>::try_from(key) {
        Ok(header_hash) if extension == EXT_MINT_QUOTE => header_hash_to_text(header_hash),
        _ => hex::encode(key),
    }
}

impl OutboxFile {
    /// Opens it to look only: nothing that is done through it changes the file.
    ///
    /// # Errors
    /// [`OutboxFileError`].
    pub fn open_read_only(path: &Path) -> Result<OutboxFile, OutboxFileError> {
        let file = OutboxFile::open_with(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        file.connection
            .pragma_update(None, "query_only", true)
            .map_err(at(path))?;
        Ok(file)
    }

    /// Opens it to change what is parked. SQLite's own locks order that with what a running role
    /// writes.
    ///
    /// # Errors
    /// [`OutboxFileError`].
    pub fn open(path: &Path) -> Result<OutboxFile, OutboxFileError> {
        let file = OutboxFile::open_with(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        file.connection
            .pragma_update(None, "synchronous", "FULL")
            .map_err(at(path))?;
        Ok(file)
    }

    fn open_with(path: &Path, flags: OpenFlags) -> Result<OutboxFile, OutboxFileError> {
        if !path.exists() {
            return Err(OutboxFileError::Missing {
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
                    [OUTBOX_SCHEMA.name],
                    |row| row.get(0),
                )
                .optional()
                .map_err(at(path))?,
            false => None,
        };
        let path = path.to_owned();
        let known = OUTBOX_SCHEMA.migrations.len();
        match found {
            None => Err(OutboxFileError::NoOutbox { path }),
            Some(found) if found < known => Err(OutboxFileError::Older { path, found, known }),
            Some(found) if found > known => Err(OutboxFileError::Store {
                path,
                source: StoreError::NewerSchema {
                    name: OUTBOX_SCHEMA.name,
                    found,
                    known,
                },
            }),
            Some(_) => Ok(OutboxFile { connection }),
        }
    }

    /// Whom the role asks, by name.
    pub fn peers(&self) -> Result<Vec<OutboxPeer>, StoreError> {
        let mut statement = self.connection.prepare(
            "SELECT peer, extension FROM outbox_peer WHERE last_sequence > 0
                 ORDER BY peer, extension",
        )?;
        let names = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<Vec<(String, u16)>, _>>()?;
        let mut discarded = self
            .connection
            .prepare("SELECT count(*) FROM outbox_discarded WHERE peer = ?1 AND extension = ?2")?;
        names
            .into_iter()
            .map(|(peer, extension)| {
                Ok(OutboxPeer {
                    backlog: backlog(&self.connection, &peer, extension)?,
                    discarded: discarded.query_row(params![peer, extension], |row| row.get(0))?,
                    peer,
                    extension,
                })
            })
            .collect()
    }

    /// Up to `rows_max` requests to `peer` that wait, the oldest first.
    pub fn waiting(&self, peer: &OutboxPeer, rows_max: usize) -> Result<Vec<Shown>, StoreError> {
        self.shown(
            "SELECT sequence, key, created_unix_ms, attempts, last_sent_unix_ms, NULL, error
             FROM outbox WHERE peer = ?1 AND extension = ?2 AND state = 0
             ORDER BY sequence LIMIT ?3",
            peer,
            rows_max,
        )
    }

    /// Up to `rows_max` requests to `peer` that are parked, the oldest first.
    pub fn parked(&self, peer: &OutboxPeer, rows_max: usize) -> Result<Vec<Shown>, StoreError> {
        self.shown(
            "SELECT sequence, key, created_unix_ms, attempts, last_sent_unix_ms, ended_unix_ms, error
             FROM outbox WHERE peer = ?1 AND extension = ?2 AND state = 2
             ORDER BY sequence LIMIT ?3",
            peer,
            rows_max,
        )
    }

    fn shown(
        &self,
        sql: &str,
        peer: &OutboxPeer,
        rows_max: usize,
    ) -> Result<Vec<Shown>, StoreError> {
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map(
            params![peer.peer, peer.extension, rows_max],
            |row: &Row<'_>| {
                Ok(Shown {
                    sequence: row.get(0)?,
                    key: row.get(1)?,
                    created_unix_ms: row.get(2)?,
                    attempts: row.get(3)?,
                    last_sent_unix_ms: row.get(4)?,
                    parked_unix_ms: row.get(5)?,
                    error: row.get(6)?,
                })
            },
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Has the parked request that [`key_to_text`] writes as `key` sent again: to whichever peers
    /// it was for. How many that were.
    pub fn retry(&mut self, key: &str) -> Result<u64, StoreError> {
        self.one(key, release)
    }

    /// [`Self::retry`] of everything that is parked.
    pub fn retry_all(&mut self) -> Result<u64, StoreError> {
        self.all(release)
    }

    /// Gives up the parked request that [`key_to_text`] writes as `key`; see
    /// [`discard`]. How many that were.
    pub fn discard(&mut self, key: &str) -> Result<u64, StoreError> {
        self.one(key, discard)
    }

    /// [`Self::discard`] of everything that is parked.
    pub fn discard_all(&mut self) -> Result<u64, StoreError> {
        self.all(discard)
    }

    /// The operator has seen that stores were set back ([`Backlog::set_back`],
    /// [`Backlog::peer_set_back`]). How many notices there were.
    pub fn acknowledge(&mut self) -> Result<u64, StoreError> {
        acknowledge(&self.connection, now_unix_ms())
    }

    fn one(&mut self, text: &str, act: Act) -> Result<u64, StoreError> {
        let Ok(bytes) = hex::decode(text) else {
            return Ok(0);
        };
        let mut acted = 0;
        for peer in self.peers()? {
            let mut key = bytes.clone();
            if key_to_text(peer.extension, &key) != text.to_ascii_lowercase() {
                key.reverse();
            }
            acted += self.step(&peer, &[key], act)?;
        }
        Ok(acted)
    }

    /// In steps, between which a running role has its turn.
    fn all(&mut self, act: Act) -> Result<u64, StoreError> {
        let mut acted = 0;
        for peer in self.peers()? {
            // Once through: what a running role parks again meanwhile stays parked.
            let mut after = 0;
            loop {
                let (name, rows_max) = (&peer.peer, OPERATOR_ROWS_PER_STEP);
                let page = parked_page(&self.connection, name, peer.extension, after, rows_max)?;
                let Some(last) = page.last() else {
                    break;
                };
                after = last.sequence;
                let keys: Vec<Vec<u8>> = page.into_iter().map(|parked| parked.key).collect();
                acted += self.step(&peer, &keys, act)?;
            }
        }
        Ok(acted)
    }

    fn step(&mut self, peer: &OutboxPeer, keys: &[Vec<u8>], act: Act) -> Result<u64, StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut acted = 0;
        for key in keys {
            acted += u64::from(act(&transaction, &peer.peer, peer.extension, key)?);
        }
        transaction.commit()?;
        Ok(acted)
    }
}

type Act = fn(&Connection, &str, u16, &[u8]) -> Result<bool, StoreError>;

fn at(path: &Path) -> impl Fn(rusqlite::Error) -> OutboxFileError + '_ {
    |source| OutboxFileError::Store {
        path: path.to_owned(),
        source: source.into(),
    }
}
