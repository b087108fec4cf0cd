//! What old pools push, in every shape.

use redis::Commands;
use winze_redis::testing::Wanted;

use crate::deployment::{
    DEAD, Deployment, FIRST_KEYSET, FOREIGN_KEYSET, KEYSET, LIST, UNTOLD_AMOUNT, all_told,
    dead_letters, entry, hash, is_through, length, push, told, with_keyset, without_keyset,
};
use crate::support::{RunningBridge, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_becomes_a_quote_under_its_key_in_the_order_of_the_list() {
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    let messages = format!(
        r#""blinded_messages":[{{"amount":8,"id":"{}","B_":"02"}}]"#,
        hex::encode(FIRST_KEYSET)
    );
    let nested = format!(r#"{{"quote_request":{},{messages}}}"#, without_keyset(2));
    let between = without_keyset(3).replace('}', &format!(",{messages}}}"));
    push(
        &mut pool,
        [
            entry(1),
            nested,
            between.replace("HASH", "hash"),
            without_keyset(4).replace(r#""description":null,"#, ""),
            with_keyset(5, "x").replace(r#""x""#, "null"),
            entry(6).replace(
                r#""description":null"#,
                r#""description":"a \"fine\" share""#,
            ),
        ],
    );
    let bridge = deployment.start_bridge().await;
    all_told(&mut pool, 1..=6).await;
    assert_eq!(mint.made.in_order(), (1..=6).map(hash).collect::<Vec<_>>());
    for request in mint.made.requests() {
        assert_eq!((request.amount, request.unit.as_str()), (8, "hash"));
        assert_eq!(request.locking_key, [2; 33]);
        assert_eq!(request.keyset_id, FIRST_KEYSET);
    }
    until("the list is done with", async || is_through(&mut pool)).await;
    assert_eq!(length(&mut pool, DEAD), 0);
    assert_eq!(bridge.metric("requests_enqueued_total").await, 6);
    until("all is counted", async || {
        bridge.metric("quote_keys_written_total").await == 6
    })
    .await;
    bridge.stop().await;
    push(&mut pool, [entry(7)]);
    assert_eq!(length(&mut pool, LIST), 1, "nobody takes it any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_request_leaves_out_is_filled_in_where_the_operator_says_so_and_is_a_dead_letter_else()
 {
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    let without_key = entry(1).replace(&format!(r#""{}""#, "02".repeat(33)), "null");
    let foreign = with_keyset(2, &hex::encode(FOREIGN_KEYSET));
    push(&mut pool, [&without_key, &foreign]);
    let bridge = deployment.start_bridge().await;
    until("both are dead letters", async || {
        length(&mut pool, DEAD) == 2
    })
    .await;
    let letters = dead_letters(&mut pool);
    let of = |words: &str| letters.iter().find(|(reason, _)| reason.contains(words));
    assert!(of("pubkey is missing").is_some_and(|(_, entry)| *entry == without_key));
    assert!(
        of("unknown-keyset: never heard of").is_some_and(|(_, entry)| *entry == foreign),
        "{letters:?}"
    );
    assert_eq!((told(&mut pool, 1), told(&mut pool, 2)), (None, None));
    bridge.stop().await;

    let mut config = deployment.config(deployment.redis.config());
    let requests = config.requests.as_mut().expect("it is on");
    requests.default_locking_key =
        Some("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798".to_owned());
    requests.other_keysets = true;
    let foreign = foreign.replace(&hash(2), &hash(3));
    push(&mut pool, [&without_key, &foreign]);
    let _bridge = RunningBridge::start(config).await;
    all_told(&mut pool, [1, 3]).await;
    let made = mint.made.requests();
    assert_eq!(hex::encode(&made[0].locking_key[..4]), "0279be66");
    assert_eq!(made[1].keyset_id, FIRST_KEYSET);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_an_id_is_final_and_no_quote_and_no_dead_letter() {
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    let untold = entry(1).replace(":8,", &format!(":{UNTOLD_AMOUNT},"));
    push(&mut pool, [untold, entry(2)]);
    let bridge = deployment.start_bridge().await;
    all_told(&mut pool, [2]).await;
    until("both have ended", async || {
        bridge.metric("quotes_unknown_total").await == 1
            && bridge.metric("quotes_issued_total").await == 1
            && bridge.metric("quotes_waiting").await == 0
    })
    .await;
    assert_eq!(told(&mut pool, 1), None);
    assert_eq!(length(&mut pool, DEAD), 0);
    assert!(mint.made.each_once());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_pools_find_the_mints_keyset_whatever_was_there_and_when_it_changes() {
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    let _: u64 = pool.rpush(KEYSET, "no keyset").expect("it is taken");
    let bridge = deployment.start_bridge().await;
    let keyset = |pool: &mut redis::Connection| {
        let text: Option<Vec<u8>> = pool.get(KEYSET).ok().flatten();
        winze_legacy::Keyset::parse(&text?).ok()
    };
    until("the keyset is there", async || {
        keyset(&mut pool).is_some_and(|keyset| keyset.id == FIRST_KEYSET && keyset.keys.len() == 2)
    })
    .await;
    let text: String = pool.get(KEYSET).expect("text");
    assert!(text.contains(r#""unit":"HASH""#), "{text}");
    mint.announce([5; 8]).await;
    until("the next is there", async || {
        keyset(&mut pool).is_some_and(|keyset| keyset.id == [5; 8])
    })
    .await;
    bridge.stop().await;
    // The mint need not be there for what it has announced.
    let _: u64 = pool.del(KEYSET).expect("it goes");
    drop(mint);
    let _bridge = deployment.start_bridge().await;
    until("it is there again", async || {
        keyset(&mut pool).is_some_and(|keyset| keyset.id == [5; 8])
    })
    .await;
}
