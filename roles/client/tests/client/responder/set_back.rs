//! A mint's store, or its pool's, that was set back, as the mint sees it.

use std::path::{Path, PathBuf};

use winze_client::answers::AnswersFile;

use super::*;

/// Copies a store that nobody has open, with what of its log was not copied into it yet.
fn copy_store(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
    let log = |path: &Path| {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        PathBuf::from(log)
    };
    let _ = std::fs::remove_file(log(to));
    if log(from).exists() {
        std::fs::copy(log(from), log(to)).unwrap();
    }
}

fn come(requests: u64, answers: u64) -> StoreNumbers {
    StoreNumbers { requests, answers }
}

/// Asks, and is told that nothing can be issued at present.
async fn is_put_off(side: &mut HubSide, share: u8) {
    ask(side, &pool_keys(POOL_KEY), &request(share)).await;
    let (answer, sequence) = hear(side, &request(share)).await;
    assert_eq!((code(&answer), sequence), (QuoteErrorCode::Unavailable, 0));
}

/// Asks, and gets the quote, as the answer with this number.
async fn is_issued(side: &mut HubSide, share: u8, number: u64) {
    ask(side, &pool_keys(POOL_KEY), &request(share)).await;
    let expected = MintQuoteMessage::Response(response(&request(share)));
    assert_eq!(hear(side, &request(share)).await, (expected, number));
}

#[tokio::test]
async fn a_mint_whose_record_was_set_back_makes_nothing_for_the_pool_that_knows_more_until_its_operator_says_so()
 {
    let folder = TempDir::new().unwrap();
    let (file, backup) = (
        folder.path().join("mint.sqlite"),
        folder.path().join("copy"),
    );
    let issuer = Issuer::new(issue);
    let mint = Mint::start(&folder, &issuer).await;
    is_issued(&mut mint.connect().await, 1, 1).await;
    mint.stop().await;
    copy_store(&file, &backup);
    let mint = Mint::start(&folder, &issuer).await;
    is_issued(&mut mint.connect_telling(come(1, 1)).await, 2, 2).await;
    assert_eq!(mint.responder.status().counts.set_back, 0);
    mint.stop().await;
    copy_store(&backup, &file);

    let mint = Mint::start(&folder, &issuer).await;
    let mut side = mint.connect_telling(come(2, 2)).await;
    for new in [2, 3] {
        is_put_off(&mut side, new).await;
    }
    is_issued(&mut side, 1, 1).await;
    let noticed = until(
        "the operator is told",
        || mint.responder.set_backs(),
        |all| !all.is_empty(),
    );
    noticed.await;
    let set_back = mint.responder.set_backs().remove(0);
    assert_eq!(
        (
            set_back.peer.as_str(),
            set_back.own_answers,
            set_back.told_answers
        ),
        ("pool/main", 1, 2)
    );
    assert_eq!(mint.responder.status().counts.set_back, 1);
    mint.stop().await;

    // Neither a restart nor a pool that has forgotten as well makes it good.
    let mint = Mint::start(&folder, &issuer).await;
    let mut side = mint.connect_telling(come(1, 1)).await;
    is_put_off(&mut side, 3).await;
    assert_eq!(issuer.asked(), [1, 2]);

    let accepted = AnswersFile::open(&file).unwrap().accept(None, 7).unwrap();
    assert_eq!(accepted, ["pool/main"]);
    is_issued(&mut side, 3, 3).await;
    is_issued(&mut side, 2, 4).await;
    until(
        "nothing to be told",
        || mint.responder.status().pools_ahead,
        |pools| *pools == 0,
    )
    .await;
    mint.stop().await;

    // What was accepted is over: the pool's numbers agree with the record's.
    let mint = Mint::start(&folder, &issuer).await;
    is_issued(&mut mint.connect_telling(come(4, 4)).await, 5, 5).await;
    assert_eq!(mint.responder.status().counts.set_back, 0);
}

