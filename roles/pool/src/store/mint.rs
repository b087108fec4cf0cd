//! Which mint a store belongs to. Its waiting requests name that mint's keyset and lie under its name: another mint
//! would refuse them for good, or never be sent them.

use std::fmt;

use rusqlite::{Connection, OptionalExtension, params};
use winze_client::{StoreError, outbox};
use winze_messages::families::mint_quote::EXT_MINT_QUOTE;
use winze_transport::PublicKey;

use super::{Ledger, WAITING};

/// Parked requests that are looked at between two queries.
const PARKED_PAGE: usize = 1_000;

/// A mint by name and key; a change of either makes it another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintId {
    /// Its peer name, `mint/main`.
    pub peer: String,
    /// Its identity key.
    pub key: PublicKey,
}

/// The configuration names another mint than the one that the store's requests are for. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the store belongs to {remembered}, and mint in the configuration is {configured}; {waiting} quote requests wait for \
     the old mint, and {parked} are parked with no answer: start with the old mint until they are answered, or set \
     another store_file and keep this one"
)]
pub struct OtherMint {
    /// Whose the store is.
    pub remembered: MintId,
    /// Whom the configuration names.
    pub configured: MintId,
    /// Requests that wait for an answer of the former.
    pub waiting: u64,
    /// Requests that were put aside without one, and of which their miners have heard nothing.
    pub parked: u64,
}

impl Ledger {
    /// Makes the store the configured mint's, if it is not already: then the keysets of the one before are forgotten.
    /// To be called before anything is recorded.
    ///
    /// # Errors
    /// Inside, [`OtherMint`] when it is another mint's and not all of its requests were answered. Outside, what the
    /// store says.
    pub async fn belong_to_mint(&self) -> Result<Result<(), OtherMint>, StoreError> {
        let configured = self.settings.mint.clone();
        self.store
            .write(move |tx| belong_to(tx, configured.clone()))
            .await
    }
}

fn belong_to(tx: &Connection, configured: MintId) -> Result<Result<(), OtherMint>, StoreError> {
    if let Some(remembered) = remembered(tx)? {
        if remembered == configured {
            return Ok(Ok(()));
        }
        let waiting = outbox::waiting(tx, &remembered.peer, EXT_MINT_QUOTE)?;
        let parked = parked_without_answer(tx, &remembered.peer)?;
        if waiting > 0 || parked > 0 {
            return Ok(Err(OtherMint {
                remembered,
                configured,
                waiting,
                parked,
            }));
        }
    }
    tx.execute("DELETE FROM pool_keyset", [])?;
    tx.execute("DELETE FROM pool_redis_keyset", [])?;
    // They go by the numbers that requests to the other mint had.
    tx.execute("DELETE FROM pool_pushed", [])?;
    tx.execute(
        "INSERT OR REPLACE INTO pool_mint (only_row, peer, key) VALUES (1, ?1, ?2)",
        params![configured.peer, configured.key.as_bytes()],
    )?;
    Ok(Ok(()))
}

fn remembered(tx: &Connection) -> Result<Option<MintId>, StoreError> {
    let row: Option<(String, [u8; 32])> = tx
        .query_row("SELECT peer, key FROM pool_mint", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((peer, key)) = row else {
        return Ok(None);
    };
    let key = PublicKey::from_bytes(key).map_err(|error| StoreError::Corrupt {
        table: "pool_mint",
        detail: error.to_string(),
    })?;
    Ok(Some(MintId { peer, key }))
}

/// Parked requests that the mint has not refused: their shares still wait for a quote.
fn parked_without_answer(tx: &Connection, peer: &str) -> Result<u64, StoreError> {
    let mut waiting =
        tx.prepare_cached("SELECT 1 FROM pool_share WHERE header_hash = ?1 AND state = ?2")?;
    let mut count = 0;
    let mut after = 0;
    loop {
        let page = outbox::parked_page(tx, peer, EXT_MINT_QUOTE, after, PARKED_PAGE)?;
        let Some(last) = page.last() else {
            return Ok(count);
        };
        after = last.sequence;
        for request in &page {
            count += u64::from(waiting.exists(params![request.key, WAITING])?);
        }
    }
}

impl fmt::Display for MintId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with the key {}", self.peer, self.key)
    }
}
