//! How requests are looked up.

use rusqlite::{CachedStatement, Connection, OptionalExtension};

use super::index::{KEYS, hash, hash_of_further, table_and_row};
use super::row::{StoredAnswer, Table};
use super::{Asked, Found, NumberedAnswer};
use crate::sabotage::{Rule, is_broken};
use crate::store::{KeyFinder, StoreError};

/// Looks a request up, on the connection that writes. Reads only.
pub fn find(connection: &Connection, asked: &Asked<'_>) -> Result<Found, StoreError> {
    Finding::new(connection)?.find(asked, hash(asked.extension, asked.key))
}

/// [`find`] for many requests.
pub(crate) struct Finding<'a> {
    keys: KeyFinder<'a>,
    effect: CachedStatement<'a>,
    given: CachedStatement<'a>,
}

impl<'a> Finding<'a> {
    pub(crate) fn new(connection: &'a Connection) -> Result<Finding<'a>, StoreError> {
        Ok(Finding {
            keys: KEYS.finder(connection)?,
            effect: connection.prepare_cached(
                "SELECT extension, key, peer, content, msg_type, body, sequence, checksum
                 FROM answer_effect WHERE id = ?1",
            )?,
            given: connection.prepare_cached(
                "SELECT extension, key, peer, content, msg_type, body, sequence, checksum
                 FROM answer_given WHERE id = ?1",
            )?,
        })
    }

    /// See [`find`]; `by_key` is the [`hash`] of the request's key.
    pub(crate) fn find(&mut self, asked: &Asked<'_>, by_key: i64) -> Result<Found, StoreError> {
        let mut effect = None;
        let mut has_other_content = false;
        let mut leads_nowhere = None;
        for place in self.keys.find(by_key)? {
            let (table, row_id) = table_and_row(place);
            let Some(stored) = self.read(table, row_id)? else {
                leads_nowhere = Some((table, row_id));
                continue;
            };
            if stored.key != asked.key || stored.extension != asked.extension {
                continue;
            }
            let is_same = stored.content == asked.content;
            let is_theirs = stored.peer == asked.peer;
            match table {
                Table::Effect => effect = Some((stored.numbered, is_same, is_theirs)),
                Table::Given if !is_theirs => {}
                Table::Given if is_same => return Ok(Found::Given(stored.numbered)),
                Table::Given => has_other_content = true,
            }
        }
        if (effect.is_some() || has_other_content)
            && let Some(further) = self.further(asked)?
        {
            return Ok(Found::Given(further));
        }
        Ok(match effect {
            Some((numbered, true, true)) => Found::Given(numbered),
            Some((numbered, true, false)) => Found::Effect(numbered.answer),
            Some((numbered, false, _)) if is_broken(Rule::ConflictOnOtherContent) => {
                Found::Effect(numbered.answer)
            }
            Some((_, false, _)) => Found::Conflict,
            None if has_other_content => Found::Conflict,
            None => match leads_nowhere {
                None => Found::Nothing,
                Some((table, row_id)) => return Err(is_gone(table, row_id, asked)),
            },
        })
    }

    /// See [`hash_of_further`].
    fn further(&mut self, asked: &Asked<'_>) -> Result<Option<NumberedAnswer>, StoreError> {
        for place in self.keys.find(hash_of_further(asked))? {
            let (table, row_id) = table_and_row(place);
            let Some(stored) = self.read(table, row_id)? else {
                return Err(is_gone(table, row_id, asked));
            };
            let is_it = stored.extension == asked.extension
                && stored.key == asked.key
                && stored.peer == asked.peer
                && stored.content == asked.content;
            if is_it {
                return Ok(Some(stored.numbered));
            }
        }
        Ok(None)
    }

    /// First of all whether it is what was recorded: a damaged key would look like another one with the same hash.
    fn read(&mut self, table: Table, row_id: i64) -> Result<Option<StoredAnswer>, StoreError> {
        let select = match table {
            Table::Effect => &mut self.effect,
            Table::Given => &mut self.given,
        };
        let stored = select.query_row([row_id], StoredAnswer::read).optional()?;
        stored.map(|stored| stored.whole(table)).transpose()
    }
}

fn is_gone(table: Table, row_id: i64, asked: &Asked<'_>) -> StoreError {
    StoreError::Corrupt {
        table: table.name(),
        detail: format!(
            "row {row_id} is gone, which may be the answer to {}",
            hex::encode(asked.key)
        ),
    }
}

/// Where the record ended at a time: while it ends there nothing was added, whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordEnd {
    effect: i64,
    given: i64,
}

impl RecordEnd {
    /// Where it ends now. Rows are never deleted, so ids only rise.
    pub(crate) fn read(connection: &Connection) -> Result<RecordEnd, StoreError> {
        let end = connection
            .prepare_cached(
                "SELECT (SELECT coalesce(max(id), 0) FROM answer_effect),
                        (SELECT coalesce(max(id), 0) FROM answer_given)",
            )?
            .query_row([], |row| {
                Ok(RecordEnd {
                    effect: row.get(0)?,
                    given: row.get(1)?,
                })
            })?;
        Ok(end)
    }
}
