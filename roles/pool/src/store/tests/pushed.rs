//! What was pushed to Redis, and who answers it first.

use super::*;

async fn pushes(pool: Pool) -> (Pushes, Store) {
    let answers = Arc::new(pool.answers);
    (
        Pushes::new(pool.store.clone(), "mint/main", answers, true),
        pool.store,
    )
}

#[tokio::test]
async fn what_was_pushed_is_looked_for_until_somebody_has_answered_it_and_is_settled_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut pool = start(folder.path(), 100);
    for number in 1..=5 {
        pool.record(&share(ALICE, number)).await;
    }
    let requests = pool.waiting().await;
    // The hub answers the first and refuses the second and the third, which the operator brings back.
    for (place, refuse) in [(0, false), (1, true), (2, true)] {
        pool = answer(pool, requests[place].clone(), refuse).await;
    }
    let third = requests[2].header_hash;
    let release = pool
        .store
        .write(move |tx| outbox::release(tx, "mint/main", EXT_MINT_QUOTE, &third));
    assert!(release.await.unwrap());

    let (pushes, store) = pushes(pool).await;
    let pushed = requests.iter().zip(1..);
    let pushed = pushed.map(|(request, sequence)| (sequence, request.header_hash));
    pushes.pushed(pushed.collect(), 7_000).await.unwrap();
    let waiting = pushes.waiting(0, 10).await.unwrap();
    let numbers: Vec<_> = waiting
        .iter()
        .map(|row| (row.request.sequence, row.pushed_unix_ms))
        .collect();
    assert_eq!(numbers, [3, 4, 5].map(|sequence| (sequence, Some(7_000))));
    let open = pushes.open(0, 10).await.unwrap();
    let over: Vec<bool> = open.iter().map(|row| row.is_over).collect();
    assert_eq!(over, [true, true, false, false, false]);

    let looked = LookedUp {
        // The first as well: it is answered between looking and recording.
        found: [0, 2, 3].map(|at| (open[at], format!("redis-{at}"))).into(),
        over: vec![open[1]],
    };
    assert_eq!(pushes.settle(looked.clone(), 8_000).await.unwrap(), [3, 4]);
    assert_eq!(pushes.settle(looked, 8_000).await.unwrap(), [] as [u64; 0]);
    let left = pushes.open(0, 10).await.unwrap();
    assert_eq!(left, [open[4]], "nothing else is looked for");

    let handed_over = vec![(5, requests[4].header_hash)];
    assert_eq!(pushes.handed_over(handed_over, 9_000).await.unwrap(), [5]);
    let alice = MinerIdentity::parse(ALICE.as_bytes()).unwrap().locking_key;
    let page = store.read(move |connection| quote_page(connection, &alice, 0, 10));
    let page = page.await.unwrap();
    let ids: Vec<&str> = page.quotes.iter().map(|row| &row.quote_id[..]).collect();
    assert_eq!(ids, ["quote-1", "redis-2", "redis-3"]);
    let unknown: Vec<_> = page.unknown.iter().map(|row| row.header_hash[0]).collect();
    assert_eq!((unknown, page.refused.len(), page.pending), (vec![5], 1, 0));
}

#[tokio::test]
async fn numbers_that_were_pushed_for_one_mint_say_nothing_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let pool = start(folder.path(), 100);
    pool.ledger.belong_to_mint().await.unwrap().unwrap();
    pool.record(&share(ALICE, 1)).await;
    let request = pool.waiting().await.remove(0);
    let pool = answer(pool, request, false).await;
    let (pushes_before, store) = pushes(pool).await;
    pushes_before
        .pushed(vec![(1, [1; 32])], 7_000)
        .await
        .unwrap();
    drop((pushes_before, store));

    let pool = start_with(folder.path(), 100, "bridge/old", key(2));
    pool.ledger.belong_to_mint().await.unwrap().unwrap();
    pool.record(&share(ALICE, 2)).await;
    let answers = Arc::new(pool.answers);
    let pushes = Pushes::new(pool.store.clone(), "bridge/old", answers, true);
    let waiting = pushes.waiting(0, 10).await.unwrap();
    assert_eq!(waiting[0].request.sequence, 1, "as the other mint's");
    assert_eq!(waiting[0].pushed_unix_ms, None);
}
