//! How requests are looked up.

use rusqlite::{CachedStatement, Connection, OptionalExtension};

use super::index::{KEYS, hash, table_and_row};
use super::row::{StoredAnswer, Table};
use super::{Asked, Found};
use crate::sabotage::{Rule, is_broken};
use crate::store::{KeyFinder, StoreError};

/// Looks a request up, on the connection that writes. Reads only.
pub fn find(connection: &Connection, asked: &Asked<'_>) -> Result<Found, StoreError> {
    Finding::new(connection)?.find(asked)
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

    /// See [`find`].
    pub(crate) fn find(&mut self, asked: &Asked<'_>) -> Result<Found, StoreError> {
        let places = self.keys.find(hash(asked.extension, asked.key))?;
        let mut effect = None;
        let mut has_other_content = false;
        let mut leads_nowhere = None;
        for place in places {
            let (table, row_id) = table_and_row(place);
            let select = match table {
                Table::Effect => &mut self.effect,
                Table::Given => &mut self.given,
            };
            let stored = select.query_row([row_id], StoredAnswer::read).optional()?;
            let Some(stored) = stored else {
                leads_nowhere = Some((table, row_id));
                continue;
            };
            // First whether it is what was recorded: a damaged key would look like another one with the same hash.
            let stored = stored.whole(table)?;
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
                Some((table, row_id)) => {
                    return Err(StoreError::Corrupt {
                        table: table.name(),
                        detail: format!(
                            "row {row_id} is gone, which may be the answer to {}",
                            hex::encode(asked.key)
                        ),
                    });
                }
            },
        })
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
