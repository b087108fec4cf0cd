//! Quotes that were learned of elsewhere than from the mint.

use winze_client::{LearnedQuote, record_elsewhere};

use super::*;

#[tokio::test]
async fn a_quote_that_is_learned_of_elsewhere_counts_once_and_its_request_is_sent_no_more() {
    let pool = Pool::start().await;
    pool.ask(1..=2).await;
    let mut side = pool.connect().await;
    assert_eq!(receive(&mut side).await, (1, 1));
    assert_eq!(receive(&mut side).await, (2, 2));
    let learn = |quote_id: Option<&'static str>| {
        let ledger = Arc::clone(&pool.ledger);
        pool.store.write(move |tx| {
            let learned = LearnedQuote {
                sequence: 1,
                header_hash: &[1; 32],
                quote_id,
                is_of_the_mint: true,
            };
            record_elsewhere(tx, MINT, &learned, &*ledger, 1)
        })
    };
    *pool.ledger.failures_left.lock().unwrap() = 1;
    assert!(learn(Some("quote-1")).await.is_err());
    assert_eq!(pool.state(1).await, Some(RequestState::Waiting));

    let event = learn(Some("quote-1")).await.unwrap();
    let request = request(1);
    let response = response(&request);
    assert_eq!(event, Some(QuoteEvent::Issued { request, response }));
    assert_eq!(learn(None).await.unwrap(), None, "it has its answer");
    pool.requester.settled_elsewhere(vec![1]).await;
    until(
        "one in flight",
        || pool.requester.status(),
        |status| status.in_flight == 1,
    )
    .await;

    answer(&mut side, &mint_keys(MINT_KEY), 1).await;
    side.peer_is_replaced().await;
    assert_eq!(receive(&mut side).await, (2, 2));
    answer(&mut side, &mint_keys(MINT_KEY), 2).await;
    pool.settled(2, RequestState::Answered).await;
    assert_eq!(pool.ledger().await, ["quote-1", "quote-2"]);
    let status = pool.requester.status();
    let counts = status.counts;
    assert_eq!(
        (counts.issued, counts.answered_again, counts.stale),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn a_mint_that_says_otherwise_than_what_was_learned_elsewhere_has_the_operator_told_of_both()
{
    let pool = Pool::start().await;
    pool.ask(1..=3).await;
    let mut side = pool.connect().await;
    for share in 1..=3 {
        assert_eq!(receive(&mut side).await, (share, u64::from(share)));
    }
    for share in 1..=2 {
        let ledger = Arc::clone(&pool.ledger);
        let learn = pool.store.write(move |tx| {
            let learned = LearnedQuote {
                sequence: share,
                header_hash: &[share as u8; 32],
                quote_id: Some("forged"),
                is_of_the_mint: true,
            };
            record_elsewhere(tx, MINT, &learned, &*ledger, 1)
        });
        assert!(learn.await.unwrap().is_some());
    }
    // Of the second the answer is on its way to the disk when the task hears of it.
    pool.requester.settled_elsewhere(vec![1]).await;
    until(
        "two in flight",
        || pool.requester.status(),
        |status| status.in_flight == 2,
    )
    .await;
    answer(&mut side, &mint_keys(MINT_KEY), 1).await;
    pool.settled(1, RequestState::Parked).await;
    answer(&mut side, &mint_keys(MINT_KEY), 2).await;
    pool.settled(2, RequestState::Parked).await;
    // Nobody but the mint says so.
    answer(&mut side, &mint_keys(STRANGER_KEY), 3).await;
    answer(&mut side, &mint_keys(MINT_KEY), 3).await;
    pool.settled(3, RequestState::Answered).await;
    assert_eq!(pool.requester.status().counts.nonsense, 2);
    assert_eq!(pool.ledger().await, ["forged", "forged", "quote-3"]);
    let parked = pool
        .store
        .read(|c| outbox::parked_page(c, MINT, EXT_MINT_QUOTE, 0, 10))
        .await
        .unwrap();
    assert!(parked[0].error.contains("quote-1"), "{}", parked[0].error);
    // Given up it is what it was: answered, by what was learned.
    let discard = pool
        .store
        .write(|c| outbox::discard(c, MINT, EXT_MINT_QUOTE, &[1; 32]));
    assert!(discard.await.unwrap());
    assert_eq!(pool.state(1).await, Some(RequestState::Answered));
}