/// The query that comes first on the channel, by its digest.
async fn queried(side: &mut HubSide) -> [u8; 32] {
    let (msg_type, sealed) = side.channel_message().await;
    assert_eq!(msg_type, StoreQuery::MSG_TYPE);
    let opened = pool_keys(POOL_KEY).open(msg_type, &sealed, None).unwrap();
    request_digest(EXT_MINT_QUOTE, msg_type, opened.body)
}

#[tokio::test]
async fn what_a_mint_is_asked_before_the_pool_has_told_hides_no_set_back() {
    let folder = TempDir::new().unwrap();
    let (file, backup) = (
        folder.path().join("mint.sqlite"),
        folder.path().join("copy"),
    );
    let issuer = Issuer::new(issue);
    let mint = Mint::start(&folder, &issuer).await;
    is_issued(&mut mint.connect().await, 1, 1).await;
    mint.stop().await;
    copy_store(&file, &backup);
    let mint = Mint::start(&folder, &issuer).await;
    is_issued(&mut mint.connect_telling(come(1, 1)).await, 2, 2).await;
    mint.stop().await;
    copy_store(&backup, &file);
    issuer.recalled.lock().unwrap().push(2);

    // The hub keeps the pool's word back and lets its requests pass, for the mint to find as many
    // answers again as it has forgotten.
    let mint = Mint::start(&folder, &issuer).await;
    let mut side = mint.hub.accept().await;
    offer(&mut side, "pool/main").await;
    let asked = queried(&mut side).await;
    is_put_off(&mut side, 2).await;
    is_issued(&mut side, 1, 1).await;
    let (keys, told) = (pool_keys(POOL_KEY), state(come(2, 2)));
    side.send_sealed(&keys, StoreState::MSG_TYPE, &told, 0, Some(asked))
        .await;
    is_issued(&mut side, 2, 3).await;
    is_put_off(&mut side, 3).await;
    assert_eq!(mint.responder.status().counts.set_back, 1);
}

#[tokio::test]
async fn nobody_but_the_pool_itself_tells_a_mint_that_it_was_set_back() {
    let folder = TempDir::new().unwrap();
    let issuer = Issuer::new(issue);
    let mint = Mint::start(&folder, &issuer).await;
    let mut side = mint.hub.accept().await;
    offer(&mut side, "pool/main").await;
    let keys = pool_keys(POOL_KEY);
    let first = queried(&mut side).await;
    // While the hub keeps the pool's word from the mint, nothing is made.
    is_put_off(&mut side, 1).await;
    let sealed = |key: u8, digest| {
        pool_keys(key).seal(
            StoreState::MSG_TYPE,
            &state(come(900, 900)),
            0,
            Some(digest),
        )
    };
    let mut altered = keys.seal(StoreState::MSG_TYPE, &state(come(0, 0)), 0, Some(first));
    altered[8] = 200;
    // The pool's word of another time, for a query that is over.
    side.peer_is_replaced().await;
    let second = queried(&mut side).await;
    assert_ne!(first, second);
    let lies = [
        sealed(STRANGER_KEY, second),
        sealed(POOL_KEY, first),
        altered,
        vec![7; 5],
    ];
    for lie in &lies {
        side.send(channel_frame(EXT_MINT_QUOTE, StoreState::MSG_TYPE, 1, lie))
            .await;
    }
    is_put_off(&mut side, 1).await;
    let counts = mint.responder.status().counts;
    assert_eq!((counts.stores_unauthentic, counts.set_back), (4, 0));

    let truth = state(come(0, 0));
    side.send_sealed(&keys, StoreState::MSG_TYPE, &truth, 0, Some(second))
        .await;
    is_issued(&mut side, 1, 1).await;
    // Played again it says nothing any more.
    side.send(channel_frame(
        EXT_MINT_QUOTE,
        StoreState::MSG_TYPE,
        1,
        &sealed(POOL_KEY, second),
    ))
    .await;
    is_issued(&mut side, 2, 2).await;
    assert_eq!(mint.responder.status().counts.stores_unauthentic, 5);
}

