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
    let keyset = Some(KEYSET.to_vec());
    let noted = pushes.pushed(pushed.collect(), keyset.clone(), 7_000);
    noted.await.unwrap();
    let waiting = pushes.waiting(0, 10).await.unwrap();
    let numbers: Vec<_> = waiting
        .iter()
        .map(|row| (row.request.sequence, row.pushed.clone()))
        .collect();
    let last = LastPush {
        unix_ms: 7_000,
        times: 1,
        keyset_id: keyset,
    };
    assert_eq!(
        numbers,
        [3, 4, 5].map(|sequence| (sequence, Some(last.clone())))
    );
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
        .pushed(vec![(1, [1; 32])], None, 7_000)
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
    assert_eq!(waiting[0].pushed, None);
}

#[tokio::test]
async fn what_was_given_up_counts_when_its_quote_comes_all_the_same_and_anew_when_it_is_brought_back()
 {
    let folder = tempfile::tempdir().unwrap();
    let pool = start(folder.path(), 100);
    for number in 1..=3 {
        pool.record(&share(ALICE, number)).await;
    }
    let (pushes, store) = pushes(pool).await;
    let rows = || (1..=3).map(|n| (u64::from(n), [n; 32])).collect();
    for at in [7_000, 8_000] {
        pushes.pushed(rows(), Some(vec![1; 8]), at).await.unwrap();
    }
    assert_eq!(
        pushes.waiting(0, 1).await.unwrap()[0]
            .pushed
            .as_ref()
            .unwrap()
            .times,
        2
    );
    let given_up = (1..=3).map(|n| GivenUp {
        sequence: n.into(),
        header_hash: [n; 32],
        reason: "no quote comes".to_owned(),
    });
    let given_up: Vec<GivenUp> = given_up.collect();
    assert_eq!(pushes.give_up(given_up, 9_000).await.unwrap(), [1, 2, 3]);
    assert!(pushes.waiting(0, 10).await.unwrap().is_empty());

    // The mint had the first for a day.
    let open = pushes.open(0, 10).await.unwrap();
    assert!(open.len() == 3 && open.iter().all(|row| row.is_parked && !row.is_over));
    let looked = LookedUp {
        found: vec![(open[0], "late".to_owned())],
        over: Vec::new(),
    };
    assert_eq!(pushes.settle(looked, 9_500).await.unwrap(), [1]);
    // The operator brings the second back, and gives the third up.
    let by_operator = store.write(|tx| {
        let mint = "mint/main";
        assert!(outbox::release(tx, mint, EXT_MINT_QUOTE, &[2; 32])?);
        let counts = outbox::backlog(tx, mint, EXT_MINT_QUOTE)?;
        assert_eq!((counts.waiting, counts.parked), (1, 1));
        outbox::discard(tx, mint, EXT_MINT_QUOTE, &[3; 32])
    });
    assert!(by_operator.await.unwrap());
    let waiting = pushes.waiting(0, 10).await.unwrap();
    assert_eq!(waiting[0].request.sequence, 2);
    assert_eq!(waiting[0].pushed, None, "it is pushed at once");
    let second = vec![(2, [2; 32])];
    pushes
        .pushed(second, Some(vec![2; 8]), 9_900)
        .await
        .unwrap();
    let last = LastPush {
        unix_ms: 9_900,
        times: 1,
        keyset_id: Some(vec![2; 8]),
    };
    let waiting = pushes.waiting(0, 10).await.unwrap();
    assert_eq!(waiting[0].pushed, Some(last));
}
