//! Pool Alice, her miners, and a mint that is killed now and then.

use winze_messages::families::mint_quote::{QuoteErrorCode, QuoteState};
use winze_transport::SecretKey;

use super::*;
use crate::testing::{AMOUNT_MAX, CAPS, TestMint, issued};

fn refusal(outcome: &QuoteOutcome) -> (QuoteErrorCode, &str) {
    match outcome {
        QuoteOutcome::Refused { code, message } => (*code, message),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn bad_requests_are_named_and_the_good_ones_among_them_issued() {
    let mint = TestMint::start().await;
    let good = mint.request(1, 7);
    let spoilt = |spoil: fn(&mut MintQuoteRequest)| {
        let mut request = mint.request(9, 1);
        spoil(&mut request);
        request
    };
    let requests = [
        good.clone(),
        spoilt(|it| it.amount = 0),
        spoilt(|it| it.amount = AMOUNT_MAX + 1),
        spoilt(|it| it.amount = u64::MAX),
        spoilt(|it| it.unit = "sat".to_owned()),
        spoilt(|it| it.unit = "HASH".to_owned()),
        spoilt(|it| it.keyset_id = vec![0; 8]),
        spoilt(|it| it.keyset_id[5] ^= 1),
        spoilt(|it| it.unit = "ehash".to_owned()), // the keyset is of unit hash
        spoilt(|it| it.locking_key = [2; 33].map(|byte| byte ^ 0xfd)),
        spoilt(|it| it.locking_key[0] = 4),
        spoilt(|it| it.description = Some("x".repeat(129))),
        mint.request(2, AMOUNT_MAX - 7),
    ];
    let outcomes = mint.ask(&requests).await;

    assert_eq!(issued(&outcomes[0]).amount, 7);
    assert_eq!(issued(&outcomes[12]).state, QuoteState::Paid);
    let told: Vec<(QuoteErrorCode, &str)> = outcomes[1..12].iter().map(refusal).collect();
    use QuoteErrorCode::*;
    let codes = [
        AmountZero,
        AmountTooLarge,
        AmountTooLarge,
        UnknownUnit,
        UnknownUnit,
        UnknownKeyset,
        UnknownKeyset,
        UnknownKeyset,
        BadLockingKey,
        BadLockingKey,
        DescriptionTooLong,
    ];
    assert_eq!(told.iter().map(|it| it.0).collect::<Vec<_>>(), codes);
    assert!(told[1].1.contains("1001") && told[1].1.contains("1000"));
    assert!(told[10].1.contains("129") && told[10].1.contains("128"));
    assert_eq!(mint.quotes().await, 2);
}

#[tokio::test]
async fn a_key_that_is_not_listed_gets_nothing_whatever_name_the_hub_gives_it() {
    let mint = TestMint::start().await;
    let mallory = SecretKey::generate(&mut rand::rngs::OsRng).public_key();
    let outcomes = mint.ask_as(&mallory, &[mint.request(1, 1)]).await;
    assert_eq!(refusal(&outcomes[0]).0, QuoteErrorCode::UnitNotAllowed);
    assert_eq!(mint.quotes().await, 0);
}

#[tokio::test]
async fn one_share_has_one_quote_and_one_content() {
    let mint = TestMint::start().await;
    let request = mint.request(1, 5);
    let mut described = request.clone();
    described.description = Some("the same share".to_owned());
    let other_amount = MintQuoteRequest {
        amount: 6,
        ..request.clone()
    };
    let other_key = MintQuoteRequest {
        locking_key: mint.request(1, 5).locking_key,
        ..request.clone()
    };
    let batch = [
        request.clone(),
        request.clone(),
        other_amount.clone(),
        other_key.clone(),
        described,
    ];
    // Twice: the second time it is all in the store.
    let mut ids = Vec::new();
    for _ in 0..2 {
        let outcomes = mint.ask(&batch).await;
        for same in [0, 1, 4] {
            ids.push(issued(&outcomes[same]).quote_id);
        }
        for other in [2, 3] {
            assert_eq!(refusal(&outcomes[other]).0, QuoteErrorCode::Conflict);
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(mint.left().await, CAPS.per_hour - 5);
    let metrics = mint.metrics.text();
    assert!(
        metrics.contains("winze_mint_quotes_issued_total 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("winze_mint_quotes_repeated_total 5"),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_header_hash_is_written_as_block_hashes_are() {
    let mint = TestMint::start().await;
    let mut request = mint.request(0, 5);
    request.header_hash[31] = 0xab;
    mint.quote(&request).await;
    let quotes = mint.ecash.mint().mint_quotes().await.expect("readable");
    let written = format!("ab{}", "00".repeat(31));
    assert_eq!(quotes[0].request, written);
    assert_eq!(quotes[0].request_lookup_id.to_string(), written);
}

/// What the mint has done with a share when it is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Done {
    Reserved,
    Made,
    Answered,
}

#[tokio::test]
async fn killed_between_any_two_steps_a_share_still_becomes_one_quote() {
    for done in [Done::Reserved, Done::Made, Done::Answered] {
        let mint = TestMint::start().await;
        let request = mint.request(1, 600);
        if done == Done::Answered {
            mint.quote(&request).await;
        } else {
            go_as_far_as(&mint, &request, done).await;
        }
        let before = mint.quotes().await;
        assert_eq!(before, usize::from(done != Done::Reserved));

        let mint = mint.killed_and_started().await;
        // The allowance was taken before the quote was made: even now it cannot be exceeded.
        assert_eq!(mint.left().await, 400, "{done:?}");
        let answer = mint.quote(&request).await;
        assert_eq!(mint.quote(&request).await, answer);
        assert_eq!(mint.quotes().await, 1, "{done:?}");
        assert_eq!(mint.left().await, 400, "{done:?}");
        assert!(matches!(
            mint.ask(&[mint.request(2, 401)]).await[0],
            QuoteOutcome::Later {
                code: QuoteErrorCode::Allowance,
                ..
            }
        ));
    }
}

/// The steps of [`Issuer::settle`], up to the one after which the mint dies.
async fn go_as_far_as(mint: &TestMint, request: &MintQuoteRequest, done: Done) {
    let rules = &mint.issuer.0.rules;
    let pool = &rules.pools[&mint.alice];
    let quote = check::check(rules, Some(pool), &mint.ecash.keysets(), request).expect("good");
    let mut knowledge = Knowledge::new();
    let missing = BTreeMap::from([(quote.header_hash, quote)]);
    let reserved = mint.issuer.reserve(pool, missing, &mut knowledge).await;
    let reserved = reserved.unwrap_or_else(|(error, _)| panic!("{error}"));
    assert_eq!(reserved.len(), 1);
    if done == Done::Made {
        mint.issuer.make(reserved, &mut knowledge).await;
    }
}

#[tokio::test]
async fn a_quote_that_was_made_is_told_even_if_the_rules_have_changed() {
    let mint = TestMint::start().await;
    let request = mint.request(1, 600);
    let quote = mint.quote(&request).await;
    let mint = mint.killed_and_started_with(500).await;
    let other_key = MintQuoteRequest {
        locking_key: mint.request(1, 600).locking_key,
        ..request.clone()
    };
    let outcomes = mint.ask(&[request, other_key, mint.request(2, 600)]).await;
    assert_eq!(issued(&outcomes[0]), quote);
    for over in [1, 2] {
        assert_eq!(refusal(&outcomes[over]).0, QuoteErrorCode::AmountTooLarge);
    }
}

#[tokio::test]
async fn a_reservation_that_never_became_a_quote_may_become_another() {
    let mint = TestMint::start().await;
    go_as_far_as(&mint, &mint.request(1, 900), Done::Reserved).await;
    let mint = mint.killed_and_started().await;
    mint.quote(&mint.request(1, 100)).await;
    assert_eq!(mint.left().await, CAPS.per_hour - 100);
}

#[tokio::test]
async fn a_pool_over_its_allowance_waits_for_as_long_as_it_is_told() {
    let mint = TestMint::start().await;
    mint.quote(&mint.request(1, 800)).await;
    let waiting = mint.request(2, 300);
    let outcomes = mint.ask(&[waiting.clone(), mint.request(3, 200)]).await;
    let QuoteOutcome::Later {
        code: QuoteErrorCode::Allowance,
        message,
        retry_after_ms,
    } = &outcomes[0]
    else {
        panic!("1100 do not fit in 1000: {outcomes:?}");
    };
    assert!(message.contains("1000 hash per hour"), "{message}");
    issued(&outcomes[1]);

    mint.turn_clock(u64::from(*retry_after_ms) / 1_000 - 1);
    assert!(matches!(
        mint.ask(std::slice::from_ref(&waiting)).await[0],
        QuoteOutcome::Later { .. }
    ));
    mint.turn_clock(1);
    mint.quote(&waiting).await;
}

#[tokio::test]
async fn requests_made_before_a_rotation_are_still_good_after_it() {
    let mint = TestMint::start().await;
    let version_2 = mint.request(1, 1);
    // A keyset of version 1, whose id has 8 bytes, as a mint with a history may have.
    let amounts = (0..63).map(|exponent| 1 << exponent).collect();
    let hash = cdk::nuts::CurrencyUnit::custom("hash");
    mint.ecash
        .mint()
        .rotate_keyset(hash, amounts, 0, false, None)
        .await
        .expect("it rotates");
    let version_1 = mint.request(2, 2);
    assert_eq!(version_1.keyset_id.len(), 8);
    mint.ecash.rotate("hash").await.expect("it rotates");
    let active = mint.request(3, 3);
    assert_ne!(active.keyset_id, version_2.keyset_id);
    for request in [&version_2, &version_1, &active] {
        mint.quote(request).await;
    }
    let mint = mint.killed_and_started().await;
    assert_eq!(mint.active_keyset_id(), active.keyset_id);
    mint.quote(&MintQuoteRequest {
        header_hash: [4; 32],
        ..version_1
    })
    .await;
}

#[tokio::test]
async fn a_batch_with_a_share_that_cdk_has_already_loses_none_of_the_others() {
    let mint = TestMint::start().await;
    let taken = mint.request(1, 5);
    let first = mint.quote(&taken).await;
    // As if another process had made the quote between the look-up and the transaction.
    let rules = &mint.issuer.0.rules;
    let pool = &rules.pools[&mint.alice];
    let keysets = mint.ecash.keysets();
    let mut quotes = Vec::new();
    for request in [&mint.request(2, 6), &taken, &mint.request(3, 7)] {
        quotes.push(check::check(rules, Some(pool), &keysets, request).expect("good"));
    }
    let mut knowledge = Knowledge::new();
    mint.issuer.make(quotes.clone(), &mut knowledge).await;
    let answers: Vec<QuoteOutcome> = quotes
        .iter()
        .map(|quote| answer(quote, knowledge.get(&quote.header_hash)))
        .collect();
    assert_eq!(issued(&answers[1]), first);
    assert_eq!(issued(&answers[0]).amount, 6);
    assert_eq!(issued(&answers[2]).amount, 7);
    assert_eq!(mint.quotes().await, 3);
}

#[tokio::test]
async fn a_batch_waits_once_for_a_store_that_others_hold() {
    let mint = TestMint::start().await;
    let requests: Vec<MintQuoteRequest> = (0..4).map(|share| mint.request(share, 1)).collect();
    // A backup tool, say, that holds the write lock. cdk waits ten seconds for it each time that it asks.
    let path = mint.folder.path().join("ecash.sqlite");
    let held = rusqlite::Connection::open(path).expect("it is there");
    held.execute_batch("BEGIN IMMEDIATE").expect("it is free");
    let asked_at = std::time::Instant::now();
    let outcomes = mint.ask(&requests).await;
    let waited = asked_at.elapsed();
    held.execute_batch("ROLLBACK").expect("it was held");

    assert!(
        outcomes.iter().all(|outcome| matches!(
            outcome,
            QuoteOutcome::Later {
                code: QuoteErrorCode::Unavailable,
                ..
            }
        )),
        "{outcomes:?}"
    );
    assert!(
        waited < std::time::Duration::from_secs(19),
        "all pools wait for as long: {waited:?}"
    );
    let again = mint.ask(&requests).await;
    assert!(again.iter().all(|it| matches!(it, QuoteOutcome::Issued(_))));
    assert_eq!(mint.quotes().await, 4);
    assert_eq!(mint.left().await, CAPS.per_hour - 4);
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_stop_a_batch_halfway() {
    let mint = TestMint::start().await;
    let requests: Vec<MintQuoteRequest> = (0..40).map(|share| mint.request(share, 1)).collect();
    // Polled once, which starts it, then dropped.
    let mut asked = Box::pin(mint.ask(&requests));
    assert!(futures_poll_once(asked.as_mut()).await.is_none());
    drop(asked);
    let again = mint.ask(&requests).await;
    assert!(again.iter().all(|it| matches!(it, QuoteOutcome::Issued(_))));
    assert_eq!(mint.quotes().await, 40);
    assert_eq!(mint.left().await, CAPS.per_hour - 40);
    assert!(
        mint.metrics
            .text()
            .contains("winze_mint_quotes_repeated_total 40")
    );
}

async fn futures_poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut future = future;
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn where_the_record_was_set_back_what_cdk_knows_is_told_and_nothing_is_made() {
    let mint = TestMint::start().await;
    let known = mint.request(1, 7);
    let quote = mint.quote(&known).await;
    let mut other = known.clone();
    other.amount += 1;
    let left = mint.left().await;

    let asked = vec![known, other, mint.request(2, 7)];
    let outcomes = mint.issuer.recall(asked).await;
    assert_eq!(issued(&outcomes[0]), quote);
    assert_eq!(refusal(&outcomes[1]).0, QuoteErrorCode::Conflict);
    assert!(
        matches!(
            &outcomes[2],
            QuoteOutcome::Later {
                code: QuoteErrorCode::Unavailable,
                ..
            }
        ),
        "{outcomes:?}"
    );
    assert_eq!((mint.quotes().await, mint.left().await), (1, left));
}
