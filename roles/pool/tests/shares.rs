//! Shares over real connections, and what becomes of them.

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use support::miner::{ALICE, Answer, Miner, connect, open};
use support::mint::TestMint;
use support::{World, get, metric, nobody, until, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use winze_client::Store;
use winze_messages::text::header_hash_to_text;
use winze_miner::{ChannelKind, ClientError};

async fn ready(http: SocketAddr) {
    until("the pool is ready", || async {
        (get(http, "/health").await.0 == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_share_becomes_a_quote_that_its_miner_hears_of() {
    let world = World::new();
    let (hub_addr, hub) = world.start_hub().await;
    let mint = TestMint::start(&world, hub_addr, false).await;
    let pool = world.start_pool(hub_addr, "", "").await;
    ready(pool.http).await;

    let mut amounts = BTreeMap::new();
    for kind in [ChannelKind::Standard, ChannelKind::Extended] {
        let mut alice = Miner::start(pool.mining, world.authority, kind).await;
        let mut accepted = 0;
        for _ in 0..25 {
            let share = alice.find().await;
            amounts.insert(share.header_hash, 1_u64 << (share.zero_bits - 8));
            alice.submit(&share).await;
        }
        while accepted < 25 {
            match alice.answer().await {
                Answer::Accepted { last, count } => {
                    accepted += count;
                    assert_eq!(last, accepted, "in order, and none counted twice");
                }
                other => panic!("{other:?}"),
            }
        }
        alice.wait_for_quotes(25).await;
        for quote in &alice.quotes {
            assert_eq!(amounts[&quote.header_hash], quote.amount);
        }
    }

    let (status, page) = get(pool.http, &format!("/v1/quotes/{ALICE}?limit=30")).await;
    assert_eq!(
        (status, &page["more"], &page["pending"]),
        (200, &true.into(), &0.into())
    );
    let mut listed = page["quotes"].as_array().unwrap().clone();
    let after = &listed.last().unwrap()["sequence"];
    let (_, page) = get(pool.http, &format!("/v1/quotes/{ALICE}?after={after}")).await;
    listed.extend(page["quotes"].as_array().unwrap().clone());
    let listed: BTreeMap<String, u64> = listed
        .iter()
        .map(|quote| {
            let hash = quote["header_hash"].as_str().unwrap().to_owned();
            (hash, quote["amount"].as_u64().unwrap())
        })
        .collect();
    let expected: BTreeMap<String, u64> = amounts
        .iter()
        .map(|(hash, amount)| (header_hash_to_text(hash), *amount))
        .collect();
    assert_eq!(listed, expected);
    assert_eq!(
        metric(pool.http, "winze_pool_shares_accepted_total").await,
        50.0
    );
    assert_eq!(
        metric(pool.http, "winze_pool_quotes_issued_total").await,
        50.0
    );

    pool.running.stop().await;
    mint.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_taken_while_the_hub_is_away_outlive_the_pool_and_are_paid_once() {
    let world = World::new();
    world.seed_keyset().await;
    let pool = world.start_pool(nobody(), "", "").await;
    let mut alice = Miner::start(pool.mining, world.authority, ChannelKind::Extended).await;
    let mut shares = Vec::new();
    for _ in 0..5 {
        let share = alice.find().await;
        assert_eq!(alice.ask(&share).await, Ok(()));
        assert_eq!(alice.ask(&share).await, Err("duplicate-share".to_owned()));
        shares.push(share);
    }
    let (_, page) = get(pool.http, &format!("/v1/quotes/{ALICE}")).await;
    assert_eq!(page["pending"], 5);
    pool.running.stop().await;

    let (hub_addr, hub) = world.start_hub().await;
    let pool = world.start_pool(hub_addr, "", "").await;
    // What was work before the restart is none now, whatever job number it names.
    let mut alice = Miner::start(pool.mining, world.authority, ChannelKind::Extended).await;
    alice.find().await;
    // Under another job it is another header, one in 256 of which is worth something by chance.
    let mut shares_paid = 5;
    for share in &shares {
        let said = alice.ask(share).await;
        assert_ne!(said, Err("duplicate-share".to_owned()));
        shares_paid += usize::from(said.is_ok());
    }
    // Not before she is there to hear of the quotes.
    let mint = TestMint::start(&world, hub_addr, false).await;
    until("all quotes", || async {
        let (_, page) = get(pool.http, &format!("/v1/quotes/{ALICE}")).await;
        (page["pending"] == 0).then_some(())
    })
    .await;
    let (_, page) = get(pool.http, &format!("/v1/quotes/{ALICE}")).await;
    assert_eq!(page["quotes"].as_array().unwrap().len(), shares_paid);
    alice.wait_for_quotes(shares_paid).await;

    pool.running.stop().await;
    mint.stop().await;
    hub.stop().await;
    // And in the store each share stands once.
    let store = Store::open(&world.at("pool.sqlite"), &[]).unwrap();
    let count = store.read(|connection| {
        Ok(connection.query_row(
            "SELECT count(*) FROM pool_share WHERE state = 1",
            [],
            |row| row.get::<_, usize>(0),
        )?)
    });
    assert_eq!(count.await.unwrap(), shares_paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_too_many_quotes_wait_the_next_share_is_refused_with_the_reason() {
    let world = World::new();
    world.seed_keyset().await;
    let pool = world
        .start_pool(nobody(), "quotes_waiting_max = 3", "")
        .await;
    let mut alice = Miner::start(pool.mining, world.authority, ChannelKind::Standard).await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        let share = alice.find().await;
        answers.push(alice.ask(&share).await);
    }
    let full = Err("quote-backlog-full".to_owned());
    assert_eq!(answers, [Ok(()), Ok(()), Ok(()), full.clone(), full]);
    let refused = "winze_pool_shares_refused_total{reason=\"quote-backlog-full\"}";
    assert_eq!(metric(pool.http, refused).await, 2.0);
    pool.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mint_there_is_nothing_to_mine_for() {
    let world = World::new();
    let pool = world.start_pool(nobody(), "", "").await;
    let mut client = connect(pool.mining, world.authority).await;
    let refused = open(&mut client, ALICE, ChannelKind::Standard).await;
    let Err(ClientError::OpenRefused { error_code }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error_code, "mint-keyset-unknown");
    let (status, health) = get(pool.http, "/health").await;
    assert_eq!((status, &health["ready"]), (503, &false.into()));

    let (status, answer) = get(pool.http, "/v1/quotes/0279be").await;
    assert_eq!(status, 400);
    assert!(
        answer["error"].as_str().unwrap().contains("66 hex digits"),
        "{answer}"
    );
    pool.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mint_that_refuses_is_heard_of_by_the_miner_and_in_the_list() {
    let world = World::new();
    let (hub_addr, hub) = world.start_hub().await;
    let mint = TestMint::start(&world, hub_addr, true).await;
    let pool = world.start_pool(hub_addr, "", "").await;
    ready(pool.http).await;
    let mut alice = Miner::start(pool.mining, world.authority, ChannelKind::Standard).await;
    let share = alice.find().await;
    assert_eq!(alice.ask(&share).await, Ok(()));
    let refused = until("the refusal", || async {
        let (_, page) = get(pool.http, &format!("/v1/quotes/{ALICE}")).await;
        page["refused"].get(0).cloned()
    })
    .await;
    assert_eq!(
        refused["header_hash"],
        header_hash_to_text(&share.header_hash)
    );
    assert_eq!(refused["error_message"], "not this pool");
    pool.running.stop().await;
    mint.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_talks_nonsense_disturbs_nobody() {
    let world = World::new();
    world.seed_keyset().await;
    let pool = world.start_pool(nobody(), "", "").await;
    let mut alice = Miner::start(pool.mining, world.authority, ChannelKind::Standard).await;

    let mut stranger = tokio::net::TcpStream::connect(pool.mining).await.unwrap();
    stranger.write_all(&[0x5a; 500]).await.unwrap();
    let mut heard = Vec::new();
    // The handshake's answer and then the end; a reset is an end too.
    let _ = within(stranger.read_to_end(&mut heard)).await;
    assert!(
        heard.len() <= winze_transport::ACT_2_BYTES,
        "{} bytes",
        heard.len()
    );

    let share = alice.find().await;
    assert_eq!(alice.ask(&share).await, Ok(()));
    pool.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mint_that_is_replaced_while_shares_wait_costs_none_of_them_its_quote() {
    let mut world = World::new();
    world.seed_keyset().await;
    let pool = world.start_pool(nobody(), "", "").await;
    let mut alice = Miner::start(pool.mining, world.authority, ChannelKind::Standard).await;
    for _ in 0..3 {
        let share = alice.find().await;
        assert_eq!(alice.ask(&share).await, Ok(()));
    }
    pool.running.stop().await;

    // The operator has set up another mint, under the same name.
    let old_key = world.mint_key;
    world.mint_key = world.authority;
    let refused = world.bind_pool(nobody(), "", "").await.err().unwrap();
    let refused = refused.to_string();
    assert!(refused.contains("3 quote requests wait"), "{refused}");
    assert!(refused.contains(&old_key.to_string()), "{refused}");

    let new_key = std::mem::replace(&mut world.mint_key, old_key);
    let (hub_addr, hub) = world.start_hub().await;
    let mint = TestMint::start(&world, hub_addr, false).await;
    let pool = world.start_pool(hub_addr, "", "").await;
    until("all quotes", || async {
        let (_, page) = get(pool.http, &format!("/v1/quotes/{ALICE}")).await;
        (page["quotes"].as_array().map(Vec::len) == Some(3)).then_some(())
    })
    .await;
    pool.running.stop().await;
    mint.stop().await;
    hub.stop().await;

    world.mint_key = new_key;
    let pool = world.start_pool(nobody(), "", "").await;
    let mut client = connect(pool.mining, world.authority).await;
    let refused = open(&mut client, ALICE, ChannelKind::Standard).await;
    assert!(
        matches!(&refused, Err(ClientError::OpenRefused { error_code }) if error_code == "mint-keyset-unknown"),
        "the old mint's keyset is forgotten: {refused:?}"
    );
    pool.running.stop().await;
}

/// Whether the pool answers a handshake that starts from this address, on a connection that is then let go of.
async fn answers_from(pool: SocketAddr, from: [u8; 4]) -> bool {
    let mut stream = connected_from(pool, from).await;
    // Any 64 bytes are a first act.
    let sent = stream.write_all(&[0x5a; 64]).await;
    sent.is_ok() && within(stream.read_u8()).await.is_ok()
}

async fn connected_from(pool: SocketAddr, from: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    within(socket.connect(pool)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_from_one_address_keep_nobody_out_at_another() {
    const GREEDY: [u8; 4] = [127, 0, 0, 1];
    const MODEST: [u8; 4] = [127, 0, 0, 2];
    let world = World::new();
    let more = "connections_per_address_max = 2";
    let pool = world.start_pool(nobody(), more, "").await;
    let silent = [
        connected_from(pool.mining, GREEDY).await,
        connected_from(pool.mining, GREEDY).await,
    ];
    assert!(!answers_from(pool.mining, GREEDY).await);
    assert!(answers_from(pool.mining, MODEST).await);
    let turned_away = "winze_pool_connections_turned_away_total";
    assert_eq!(metric(pool.http, turned_away).await, 1.0);

    drop(silent);
    until("a place is free again", || async {
        answers_from(pool.mining, GREEDY).await.then_some(())
    })
    .await;
    pool.running.stop().await;
}
