//! Pools at the hub, and an old mint behind a list in a real Redis.

#[path = "legacy_mint/deployment.rs"]
mod deployment;
mod support;

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use redis::Commands;
use winze_bridge::config::{LegacyMintConfig, ListShape};
use winze_client::QuoteEvent;
use winze_messages::families::mint_quote::{QuoteErrorCode, QuoteState};
use winze_messages::text::header_hash_to_text;
use winze_testbed::legacy::LegacyMintKind;

use deployment::{Deployment, KEYSET, LIST, Pool, are_the_quotes, hash, request};
use support::until;

fn key_of(share: u32) -> String {
    format!("mint:quotes:hash:{}", header_hash_to_text(&hash(share)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_become_the_old_mints_quotes_and_its_keyset_is_announced() {
    let deployment = Deployment::start().await;
    let bridge = deployment.start_bridge(|_| {}).await;
    let old_mint = deployment.start_old_mint(|_| {});
    let mut pool = Pool::start(&deployment, "main").await;
    let keyset = pool.keyset().await;
    assert_eq!((keyset.unit.as_str(), keyset.keys.len()), ("hash", 64));

    let shares = 1..=500;
    pool.ask(shares.clone().map(request)).await;
    let answers = pool.all_issued(shares.count()).await;
    assert!(answers.values().all(|it| it.state == QuoteState::Paid));
    let quotes = old_mint.quotes().expect("a store");
    are_the_quotes(&answers, &quotes);
    let locked_to = Some(hex::encode(request(1).locking_key));
    assert!(quotes.values().all(|quote| quote.pubkey == locked_to));
    assert_eq!(
        (old_mint.repeated_count(), old_mint.unreadable_count()),
        (0, 0)
    );

    // The same share of another pool is the same quote; with another amount it is none.
    let mut other = Pool::start(&deployment, "other").await;
    other.ask([request(1)]).await;
    assert_eq!(other.issued().await, answers[&hash(1)]);
    let mut wrong = request(2);
    wrong.amount += 1;
    other.ask([wrong]).await;
    let QuoteEvent::Refused { error, .. } = other.event().await else {
        panic!("share 2 has a quote over another amount");
    };
    assert_eq!(error.error_code, QuoteErrorCode::Conflict.to_u32());
    assert_eq!(old_mint.popped_count(), 500);

    let health = bridge.get("/health").await;
    assert_eq!(health.status, 200, "{health:?}");
    for line in [
        "winze_bridge_legacy_pushed_total 500",
        "winze_bridge_legacy_pushed_again_total 0",
        "winze_bridge_legacy_answered_total 500",
        "winze_bridge_legacy_open 0",
    ] {
        bridge.shows(line).await;
    }
    // What is on record is kept in no second place.
    pool.ask([request(501)]).await;
    pool.issued().await;
    assert_eq!(deployment.rows().1, 1);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_old_mint_had_popped_when_it_was_killed_is_pushed_again_and_is_one_quote() {
    let deployment = Deployment::start().await;
    let bridge = deployment
        .start_bridge(|config| config.push_again_after_s = 1)
        .await;
    let mut old_mint = deployment.start_old_mint(|_| {});
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    let ((), killed) = tokio::join!(pool.ask((1..=20).map(request)), old_mint.kill_after_pop());
    killed.expect("it dies of a share");
    assert_eq!(old_mint.lost_count(), 1);
    let made_before = old_mint.made_count();
    drop(old_mint);

    let old_mint = deployment.start_old_mint(|_| {});
    let answers = pool.all_issued(20).await;
    are_the_quotes(&answers, &old_mint.quotes().expect("a store"));
    assert_eq!(made_before + old_mint.made_count(), 20);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_of_the_three_is_killed_under_load_every_share_has_one_quote_and_it_is_the_one_told()
 {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut deployment = Deployment::start().await;
    let quickly = |config: &mut LegacyMintConfig| config.push_again_after_s = 1;
    let mut bridge = deployment.start_bridge(quickly).await;
    let mut old_mint = deployment.start_old_mint(|_| {});
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    let (kills, shares_each) = (9, 40);
    for kill in 0..kills {
        let shares = kill * shares_each + 1..=(kill + 1) * shares_each;
        pool.ask(shares.map(request)).await;
        // Anywhere on their way.
        tokio::time::sleep(Duration::from_millis(rng.gen_range(0..200))).await;
        match rng.gen_range(0..3) {
            0 => {
                deployment.redis.kill();
                deployment.redis.start_again().expect("it starts again");
            }
            1 => {
                bridge.kill().await;
                bridge = deployment.start_bridge(quickly).await;
            }
            _ => {
                drop(old_mint);
                old_mint = deployment.start_old_mint(|_| {});
            }
        }
    }
    let count = kills * shares_each;
    until("each share has a quote", async || {
        old_mint.quotes().expect("a store").len() == count as usize
    })
    .await;
    // A key that the old mint never wrote, since Redis was killed behind its quote, somebody sets who looks into its store.
    for (hash, quote) in old_mint.quotes().expect("a store") {
        let key = format!("mint:quotes:hash:{hash}");
        let _: () = deployment.redis().set_nx(key, quote.quote_id).unwrap();
    }
    let answers = pool.all_issued(count as usize).await;
    are_the_quotes(&answers, &old_mint.quotes().expect("a store"));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quote_whose_key_was_never_written_stays_open_to_see_until_the_key_is_set_by_hand() {
    let deployment = Deployment::start().await;
    let bridge = deployment
        .start_bridge(|config| config.push_again_after_s = 1)
        .await;
    // As one that dies each time before it writes the key.
    let old_mint = deployment.start_old_mint(|plan| plan.writes_quote_ids = false);
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    pool.ask([request(1)]).await;
    until("it is pushed again, and refused", async || {
        old_mint.repeated_count() > 0
    })
    .await;
    assert!(pool.has_heard_nothing());
    bridge.shows("winze_bridge_legacy_open 1").await;

    let quotes = old_mint.quotes().expect("a store");
    let quote_id = quotes.values().next().expect("its quote").quote_id.clone();
    let _: () = deployment.redis().set(key_of(1), &quote_id).unwrap();
    assert_eq!(pool.issued().await.quote_id, quote_id);
    bridge.shows("winze_bridge_legacy_open_oldest_ms 0").await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_was_killed_after_its_push_pushes_nothing_twice_and_tells_the_ids() {
    let deployment = Deployment::start().await;
    let bridge = deployment.start_bridge(|_| {}).await;
    // It sets the keyset, and leaves.
    drop(deployment.start_old_mint(|_| {}));
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    pool.ask((1..=10).map(request)).await;
    until("all are noted as pushed", async || {
        deployment.rows() == (10, 10)
    })
    .await;
    bridge.kill().await;
    let bridge = deployment.start_bridge(|_| {}).await;
    // While none has an id: another pool may ask for the same, and not for something else.
    let mut other = Pool::start(&deployment, "other").await;
    let mut wrong = request(2);
    wrong.amount += 1;
    other.ask([request(1), wrong]).await;
    let QuoteEvent::Refused {
        request: refused,
        error,
    } = other.event().await
    else {
        panic!("share 2 was asked for with another amount");
    };
    let refused = (refused.header_hash, error.error_code);
    assert_eq!(refused, (hash(2), QuoteErrorCode::Conflict.to_u32()));
    pool.ask([request(11)]).await;
    until("the eleventh is pushed", async || {
        deployment.redis().llen(LIST) == Ok(11)
    })
    .await;
    assert!(pool.has_heard_nothing());

    let old_mint = deployment.start_old_mint(|_| {});
    let answers = pool.all_issued(11).await;
    are_the_quotes(&answers, &old_mint.quotes().expect("a store"));
    assert_eq!(other.issued().await, answers[&hash(1)]);
    assert_eq!(
        (old_mint.popped_count(), old_mint.repeated_count()),
        (11, 0)
    );
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_down_pools_are_put_off_and_nothing_is_lost() {
    let mut deployment = Deployment::start().await;
    let bridge = deployment.start_bridge(|_| {}).await;
    let old_mint = deployment.start_old_mint(|_| {});
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    pool.ask((1..=20).map(request)).await;
    let mut answers = pool.all_issued(20).await;

    deployment.redis.kill();
    until("the bridge is not ready", async || {
        bridge.get("/health").await.status == 503
    })
    .await;
    pool.ask((21..=60).map(request)).await;
    pool.is_put_off().await;
    assert!(pool.has_heard_nothing());
    deployment.redis.start_again().expect("it starts again");

    answers.extend(pool.all_issued(40).await);
    are_the_quotes(&answers, &old_mint.quotes().expect("a store"));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_that_writes_no_ids_is_handed_each_share_and_the_answer_is_unknown() {
    let deployment = Deployment::start().await;
    let bridge = deployment
        .start_bridge(|config| config.writes_quote_ids = false)
        .await;
    let old_mint = deployment.start_old_mint_of(LegacyMintKind::Flat);
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    pool.ask((1..=50).map(request)).await;
    for response in pool.all_issued(50).await.values() {
        assert_eq!(
            (response.state, response.quote_id.as_str()),
            (QuoteState::Unknown, "")
        );
    }
    until("the old mint has made its quotes", async || {
        old_mint.made_count() == 50
    })
    .await;
    // That is the answer for good.
    let mut other = Pool::start(&deployment, "other").await;
    other.ask([request(1)]).await;
    assert_eq!(other.issued().await.state, QuoteState::Unknown);
    assert_eq!(old_mint.popped_count(), 50);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_id_is_not_told_as_one() {
    let deployment = Deployment::start().await;
    let bridge = deployment.start_bridge(|_| {}).await;
    drop(deployment.start_old_mint(|_| {}));
    let mut redis = deployment.redis();
    let _: () = redis.rpush(key_of(1), "a list").unwrap();
    let _: () = redis.set(key_of(2), "").unwrap();
    let _: () = redis.set(key_of(3), &[0xff_u8, 0xfe][..]).unwrap();
    let _: () = redis.set(key_of(4), "x".repeat(10_000_000)).unwrap();
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    let _: () = redis.set(key_of(5), "two\nlines").unwrap();
    pool.ask((1..=5).map(request)).await;
    pool.is_put_off().await;
    assert!(pool.has_heard_nothing());
    let metrics = bridge.get("/metrics").await.body;
    assert!(
        !metrics.contains("winze_bridge_legacy_strange_ids_total 0"),
        "{metrics}"
    );

    for share in 1..=5 {
        let _: () = redis.del(key_of(share)).unwrap();
        let _: () = redis.set(key_of(share), format!("quote-{share}")).unwrap();
    }
    for (hash, response) in pool.all_issued(5).await {
        assert_eq!(response.quote_id, format!("quote-{}", hash[0]));
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyset_that_changes_is_announced_and_what_is_none_is_not() {
    let deployment = Deployment::start().await;
    let bridge = deployment.start_bridge(|_| {}).await;
    let keyset = |id: &str, unit: &str| {
        format!(
            r#"{{"id":"{id}","unit":"{unit}","keys":{{"1":"02{}"}}}}"#,
            "ab".repeat(32)
        )
    };
    let mut pool = Pool::start(&deployment, "main").await;
    let mut redis = deployment.redis();
    let _: () = redis
        .set(KEYSET, keyset("0000000000000001", "HASH"))
        .unwrap();
    assert_eq!(pool.keyset().await.keyset_id, [0, 0, 0, 0, 0, 0, 0, 1]);

    let problem = async |text: &str| {
        until(text, async || {
            bridge.get("/health").await.body.contains(text)
        })
        .await;
    };
    let _: () = redis.set(KEYSET, "{").unwrap();
    problem("no keyset").await;
    let _: () = redis
        .set(KEYSET, keyset("0000000000000002", "sat"))
        .unwrap();
    problem("of unit").await;
    let _: () = redis.del(KEYSET).unwrap();
    let _: () = redis.rpush(KEYSET, "a list").unwrap();
    problem("is no keyset").await;
    let _: () = redis.del(KEYSET).unwrap();
    let _: () = redis
        .set(KEYSET, keyset("0000000000000003", "hash"))
        .unwrap();
    assert_eq!(pool.keyset().await.keyset_id, [0, 0, 0, 0, 0, 0, 0, 3]);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_nobody_empties_fills_no_further_than_it_may() {
    let deployment = Deployment::start().await;
    let bridge = deployment
        .start_bridge(|config| config.list_length_max = 5)
        .await;
    drop(deployment.start_old_mint(|_| {}));
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    pool.ask((1..=40).map(request)).await;
    until("the list is full", async || {
        deployment.redis().llen(LIST) == Ok(5)
    })
    .await;
    // Those that were written down before it was found full wait here, the others with the pool.
    pool.is_put_off().await;
    pool.ask((41..=80).map(request)).await;
    until("all of them are put off", async || {
        pool.put_off_count() >= 80
    })
    .await;
    assert_eq!(deployment.redis().llen(LIST), Ok(5));
    assert!(deployment.rows().1 <= 40);

    let old_mint = deployment.start_old_mint(|_| {});
    let answers = pool.all_issued(80).await;
    are_the_quotes(&answers, &old_mint.quotes().expect("a store"));
    assert_eq!(old_mint.repeated_count(), 0);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_whose_store_was_set_back_pushes_nothing_until_accepted_and_tells_the_same_quote()
{
    let deployment = Deployment::start().await;
    let old_mint = deployment.start_old_mint(|_| {});
    let bridge = deployment.start_bridge(|_| {}).await;
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    pool.ask([request(1)]).await;
    let first = pool.issued().await;
    bridge.stop().await;
    deployment.save_store();
    let bridge = deployment.start_bridge(|_| {}).await;
    pool.ask([request(2)]).await;
    let second = pool.issued().await;
    bridge.stop().await;

    deployment.bring_back_store();
    let bridge = deployment.start_bridge(|_| {}).await;
    until("the operator is told", async || {
        bridge.get("/health").await.body.contains("told_answers")
    })
    .await;
    pool.ask([request(3)]).await;
    pool.is_put_off().await;
    assert_eq!((old_mint.popped_count(), deployment.rows().1), (2, 0));

    deployment.accept_set_back();
    let third = pool.issued().await;
    let told = [first, second, third].map(|it| (it.header_hash, it));
    // Of what the bridge had forgotten it has found the key, and has asked for it no second time.
    bridge.shows("winze_bridge_legacy_open 0").await;
    assert_eq!(old_mint.popped_count(), 3);
    are_the_quotes(&told.into(), &old_mint.quotes().expect("a store"));
    bridge.shows("winze_bridge_legacy_answered_total 2").await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_of_the_time_that_wrote_ids_is_served_with_nested_entries_and_makes_one_quote_of_each()
 {
    let deployment = Deployment::start().await;
    let bridge = deployment
        .start_bridge(|config| config.push_again_after_s = 1)
        .await;
    let old_mint = deployment.start_old_mint_of(LegacyMintKind::Nested);
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    // Amounts over what the later ones take, too.
    pool.ask((1..=300).map(request)).await;
    let answers = pool.all_issued(300).await;
    are_the_quotes(&answers, &old_mint.quotes().expect("a store"));
    bridge.stop().await;

    // Killed when its pushes may not be noted, and asked for the same again.
    let bridge = deployment
        .start_bridge(|config| config.push_again_after_s = 1)
        .await;
    pool.ask((301..=310).map(request)).await;
    bridge.kill().await;
    let bridge = deployment
        .start_bridge(|config| config.push_again_after_s = 1)
        .await;
    let mut all = answers;
    all.extend(pool.all_issued(10).await);
    are_the_quotes(&all, &old_mint.quotes().expect("a store"));
    assert_eq!(
        (old_mint.second_count(), old_mint.unreadable_count()),
        (0, 0)
    );
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_backlog_nothing_is_pushed_a_second_time_to_a_mint_that_would_make_two_quotes() {
    let deployment = Deployment::start().await;
    let bridge = deployment
        .start_bridge(|config| config.push_again_after_s = 1)
        .await;
    drop(deployment.start_old_mint_of(LegacyMintKind::Nested));
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    pool.ask((1..=20).map(request)).await;
    bridge.shows("winze_bridge_legacy_pushed_total 20").await;
    // Longer than the time after which requests are pushed again.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(deployment.redis().llen(LIST), Ok(20));

    let old_mint = deployment.start_old_mint_of(LegacyMintKind::Nested);
    let answers = pool.all_issued(20).await;
    are_the_quotes(&answers, &old_mint.quotes().expect("a store"));
    assert_eq!((old_mint.popped_count(), old_mint.second_count()), (20, 0));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_a_mint_drops_leave_the_bridge_unready_and_once_put_right_become_its_quotes() {
    let deployment = Deployment::start().await;
    let bridge = deployment
        .start_bridge(|config| config.shape = Some(ListShape::Flat))
        .await;
    let old_mint = deployment.start_old_mint_of(LegacyMintKind::Nested);
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    pool.ask((1..=20).map(request)).await;
    until("it says that no id ever came", async || {
        let health = bridge.get("/health").await;
        health.status == 503 && health.body.contains("no quote's id has come")
    })
    .await;
    assert_eq!(old_mint.unreadable_count(), 20);
    assert!(pool.has_heard_nothing());
    bridge.stop().await;

    let bridge = deployment
        .start_bridge(|config| config.push_again_after_s = 1)
        .await;
    let answers = pool.all_issued(20).await;
    are_the_quotes(&answers, &old_mint.quotes().expect("a store"));
    assert_eq!(bridge.get("/health").await.status, 200);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_worth_more_than_the_mint_takes_waits_to_be_seen_and_is_never_called_unknown() {
    let deployment = Deployment::start().await;
    let bridge = deployment
        .start_bridge(|config| config.writes_quote_ids = false)
        .await;
    let old_mint = deployment.start_old_mint_of(LegacyMintKind::Flat);
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    pool.ask([255, 256, 257].map(request)).await;
    let answers = pool.all_issued(2).await;
    assert!(answers.values().all(|it| it.state == QuoteState::Unknown));
    pool.is_put_off().await;
    assert!(!answers.contains_key(&hash(257)) && pool.has_heard_nothing());
    until("the old mint has made its quotes", async || {
        old_mint.made_count() == 2
    })
    .await;
    assert_eq!((old_mint.popped_count(), deployment.rows().1), (2, 2));
    let metrics = bridge.get("/metrics").await.body;
    assert!(!metrics.contains("winze_bridge_legacy_over_amount_max_total 0"));
    bridge.stop().await;

    // Whoever reads the list next takes any amount.
    drop(old_mint);
    let next = deployment.start_old_mint(|_| {});
    let bridge = deployment
        .start_bridge(|config| config.list_amount_max = Some(0))
        .await;
    assert_eq!(pool.issued().await.header_hash, hash(257));
    assert_eq!(next.repeated_count(), 0);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_at_one_mint_never_follows_a_changed_list_to_another() {
    let deployment = Deployment::start().await;
    let quickly = |config: &mut LegacyMintConfig| config.push_again_after_s = 1;
    let bridge = deployment.start_bridge(quickly).await;
    let old_mint = deployment.start_old_mint(|_| {});
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    pool.ask([request(1)]).await;
    let mut all = pool.all_issued(1).await;
    bridge.stop().await;
    drop(old_mint);
    // With nothing open it may go to another list, and back.
    let elsewhere = |config: &mut LegacyMintConfig| {
        quickly(config);
        config.list = Some("mint:quotes:elsewhere".to_owned());
    };
    deployment.start_bridge(elsewhere).await.stop().await;
    let bridge = deployment.start_bridge(quickly).await;
    pool.ask([request(2)]).await;
    until("it lies in the list", async || {
        deployment.redis().llen(LIST) == Ok(1)
    })
    .await;
    bridge.stop().await;

    let error = deployment.bridge_fails(elsewhere).await;
    assert!(error.contains("second quotes"), "{error}");
    let was = format!("{}/0/{LIST}", deployment.redis.address());
    assert!(
        error.contains(&format!("moved_from = \"{was}\"")),
        "{error}"
    );
    let error = deployment
        .bridge_fails(|config| {
            elsewhere(config);
            config.moved_from = Some("127.0.0.1:1/0/list".to_owned());
        })
        .await;
    assert!(error.contains("second quotes"), "{error}");
    assert_eq!(deployment.redis().llen("mint:quotes:elsewhere"), Ok(0));

    // The same mint's list under another name.
    let _: () = deployment
        .redis()
        .rename(LIST, "mint:quotes:elsewhere")
        .unwrap();
    let old_mint =
        deployment.start_old_mint(|plan| plan.requests_list = "mint:quotes:elsewhere".to_owned());
    let bridge = deployment
        .start_bridge(|config| {
            elsewhere(config);
            config.moved_from = Some(was);
        })
        .await;
    all.extend(pool.all_issued(1).await);
    are_the_quotes(&all, &old_mint.quotes().expect("a store"));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_another_mint_takes_over_the_bridge_finishes_what_is_open_and_pools_wait() {
    let deployment = Deployment::start().await;
    let bridge = deployment.start_bridge(|_| {}).await;
    drop(deployment.start_old_mint(|_| {}));
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    pool.ask((1..=20).map(request)).await;
    bridge.shows("winze_bridge_legacy_pushed_total 20").await;
    bridge.stop().await;

    let bridge = deployment
        .start_bridge(|config| config.takes_new = false)
        .await;
    let health: serde_json::Value = bridge.get("/health").await.json().expect("JSON");
    assert_eq!(health["detail"]["legacy_mint"]["takes_new"], false);
    pool.ask((21..=40).map(request)).await;
    let old_mint = deployment.start_old_mint(|_| {});
    let mut all = pool.all_issued(20).await;
    are_the_quotes(&all, &old_mint.quotes().expect("a store"));
    bridge.shows("winze_bridge_legacy_open 0").await;
    assert_eq!(deployment.redis().llen(LIST), Ok(0));
    assert!(pool.has_heard_nothing());
    let old_quotes = old_mint.quotes().expect("a store");
    drop(old_mint);
    bridge.stop().await;

    // Another mint, with a store of its own.
    let bridge = deployment.start_bridge(|_| {}).await;
    let next = deployment.start_old_mint(|plan| {
        plan.store_file.set_extension("next");
    });
    all.extend(pool.all_issued(20).await);
    let mut quotes = next.quotes().expect("a store");
    assert_eq!(quotes.len(), 20);
    assert!(old_quotes.keys().all(|hash| !quotes.contains_key(hash)));
    quotes.extend(old_quotes);
    are_the_quotes(&all, &quotes);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_mint_has_popped_is_not_pushed_to_another_that_reads_the_same_list() {
    let deployment = Deployment::start().await;
    let quickly = |config: &mut LegacyMintConfig| config.push_again_after_s = 1;
    let bridge = deployment.start_bridge(quickly).await;
    // It makes a quote, and writes no id.
    let old_mint = deployment.start_old_mint(|plan| plan.writes_quote_ids = false);
    let mut pool = Pool::start(&deployment, "main").await;
    pool.keyset().await;
    pool.ask([request(1)]).await;
    until("it has its quote", async || old_mint.made_count() == 1).await;
    drop(old_mint);

    let next = |deployment: &Deployment| {
        deployment.start_old_mint(|plan| {
            plan.store_file.set_extension("next");
        })
    };
    let other = next(&deployment);
    let held = async |bridge: &support::RunningBridge| {
        until("it says why it waits", async || {
            let health = bridge.get("/health").await.body;
            health.contains("the keyset changed")
        })
        .await;
    };
    held(&bridge).await;
    pool.ask([request(2)]).await;
    assert_eq!(pool.issued().await.header_hash, hash(2));
    bridge.shows("winze_bridge_legacy_unanswered 1").await;
    bridge.stop().await;
    // A restart alone changes nothing.
    let bridge = deployment.start_bridge(quickly).await;
    held(&bridge).await;
    bridge.shows("winze_bridge_legacy_unanswered 1").await;
    assert_eq!(other.quotes().expect("a store").len(), 1);
    bridge.stop().await;

    // The operator has seen to it that the former quote counts for nothing.
    let was = format!("{}/0/{LIST}", deployment.redis.address());
    let bridge = deployment
        .start_bridge(|config| {
            quickly(config);
            config.moved_from = Some(was);
        })
        .await;
    assert_eq!(pool.issued().await.header_hash, hash(1));
    assert_eq!(other.quotes().expect("a store").len(), 2);
    bridge.stop().await;
}
