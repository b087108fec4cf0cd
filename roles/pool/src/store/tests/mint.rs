//! The configured mint is changed.

use super::*;

fn announcement(first: u8) -> KeysetAnnouncement {
    KeysetAnnouncement {
        unit: "hash".to_owned(),
        keyset_id: vec![first; 8],
        keys: Vec::new(),
    }
}

/// A pool at this mint that starts as the process does.
async fn started(folder: &Path, mint: &str, mint_key: PublicKey) -> Result<Pool, OtherMint> {
    let pool = start_with(folder, 100, mint, mint_key);
    pool.ledger.belong_to_mint().await.unwrap().map(|()| pool)
}

async fn announced(pool: Pool, keyset: KeysetAnnouncement) -> Pool {
    let answers = Arc::new(pool.answers);
    let in_tx = Arc::clone(&answers);
    let write = pool.store.write(move |tx| in_tx.on_keyset(tx, &keyset));
    write.await.unwrap();
    let answers = Arc::into_inner(answers).expect("the write has ended");
    Pool { answers, ..pool }
}

#[tokio::test]
async fn while_a_request_waits_no_other_mint_gets_the_store_and_afterwards_it_starts_without_keyset()
 {
    let folder = tempfile::tempdir().unwrap();
    let old = || started(folder.path(), "mint/main", key(1));
    let pool = old().await.unwrap();
    pool.record(&share(ALICE, 1)).await;
    pool.record(&share(BOB, 2)).await;
    drop(announced(pool, announcement(7)).await);

    for (name, mint_key) in [("mint/main", key(2)), ("mint/new", key(1))] {
        let refused = started(folder.path(), name, mint_key).await.err().unwrap();
        assert_eq!((refused.waiting, refused.parked), (2, 0), "{refused}");
        assert_eq!(refused.remembered.key, key(1));
    }

    let mut pool = old().await.unwrap();
    assert_eq!(pool.ledger.keyset().await.unwrap(), Some(vec![7; 8]));
    let requests = pool.waiting().await;
    assert_eq!(requests.len(), 2);
    // An issued one and a refused one are both answered: their miners know.
    for (request, refuse) in requests.into_iter().zip([false, true]) {
        pool = answer(pool, request, refuse).await;
    }
    drop(pool);
    let pool = started(folder.path(), "mint/main", key(2)).await.unwrap();
    assert_eq!(pool.ledger.keyset().await.unwrap(), None);
    drop(pool);
    // The way back is a change like any other.
    let pool = old().await.unwrap();
    assert_eq!(pool.ledger.keyset().await.unwrap(), None);
}

#[tokio::test]
async fn a_request_that_was_parked_unanswered_keeps_its_mint_too() {
    let folder = tempfile::tempdir().unwrap();
    let pool = started(folder.path(), "mint/main", key(1)).await.unwrap();
    pool.record(&share(ALICE, 1)).await;
    let write = pool.store.write(|tx| {
        outbox::park(
            tx,
            "mint/main",
            EXT_MINT_QUOTE,
            &[1; 32],
            "malformed",
            1_000,
        )
    });
    assert!(write.await.unwrap());
    drop(pool);
    let refused = started(folder.path(), "mint/new", key(2))
        .await
        .err()
        .unwrap();
    assert_eq!((refused.waiting, refused.parked), (0, 1));
}

#[tokio::test]
async fn a_keyset_that_another_key_has_announced_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let pool = started(folder.path(), "mint/main", key(1)).await.unwrap();
    drop(announced(pool, announcement(7)).await);
    // Without the step that forgets it.
    let pool = start_with(folder.path(), 100, "mint/main", key(2));
    assert_eq!(pool.ledger.keyset().await.unwrap(), None);
}
