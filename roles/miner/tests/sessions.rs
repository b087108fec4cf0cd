//! A miner and the pool it depends on.

mod support;

use std::collections::HashSet;
use std::time::Duration;

use rand::Rng;
use support::{CHANNEL_ID, ReferenceChannel, ReferencePool};
use tokio::sync::mpsc;
use tokio::time::timeout;
use winze_messages::families::mint_quote::MintQuoteNotification;
use winze_miner::{
    ChannelKind, ChannelWork, ClientError, ConnectConfig, Incoming, Miner, MinerConfig, MinerEvent,
    MiningClient, OpenChannel, Share, ShareBudget, Target,
};
use winze_transport::{CHANNEL_BIT, Frame, SecretKey};

/// Far longer than anything here takes; a test that runs into it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(pool: &ReferencePool, channel: ChannelKind) -> MinerConfig {
    MinerConfig {
        channel,
        threads: 2,
        ..MinerConfig::new(pool.address().to_string(), pool.authority, [2; 33])
    }
}

async fn next(events: &mut mpsc::Receiver<MinerEvent>) -> MinerEvent {
    timeout(PATIENCE, events.recv())
        .await
        .expect("an event in time")
        .expect("a running miner")
}

/// The share that a submit on a standard channel stands for.
fn submitted(submit: &stratum_core::mining_sv2::SubmitSharesStandard) -> Share {
    Share {
        job_id: submit.job_id,
        nonce: submit.nonce,
        ntime: submit.ntime,
        version: submit.version,
        extranonce: Vec::new(),
        header_hash: [0; 32],
        zero_bits: 0,
        meets_network_target: false,
    }
}

