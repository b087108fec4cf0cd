//! An outbox from outside of the role that it belongs to, whether or not that runs.

use std::path::Path;

use rusqlite::{Connection, Row, params};
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::text::header_hash_to_text;
use winze_runtime::clock::now_unix_ms;

use super::place::{Place, sequence_of};
use super::set_back::acknowledge;
use super::{Backlog, OUTBOX_SCHEMA, backlog, blocks, discard, parked_page, release};
use crate::limits::OPERATOR_ROWS_PER_STEP;
use crate::store::{StoreError, StoreFileError, beside};

const WANTED: &str = "outbox: it is not the store file of a role that asks, as a pool's is";

/// A role's SQLite file, opened beside the role.
pub struct OutboxFile {
    connection: Connection,
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
    /// [`StoreFileError`].
    pub fn open_read_only(path: &Path) -> Result<OutboxFile, StoreFileError> {
        let connection = beside::open_read_only(path, &OUTBOX_SCHEMA, WANTED)?;
        Ok(OutboxFile { connection })
    }

    /// Opens it to change what is parked. SQLite's own locks order that with what a running role
    /// writes.
    ///
    /// # Errors
    /// [`StoreFileError`].
    pub fn open(path: &Path) -> Result<OutboxFile, StoreFileError> {
        let connection = beside::open(path, &OUTBOX_SCHEMA, WANTED)?;
        Ok(OutboxFile { connection })
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
        let columns = "o.id, o.key, o.created_unix_ms, o.last_sent_unix_ms, NULL, o.error";
        self.shown(&blocks::waiting_rows(columns), peer, rows_max)
    }

    /// Up to `rows_max` requests to `peer` that are parked, the oldest first.
    pub fn parked(&self, peer: &OutboxPeer, rows_max: usize) -> Result<Vec<Shown>, StoreError> {
        self.shown(
            "SELECT id, key, created_unix_ms, last_sent_unix_ms, parked_unix_ms, error, attempts
             FROM outbox WHERE is_parked = 1 AND id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
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
        let Some(place) = Place::find(&self.connection, &peer.peer, peer.extension)? else {
            return Ok(Vec::new());
        };
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map(
            params![place.id(0), place.last_id(), rows_max],
            |row: &Row<'_>| {
                Ok(Shown {
                    sequence: sequence_of(row.get(0)?),
                    key: row.get(1)?,
                    created_unix_ms: row.get(2)?,
                    last_sent_unix_ms: row.get(3)?,
                    parked_unix_ms: row.get(4)?,
                    error: row.get(5)?,
                    attempts: row.get(6)?,
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
