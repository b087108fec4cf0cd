//! Requests that a mint must refuse: the pool hears which one it was and why, and the good ones beside it are issued.

use std::time::Duration;

use winze_messages::families::mint_quote::{MintQuoteRequest, QuoteErrorCode};
use winze_messages::{EXT_MINT_QUOTE, PairKeys, Side, channel_frame};
use winze_testbed::configs::Settings;
use winze_testbed::{Account, Crew, CrewPlan, Deployment, DeploymentPlan, Problem, quotes};
use winze_transport::SecretKey;

use crate::WINZE;
use crate::pool::{Answer, header_hash};
use crate::world::{World, settings};

/// x = 5 has no point: 5^3 + 7 = 132 is no square.
fn no_point() -> [u8; 33] {
    let mut key = [0; 33];
    key[0] = 0x02;
    key[32] = 5;
    key
}

fn code(answer: &Answer) -> Option<QuoteErrorCode> {
    match answer {
        Answer::Quote(_) => None,
        Answer::Refused(error) => QuoteErrorCode::from_u32(error.error_code),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_refused_by_name_and_the_good_ones_among_them_are_issued() {
    let world = World::start(settings()).await;
    let alice = world.wallet().await;
    let mut pool = world.pool().await;
    let good =
        |number, pool: &crate::pool::ScriptedPool| pool.request(number, 8, alice.locking_key());
    let bad = |number, change: &dyn Fn(&mut MintQuoteRequest)| {
        let mut request = good(number, &pool);
        change(&mut request);
        request
    };
    let requests = [
        good(1, &pool),
        bad(2, &|request| request.amount = 0),
        bad(3, &|request| request.amount = 1_001),
        good(4, &pool),
        bad(5, &|request| request.amount = u64::MAX),
        bad(6, &|request| request.unit = "sat".to_owned()),
        bad(7, &|request| request.keyset_id = vec![0x00; 8]),
        bad(8, &|request| request.keyset_id[32] ^= 1),
        bad(9, &|request| request.locking_key = no_point()),
        bad(10, &|request| request.locking_key[0] = 0x04),
        bad(11, &|request| request.description = Some("d".repeat(129))),
        bad(12, &|request| request.description = Some("d".repeat(128))),
        bad(13, &|request| request.amount = 1_000),
    ];
    let answers = pool.ask_all(&requests).await;

    let expected = [
        None,
        Some((QuoteErrorCode::AmountZero, "")),
        Some((QuoteErrorCode::AmountTooLarge, "1000")),
        None,
        Some((QuoteErrorCode::AmountTooLarge, "1000")),
        Some((QuoteErrorCode::UnknownUnit, "hash")),
        Some((QuoteErrorCode::UnknownKeyset, "")),
        Some((QuoteErrorCode::UnknownKeyset, "")),
        Some((QuoteErrorCode::BadLockingKey, "")),
        Some((QuoteErrorCode::BadLockingKey, "")),
        Some((QuoteErrorCode::DescriptionTooLong, "128")),
        None,
        None,
    ];
    for (request, expected) in requests.iter().zip(expected) {
        match (&answers[&request.header_hash], expected) {
            (Answer::Quote(quote), None) => {
                assert_eq!(
                    (quote.amount, quote.unit.as_str()),
                    (request.amount, "hash")
                );
                assert_eq!(alice.redeem(&quote.quote_id).await.unwrap(), request.amount);
            }
            (Answer::Refused(error), Some((code, says))) => {
                assert_eq!(
                    QuoteErrorCode::from_u32(error.error_code),
                    Some(code),
                    "{error:?}"
                );
                assert!(error.error_message.contains(says), "{error:?}");
                assert_eq!(error.retry_after_ms, 0, "final: {error:?}");
            }
            (answer, expected) => panic!("{request:?} got {answer:?} instead of {expected:?}"),
        }
    }
    assert_eq!(alice.balance().await.unwrap(), 8 + 8 + 8 + 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_header_hash_has_one_quote_and_other_contents_are_a_conflict() {
    let world = World::start(settings()).await;
    let (alice, mallory) = (world.wallet().await, world.wallet().await);
    let mut pool = world.pool().await;
    let request = pool.request(1, 8, alice.locking_key());
    let quote = pool.ask(&request).await.quote();
    assert_eq!(pool.ask(&request).await.quote(), quote, "the same answer");

    let more = MintQuoteRequest {
        amount: 16,
        ..request.clone()
    };
    let theirs = MintQuoteRequest {
        locking_key: *mallory.locking_key(),
        ..request.clone()
    };
    for other in [more, theirs] {
        let error = pool.ask(&other).await.refused();
        assert_eq!(
            error.error_code,
            QuoteErrorCode::Conflict.to_u32(),
            "{error:?}"
        );
        assert_eq!(error.retry_after_ms, 0);
    }

    // On another connection, and after the quote was redeemed, it is still the same quote.
    assert_eq!(alice.redeem(&quote.quote_id).await.unwrap(), 8);
    drop(pool);
    let mut pool = world.pool().await;
    assert_eq!(pool.ask(&request).await.quote().quote_id, quote.quote_id);
    assert_eq!(alice.redeem(&quote.quote_id).await.unwrap(), 8);
    assert_eq!(alice.balance().await.unwrap(), 8, "paid once");
    mallory.redeem(&quote.quote_id).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_a_wrong_authenticator_has_no_effect_and_is_answered_as_temporary() {
    let world = World::start(settings()).await;
    let alice = world.wallet().await;
    let mut pool = world.pool().await;
    let request = pool.request(1, 8, alice.locking_key());

    let mut altered_mac = pool.seal(&request);
    *altered_mac.payload.last_mut().unwrap() ^= 1;
    let mut altered_body = pool.seal(&request);
    // The first byte of the amount, behind the channel id.
    altered_body.payload[4] = 9;
    let mut other_number = pool.seal(&request);
    let sequence_at = other_number.payload.len() - 40;
    other_number.payload[sequence_at] ^= 1;
    let stranger = SecretKey::generate(&mut rand::rngs::OsRng);
    let mint = world.stage.keys.mint.public_key();
    let keys = PairKeys::derive(
        &stranger,
        &mint,
        EXT_MINT_QUOTE,
        Side::Requester,
        "pool",
        "mint",
    );
    let mut body = Vec::new();
    request.encode_body(&mut body).unwrap();
    let sealed = keys.seal(MintQuoteRequest::MSG_TYPE, &body, 1, None);
    let strangers = channel_frame(
        EXT_MINT_QUOTE,
        MintQuoteRequest::MSG_TYPE,
        pool.channel_id,
        &sealed,
    );

    let nine = MintQuoteRequest {
        amount: 9,
        ..request.clone()
    };
    for (frame, as_it_arrived) in [
        (altered_mac, &request),
        (altered_body, &nine),
        (other_number, &request),
        (strangers, &request),
    ] {
        pool.peer.send(frame).await;
        let answer = pool.next_answer(std::slice::from_ref(as_it_arrived)).await;
        assert_eq!(
            code(&answer),
            Some(QuoteErrorCode::BadAuthenticator),
            "{answer:?}"
        );
        assert!(answer.refused().retry_after_ms > 0);
    }
    assert_eq!(
        world
            .mint_metrics()
            .await
            .sum("winze_mint_quotes_issued_total", &[])
            .unwrap_or(0.0),
        0.0
    );

    // Its own hand, at last: nothing of the above stands in its way.
    let quote = pool.ask(&request).await.quote();
    assert_eq!((quote.header_hash, quote.amount), (header_hash(1), 8));
    assert_eq!(alice.redeem(&quote.quote_id).await.unwrap(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issuance_over_the_allowance_is_put_off_and_what_still_fits_is_issued() {
    let world = World::start(Settings {
        quote_amount_max: 100,
        amount_per_hour_max: 100,
        amount_per_day_max: 1_000,
        ..settings()
    })
    .await;
    let alice = world.wallet().await;
    let mut pool = world.pool().await;
    let first = pool.request(1, 60, alice.locking_key());
    let over = pool.request(2, 60, alice.locking_key());
    let fits = pool.request(3, 40, alice.locking_key());

    pool.ask(&first).await.quote();
    let error = pool.ask(&over).await.refused();
    assert_eq!(
        error.error_code,
        QuoteErrorCode::Allowance.to_u32(),
        "{error:?}"
    );
    assert!(error.error_message.contains("100"), "{error:?}");
    assert!(
        (1_000..=3_660_000).contains(&error.retry_after_ms),
        "{error:?}"
    );
    let quote = pool.ask(&fits).await.quote();
    assert_eq!(alice.redeem(&quote.quote_id).await.unwrap(), 40);
    pool.ask(&first).await.quote();
    let still = pool.ask(&over).await.refused();
    assert_eq!(
        still.error_code,
        QuoteErrorCode::Allowance.to_u32(),
        "{still:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miner_hears_which_of_its_shares_the_mint_refused_and_why() {
    let mut plan = DeploymentPlan::new(WINZE);
    // Every other share is worth more than that.
    plan.settings.quote_amount_max = 1;
    let deployment = Deployment::start(plan)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let plan = CrewPlan {
        miners: 1,
        shares: Some(24),
        ..CrewPlan::default()
    };
    let mut crew = Crew::start(&deployment, plan).await.unwrap();
    crew.mined(Duration::from_secs(30)).await.unwrap();
    let on_its_connection =
        |account: &Account| account.quotes_issued() + account.quotes_refused() == 24;
    crew.wait_for("24 answers", Duration::from_secs(20), on_its_connection)
        .await
        .unwrap();
    let account = crew.settle(Duration::from_secs(20)).await.unwrap();

    let mut told = Vec::new();
    for problem in account.problems() {
        match problem {
            Problem::Refused { header_hash } => told.push(header_hash),
            Problem::WrongBalance { held, expected } => assert!(held < expected),
            other => panic!("{other}"),
        }
    }
    let alice = &crew.wallets()[0];
    let list = quotes::list(deployment.pool_http(), alice.locking_key(), 0)
        .await
        .unwrap();
    let mut listed: Vec<[u8; 32]> = list.refused.iter().map(|it| it.header_hash).collect();
    listed.sort_unstable();
    assert_eq!(told, listed, "as in the list");
    assert!(!told.is_empty(), "half of all shares are worth more than 1");
    for refusal in &list.refused {
        assert!(refusal.amount > 1);
        assert_eq!(refusal.error_code, QuoteErrorCode::AmountTooLarge.to_u32());
        assert!(refusal.error_message.contains('1'), "{refusal:?}");
    }
    assert_eq!(list.quotes.len() + list.refused.len(), 24);
    assert_eq!(alice.balance().await.unwrap(), list.quotes.len() as u64);
}
