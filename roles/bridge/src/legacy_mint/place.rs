//! Which list, and which mint, the open requests were pushed to: they must not follow a changed configuration, or a list that
//! changed hands, to another mint.

use rusqlite::{Connection, OptionalExtension};
use winze_client::{Store, StoreError};

use super::limits::SWEEP_ROWS;
use super::rows;
use crate::config::{BridgeConfig, LegacyMintConfig};
use crate::error::BridgeError;

/// The configuration names another list than the one that holds, or held, the requests which are open. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{open} requests without a quote's id were pushed to {remembered}, and [legacy_mint] names {configured} now: a mint there \
     could make second quotes of them. Start with the former until none is open; or, where this is the same mint's list \
     under another name, or that mint's quotes are gone, say so with legacy_mint.moved_from = \"{remembered}\""
)]
pub struct OtherList {
    /// Where they were pushed, as `<address>/<database>/<list>`.
    pub remembered: String,
    /// What the configuration names.
    pub configured: String,
    /// How many are open.
    pub open: u64,
}

/// Remembers where requests are pushed from now on. To be called before anything is.
///
/// # Errors
/// [`BridgeError::OtherList`], and [`BridgeError::Store`] where the store fails.
pub(crate) async fn belong_to_list(
    store: &Store,
    config: &BridgeConfig,
    direction: &LegacyMintConfig,
) -> Result<(), BridgeError> {
    let (address, database) = (&config.redis.address, config.redis.database);
    let configured = format!("{address}/{database}/{}", config.legacy_list());
    let (mut open, mut after) = (0, Some(0));
    while let Some(from) = after {
        let swept = store.write(move |c| {
            let mut left = Vec::new();
            let last = rows::sweep(c, from, SWEEP_ROWS, &mut left)?;
            Ok((last, left.len() as u64))
        });
        let (last, left) = swept.await?;
        after = last;
        open += left;
    }
    let moved_from = direction.moved_from.clone();
    let belongs = store.write(move |c| {
        let remembered = remembered(c)?.unwrap_or_else(|| configured.clone());
        let is_told = moved_from.as_ref() == Some(&remembered);
        if remembered != configured && open > 0 && !is_told {
            return Ok(Err(OtherList {
                remembered,
                configured,
                open,
            }));
        }
        if open == 0 || is_told {
            // Whose keyset is seen next, its they are.
            c.execute("UPDATE bridge_pushed_to SET keyset_id = NULL", [])?;
        }
        c.execute(
            "INSERT INTO bridge_pushed_to (only_row, place) VALUES (1, ?1)
             ON CONFLICT (only_row) DO UPDATE SET place = excluded.place",
            [&configured],
        )?;
        Ok(Ok(()))
    });
    belongs.await?.map_err(|other| Box::new(other).into())
}

fn remembered(connection: &Connection) -> Result<Option<String>, StoreError> {
    let place = connection.query_row("SELECT place FROM bridge_pushed_to", [], |row| row.get(0));
    Ok(place.optional()?)
}

/// The keyset of the mint that the open requests were pushed to, as far as it is known.
pub(super) async fn keyset_id(store: &Store) -> Result<Option<Vec<u8>>, StoreError> {
    let read = store.read(|c| {
        let id = c.query_row("SELECT keyset_id FROM bridge_pushed_to", [], |row| {
            row.get(0)
        });
        Ok(id.optional()?.flatten())
    });
    read.await
}

/// Nothing is open that was pushed to a mint with another one.
pub(super) async fn keep_keyset_id(store: &Store, id: Vec<u8>) -> Result<(), StoreError> {
    let kept = store.write_repeatable(move |c| {
        c.execute("UPDATE bridge_pushed_to SET keyset_id = ?1", [&id])?;
        Ok(())
    });
    kept.await
}
