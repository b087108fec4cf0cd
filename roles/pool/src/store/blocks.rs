//! Found blocks that the node has not judged yet: a pool that dies while its node is away must not take them with it.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use rusqlite::{Connection, params};
use winze_client::{Store, StoreError};

use crate::limits::{BLOCK_SUBMIT_MAX, BLOCKS_KEPT_MAX};
use crate::template::block::FoundBlock;

/// Where they are; clones share the store.
#[derive(Clone)]
pub struct Blocks {
    store: Store,
}

/// A block that an earlier life of the pool has left.
#[derive(Clone, Debug)]
pub struct KeptBlock {
    /// The block.
    pub block: Arc<FoundBlock>,
    /// How long ago it was found.
    pub age: Duration,
}

impl Blocks {
    /// `store` was opened with [`POOL_SCHEMA`](super::POOL_SCHEMA).
    pub fn new(store: Store) -> Blocks {
        Blocks { store }
    }

    /// Writes a block down. False, with nothing written, where it is there already or [`BLOCKS_KEPT_MAX`] of the last
    /// [`BLOCK_SUBMIT_MAX`] are.
    ///
    /// # Errors
    /// What the store says.
    pub async fn keep(&self, block: Arc<FoundBlock>, now_unix_ms: u64) -> Result<bool, StoreError> {
        self.store
            .write(move |tx| {
                forget_old(tx, now_unix_ms)?;
                let inserted = tx
                    .prepare_cached(
                        "INSERT INTO pool_block (hash, height, bytes, found_unix_ms)
                         SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM pool_block) < ?5
                         ON CONFLICT DO NOTHING",
                    )?
                    .execute(params![
                        block.hash.to_byte_array(),
                        block.height,
                        block.bytes,
                        now_unix_ms,
                        BLOCKS_KEPT_MAX
                    ])?;
                Ok(inserted == 1)
            })
            .await
    }

    /// Forgets a block, of which all is known.
    ///
    /// # Errors
    /// What the store says.
    pub async fn settled(&self, hash: BlockHash) -> Result<(), StoreError> {
        self.store
            .write(move |tx| {
                tx.prepare_cached("DELETE FROM pool_block WHERE hash = ?1")?
                    .execute([hash.to_byte_array()])?;
                Ok(())
            })
            .await
    }

    /// The blocks that are still worth offering, in the order in which they were found. Those older than
    /// [`BLOCK_SUBMIT_MAX`] are forgotten, and logged as lost.
    ///
    /// # Errors
    /// What the store says.
    pub async fn waiting(&self, now_unix_ms: u64) -> Result<Vec<KeptBlock>, StoreError> {
        let work = self.store.write(move |tx| {
            let lost = forget_old(tx, now_unix_ms)?;
            Ok((lost, rows(tx, now_unix_ms)?))
        });
        let (lost, waiting) = work.await?;
        for (hash, height) in lost {
            let hash = BlockHash::from_byte_array(hash);
            tracing::error!(%hash, height, "block lost: the pool was away for too long");
        }
        Ok(waiting)
    }
}

fn rows(tx: &Connection, now_unix_ms: u64) -> Result<Vec<KeptBlock>, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT hash, height, bytes, found_unix_ms FROM pool_block ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        let found_unix_ms: u64 = row.get(3)?;
        Ok(KeptBlock {
            block: Arc::new(FoundBlock {
                hash: BlockHash::from_byte_array(row.get(0)?),
                height: row.get(1)?,
                bytes: row.get(2)?,
            }),
            age: Duration::from_millis(now_unix_ms.saturating_sub(found_unix_ms)),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Hash and height of each.
fn forget_old(tx: &Connection, now_unix_ms: u64) -> Result<Vec<([u8; 32], u64)>, StoreError> {
    let before_unix_ms = now_unix_ms.saturating_sub(BLOCK_SUBMIT_MAX.as_millis() as u64);
    let mut statement = tx
        .prepare_cached("DELETE FROM pool_block WHERE found_unix_ms < ?1 RETURNING hash, height")?;
    let rows = statement.query_map([before_unix_ms], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const HOUR_MS: u64 = 3_600_000;

    fn blocks(folder: &Path) -> Blocks {
        let path = folder.join("pool.sqlite");
        Blocks::new(Store::open(&path, &[super::super::POOL_SCHEMA]).unwrap())
    }

    fn found(number: u8) -> Arc<FoundBlock> {
        Arc::new(FoundBlock {
            hash: BlockHash::from_byte_array([number; 32]),
            height: 1_000 + u64::from(number),
            bytes: vec![number; 100],
        })
    }

    #[tokio::test]
    async fn a_block_outlives_the_pool_until_it_is_settled_or_an_hour_old() {
        let folder = tempfile::tempdir().unwrap();
        let pool = blocks(folder.path());
        for number in 1..=3 {
            assert!(
                pool.keep(found(number), u64::from(number) * 1_000)
                    .await
                    .unwrap()
            );
        }
        pool.settled(found(2).hash).await.unwrap();
        drop(pool);

        let pool = blocks(folder.path());
        let kept = pool.waiting(4_000).await.unwrap();
        let numbers: Vec<u8> = kept.iter().map(|kept| kept.block.bytes[99]).collect();
        assert_eq!(numbers, [1, 3]);
        assert_eq!(kept[0].age, Duration::from_secs(3));
        assert_eq!(kept[1].block.hash, found(3).hash);
        assert_eq!(kept[1].block.height, 1_003);

        let late = pool.waiting(HOUR_MS + 2_000).await.unwrap();
        assert_eq!(late.len(), 1, "the first one is too old");
        assert_eq!(pool.waiting(4_000).await.unwrap().len(), 1, "and gone");
    }

    #[tokio::test]
    async fn no_more_blocks_are_kept_than_the_bound_and_old_ones_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let pool = blocks(folder.path());
        let max = u8::try_from(BLOCKS_KEPT_MAX).unwrap();
        for number in 0..max {
            assert!(pool.keep(found(number), 1_000).await.unwrap());
        }
        assert!(!pool.keep(found(max), 2_000).await.unwrap());
        assert!(pool.keep(found(max), HOUR_MS + 1_001).await.unwrap());
    }
}