#[tokio::test]
async fn a_pool_that_dies_before_it_answers_leaves_shares_in_doubt_and_the_miner_makes_up_for_them()
{
    let pool = ReferencePool::listen().await;
    let budget = ShareBudget::exactly(5);
    let (miner, mut events) =
        Miner::start(config(&pool, ChannelKind::Standard), budget.clone()).unwrap();

    // The first pool accepts two shares, takes a third, and is gone.
    let mut channel = ReferenceChannel::open(ChannelKind::Standard, 8);
    let mut connection = pool.accept().await;
    connection.open(&mut channel, [9; 32]).await;
    let mut hashes = HashSet::new();
    for sequence_number in 0..3 {
        let submit = connection.submit().await.unwrap();
        assert_eq!(submit.sequence_number, sequence_number);
        let verdict = channel
            .validate(sequence_number, &submitted(&submit))
            .unwrap();
        hashes.insert(verdict.header_hash);
    }
    connection.accept_shares(1, 2).await;
    let mut accepted = Vec::new();
    assert!(matches!(
        next(&mut events).await,
        MinerEvent::Connected { quotes: true, .. }
    ));
    while accepted.len() < 2 {
        match next(&mut events).await {
            MinerEvent::Accepted(share) => accepted.push(share.header_hash),
            other => panic!("{other:?}"),
        }
    }
    drop(connection);
    let mut in_doubt = Vec::new();
    loop {
        match next(&mut events).await {
            MinerEvent::InDoubt(share) => in_doubt.push(share.header_hash),
            MinerEvent::Disconnected { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(
        hashes.contains(&in_doubt[0]),
        "the third share was submitted, and never answered"
    );
    assert!(
        in_doubt.len() <= 3,
        "no more than was asked for was on its way"
    );

    // The pool is back with a fresh channel: refuses one share, accepts the rest in one batch.
    let mut channel = ReferenceChannel::open(ChannelKind::Standard, 8);
    let mut connection = pool.accept().await;
    connection.open(&mut channel, [10; 32]).await;
    for _ in 0..3 {
        connection.submit().await.unwrap();
    }
    connection.refuse_share(1, "stale-share").await;
    let fourth = connection.submit().await.unwrap();
    assert_eq!(fourth.sequence_number, 3, "the refused one is replaced");
    connection.accept_shares(3, 3).await;

    let mut refused = 0;
    while accepted.len() < 5 {
        match next(&mut events).await {
            MinerEvent::Accepted(share) => accepted.push(share.header_hash),
            MinerEvent::Refused { error_code, .. } => {
                assert_eq!(error_code, "stale-share");
                refused += 1;
            }
            MinerEvent::Connected { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 1);
    timeout(PATIENCE, budget.done()).await.unwrap();
    let unique: HashSet<_> = accepted.iter().chain(&in_doubt).collect();
    assert_eq!(
        unique.len(),
        accepted.len() + in_doubt.len(),
        "no share counts twice"
    );

    // Told to stop, it says so to the pool; and never submitted a sixth.
    let stopped = tokio::spawn(miner.stop());
    let last = timeout(PATIENCE, connection.receive())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(last.msg_type, 0x18, "CloseChannel, and no further share");
    timeout(PATIENCE, stopped).await.unwrap().unwrap();
    let state = budget.state();
    assert_eq!((state.accepted, state.refused, state.reserved), (5, 1, 0));
    assert_eq!(state.in_doubt, in_doubt.len() as u64);
}

#[tokio::test]
async fn a_miner_on_an_extended_channel_hears_of_its_quotes() {
    let pool = ReferencePool::listen().await;
    let (_miner, mut events) = Miner::start(
        config(&pool, ChannelKind::Extended),
        ShareBudget::exactly(1),
    )
    .unwrap();
    let mut channel = ReferenceChannel::open(ChannelKind::Extended, 6);
    let mut connection = pool.accept().await;
    connection.open(&mut channel, [9; 32]).await;
    let submit = connection.receive().await.unwrap();
    assert_eq!(submit.msg_type, 0x1b, "SubmitSharesExtended");

    let quote = MintQuoteNotification {
        header_hash: [4; 32],
        quote_id: "q-1".to_owned(),
        amount: 64,
        unit: "hash".to_owned(),
        expires_at_unix_s: 0,
    };
    let mut payload = CHANNEL_ID.to_le_bytes().to_vec();
    quote.encode_body(&mut payload).unwrap();
    let notice = Frame {
        extension_type: CHANNEL_BIT | 0x4802,
        msg_type: 0xc0,
        payload,
    };
    connection.send(&[notice]).await;
    loop {
        match next(&mut events).await {
            MinerEvent::Connected { .. } => {}
            MinerEvent::Quote(heard) => break assert_eq!(heard, quote),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_pool_with_another_authoritys_certificate_gets_no_shares() {
    let pool = ReferencePool::listen().await;
    let stranger = SecretKey::generate(&mut rand::rngs::OsRng).public_key();
    let config = MinerConfig {
        authority: stranger,
        reconnect: false,
        ..config(&pool, ChannelKind::Standard)
    };
    let budget = ShareBudget::exactly(1);
    let (_miner, mut events) = Miner::start(config, budget.clone()).unwrap();
    let accepting = tokio::spawn(async move { pool.accept().await });
    match next(&mut events).await {
        MinerEvent::Disconnected { reason } => assert!(reason.contains("handshake"), "{reason}"),
        other => panic!("{other:?}"),
    }
    accepting.abort();
    assert_eq!(budget.state().reserved, 0);
}

#[tokio::test]
async fn a_client_that_misbehaves_on_purpose_hears_why() {
    let pool = ReferencePool::listen().await;
    let connect = ConnectConfig {
        address: pool.address().to_string(),
        authority: pool.authority,
        standard_jobs_only: true,
        quotes: true,
    };
    let open = OpenChannel {
        kind: ChannelKind::Standard,
        request_id: rand::thread_rng().r#gen(),
        user_identity: "not a key".to_owned(),
        nominal_hash_rate: 1000.0,
        max_target: Target::MAX,
        extranonce_bytes_min: 0,
    };
    let pool_side = async {
        let mut connection = pool.accept().await;
        connection.refuse_open("unknown-user").await;
        let mut channel = ReferenceChannel::open(ChannelKind::Standard, 4);
        connection.open(&mut channel, [9; 32]).await;
        for sequence_number in 0..2 {
            let submit = connection.submit().await.unwrap();
            match channel.validate(sequence_number, &submitted(&submit)) {
                Ok(_) => connection.accept_shares(sequence_number, 1).await,
                Err(code) => connection.refuse_share(sequence_number, &code).await,
            }
        }
        // Stays until the client has heard all.
        assert!(connection.receive().await.is_none());
    };
    let client_side = async {
        let mut client = MiningClient::connect(&connect).await.unwrap();
        match client.open_channel(&open).await {
            Err(ClientError::OpenRefused { error_code }) => assert_eq!(error_code, "unknown-user"),
            other => panic!("{other:?}"),
        }
        let mut work = ChannelWork::new(client.open_channel(&open).await.unwrap());
        while work.assignment().is_none() {
            work.apply(&client.receive().await.unwrap()).unwrap();
        }
        let share = winze_miner::finder::find_one(work.assignment().unwrap()).unwrap();
        for sequence_number in 0..2 {
            client
                .submit(ChannelKind::Standard, CHANNEL_ID, sequence_number, &share)
                .await
                .unwrap();
        }
        assert!(matches!(
            client.receive().await.unwrap(),
            Incoming::SharesAccepted(_)
        ));
        match client.receive().await.unwrap() {
            Incoming::ShareRefused { error_code, .. } => assert_eq!(error_code, "duplicate-share"),
            other => panic!("{other:?}"),
        }
    };
    timeout(PATIENCE, async { tokio::join!(pool_side, client_side) })
        .await
        .unwrap();
}