#[tokio::test]
async fn a_pool_that_asks_how_far_the_mint_has_come_gets_the_record_of_its_own_answers() {
    let folder = TempDir::new().unwrap();
    let issuer = Issuer::new(issue);
    let mint = Mint::start(&folder, &issuer).await;
    let mut side = mint.connect().await;
    let keys = pool_keys(POOL_KEY);
    let sealed = keys.seal(
        MintQuoteRequest::MSG_TYPE,
        &request_body(&request(1)),
        41,
        None,
    );
    side.send(channel_frame(
        EXT_MINT_QUOTE,
        MintQuoteRequest::MSG_TYPE,
        1,
        &sealed,
    ))
    .await;
    hear(&mut side, &request(1)).await;
    let nonce = [9; 32];
    side.send_sealed(&keys, StoreQuery::MSG_TYPE, &nonce, 0, None)
        .await;
    let (msg_type, sealed) = side.channel_message().await;
    let digest = request_digest(EXT_MINT_QUOTE, StoreQuery::MSG_TYPE, &nonce);
    let opened = keys.open(msg_type, &sealed, Some(digest)).unwrap();
    let told = StoreState::decode_body(opened.body).unwrap();
    assert_eq!((told.requests, told.answers), (41, 1));
    drop(side);

    // A pool that was set back to before that is told to the mint's operator, and served.
    let mut side = mint.connect_telling(come(40, 0)).await;
    is_issued(&mut side, 2, 2).await;
    assert_eq!(mint.responder.status().counts.pools_set_back, 1);
}

#[tokio::test]
async fn a_pool_that_claims_answers_which_it_never_got_stops_itself_and_no_other() {
    let folder = TempDir::new().unwrap();
    let issuer = Issuer::new(issue);
    let mint = Mint::start_with(&folder, &issuer, |config| {
        let other = (name("pool/other"), public(STRANGER_KEY));
        config.pools.push(other);
    })
    .await;
    let mut side = mint.connect_telling(come(9, 9)).await;
    is_put_off(&mut side, 1).await;

    side.say(ChannelOffer {
        channel_id: 2,
        extension: EXT_MINT_QUOTE,
        peer: "pool/other".to_owned(),
        label: String::new(),
        peer_present: true,
        peer_instance: 99,
        credit_messages: 10,
        credit_bytes: 10_000,
    })
    .await;
    assert!(matches!(
        answer_to_offer(&mut side).await,
        HubMessage::ChannelOfferAccept(_)
    ));
    let keys = pool_keys(STRANGER_KEY);
    let (msg_type, query) = side.channel_message().await;
    let opened = keys.open(msg_type, &query, None).unwrap();
    let asked = request_digest(EXT_MINT_QUOTE, StoreQuery::MSG_TYPE, opened.body);
    for (msg_type, body, digest) in [
        (StoreState::MSG_TYPE, state(come(0, 0)), Some(asked)),
        (MintQuoteRequest::MSG_TYPE, request_body(&request(1)), None),
    ] {
        let sealed = keys.seal(msg_type, &body, 0, digest);
        side.send(channel_frame(EXT_MINT_QUOTE, msg_type, 2, &sealed))
            .await;
    }
    let (msg_type, sealed) = side.channel_message().await;
    let opened = keys.open(msg_type, &sealed, Some(digest(&request(1))));
    let quote = MintQuoteMessage::decode_body(msg_type, opened.unwrap().body).unwrap();
    assert_eq!(quote, MintQuoteMessage::Response(response(&request(1))));

    // The quote is a record, and so it is told to the liar as well, above what it has claimed.
    is_issued(&mut side, 1, 10).await;
    is_put_off(&mut side, 2).await;
}
