//! A mint that answers.

mod set_back;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use winze_client::mint_quote::StoreNumbers;
use winze_client::{
    ANSWERS_SCHEMA, HubClient, QuoteIssuer, QuoteOutcome, QuoteResponder, QuoteResponderConfig,
    Store,
};
use winze_messages::authenticator::Unverified;
use winze_messages::families::hub::{ChannelOffer, CloseChannel, Credit, HubMessage};
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteMessage, MintQuoteRequest, QuoteErrorCode,
    QuoteState, StoreQuery, StoreState,
};
use winze_messages::{EXT_MINT_QUOTE, PairKeys, PeerName, channel_frame, request_digest};
use winze_transport::PublicKey;

use crate::party::{
    POOL_KEY, STRANGER_KEY, body, digest, keyset, mint, name, pool_keys, public, request,
    request_body, response,
};
use crate::scripted_hub::{HubSide, ScriptedHub, until, within};

/// A mint that remembers what it was asked, and does what the test says.
struct Issuer {
    batches: Mutex<Vec<Vec<u8>>>,
    decide: Box<dyn Fn(&MintQuoteRequest) -> QuoteOutcome + Send + Sync>,
    /// Shares whose quotes are in its own record, whatever became of the responder's.
    recalled: Mutex<Vec<u8>>,
    /// One permit for each batch that may be issued.
    gate: Semaphore,
}

impl Issuer {
    fn new(
        decide: impl Fn(&MintQuoteRequest) -> QuoteOutcome + Send + Sync + 'static,
    ) -> Arc<Issuer> {
        Arc::new(Issuer {
            batches: Mutex::default(),
            decide: Box::new(decide),
            recalled: Mutex::default(),
            gate: Semaphore::new(1_000),
        })
    }

    fn asked(&self) -> Vec<u8> {
        self.batches.lock().unwrap().concat()
    }
}

#[async_trait]
impl QuoteIssuer for Issuer {
    async fn issue(
        &self,
        pool: &PeerName,
        pool_key: &PublicKey,
        requests: Vec<MintQuoteRequest>,
    ) -> Vec<QuoteOutcome> {
        let listed = [("pool/main", POOL_KEY), ("pool/other", STRANGER_KEY)];
        let is_listed = |it: (&str, u8)| (pool, pool_key) == (&name(it.0), &public(it.1));
        assert!(listed.into_iter().any(is_listed), "{pool}");
        let shares = requests.iter().map(request_share).collect();
        self.batches.lock().unwrap().push(shares);
        self.gate.acquire().await.unwrap().forget();
        requests.iter().map(&self.decide).collect()
    }

    async fn recall(&self, requests: Vec<MintQuoteRequest>) -> Vec<QuoteOutcome> {
        let recalled = self.recalled.lock().unwrap();
        let later = QuoteOutcome::Later {
            code: QuoteErrorCode::Unavailable,
            message: "there is none".to_owned(),
            retry_after_ms: 1,
        };
        let outcome = |request| match recalled.contains(&request_share(request)) {
            true => issue(request),
            false => later.clone(),
        };
        requests.iter().map(outcome).collect()
    }
}

fn request_share(request: &MintQuoteRequest) -> u8 {
    request.header_hash[0]
}

fn issue(request: &MintQuoteRequest) -> QuoteOutcome {
    QuoteOutcome::Issued(response(request))
}

struct Mint {
    hub: ScriptedHub,
    client: HubClient,
    responder: QuoteResponder,
    store: Store,
}

impl Mint {
    async fn start(folder: &TempDir, issuer: &Arc<Issuer>) -> Mint {
        Mint::start_with(folder, issuer, |_| {}).await
    }

    async fn start_with(
        folder: &TempDir,
        issuer: &Arc<Issuer>,
        configure: impl FnOnce(&mut QuoteResponderConfig),
    ) -> Mint {
        let path = folder.path().join("mint.sqlite");
        let store = Store::open(&path, &[ANSWERS_SCHEMA]).unwrap();
        let hub = ScriptedHub::bind().await;
        let client = HubClient::start(hub.client_config(), mint());
        let mut config = QuoteResponderConfig::new(vec![(name("pool/main"), public(POOL_KEY))]);
        configure(&mut config);
        let issuer: Arc<dyn QuoteIssuer> = Arc::<Issuer>::clone(issuer);
        let responder = QuoteResponder::start(&client, store.clone(), config, issuer).unwrap();
        Mint {
            hub,
            client,
            responder,
            store,
        }
    }

    /// A pool on channel 1 that has told how far it has come.
    async fn connect(&self) -> HubSide {
        self.connect_telling(StoreNumbers::default()).await
    }

    /// The same, with a pool that has come so far.
    async fn connect_telling(&self, numbers: StoreNumbers) -> HubSide {
        let mut side = self.hub.accept().await;
        assert!(matches!(
            offer(&mut side, "pool/main").await,
            HubMessage::ChannelOfferAccept(_)
        ));
        tell(&mut side, numbers).await;
        side
    }

    async fn stop(self) {
        self.responder.shutdown().await;
        self.client.shutdown().await;
        drop(self.store);
    }
}

async fn offer(side: &mut HubSide, peer: &str) -> HubMessage {
    let peer_instance = side.new_instance();
    side.say(ChannelOffer {
        channel_id: 1,
        extension: EXT_MINT_QUOTE,
        peer: peer.to_owned(),
        label: String::new(),
        peer_present: true,
        peer_instance,
        credit_messages: 1_000,
        credit_bytes: 1_000_000,
    })
    .await;
    side.hub_message().await
}

/// What the mint says to an offer; it may ask on other channels meanwhile how far the pool has come.
async fn answer_to_offer(side: &mut HubSide) -> HubMessage {
    loop {
        let frame = side.frame().await;
        if !frame.is_channel_msg() && frame.msg_type != Credit::MSG_TYPE {
            return HubMessage::decode(&frame).unwrap();
        }
    }
}

/// The pool on channel 1 is asked how far its store has come, and says it.
async fn tell(side: &mut HubSide, numbers: StoreNumbers) {
    let (msg_type, sealed) = side.channel_message().await;
    assert_eq!(msg_type, StoreQuery::MSG_TYPE);
    let (keys, opened) = [POOL_KEY, STRANGER_KEY]
        .map(pool_keys)
        .into_iter()
        .find_map(|keys| Some((keys.open(msg_type, &sealed, None).ok()?.body.to_vec(), keys)))
        .map(|(body, keys)| (keys, body))
        .unwrap();
    let digest = request_digest(EXT_MINT_QUOTE, msg_type, &opened);
    side.send_sealed(
        &keys,
        StoreState::MSG_TYPE,
        &state(numbers),
        0,
        Some(digest),
    )
    .await;
}

fn state(numbers: StoreNumbers) -> Vec<u8> {
    let state = StoreState {
        requests: numbers.requests,
        answers: numbers.answers,
    };
    body(|out| state.encode_body(out))
}

async fn ask(side: &mut HubSide, keys: &PairKeys, request: &MintQuoteRequest) {
    let body = request_body(request);
    side.send_sealed(keys, MintQuoteRequest::MSG_TYPE, &body, 1, None)
        .await;
}

/// The answer to `request` that reaches its pool, with its number.
async fn hear(side: &mut HubSide, request: &MintQuoteRequest) -> (MintQuoteMessage, u64) {
    let (msg_type, sealed) = side.channel_message().await;
    let opened = pool_keys(POOL_KEY)
        .open(msg_type, &sealed, Some(digest(request)))
        .unwrap();
    (
        MintQuoteMessage::decode_body(msg_type, opened.body).unwrap(),
        opened.sequence,
    )
}

fn code(answer: &MintQuoteMessage) -> QuoteErrorCode {
    match answer {
        MintQuoteMessage::Error(error) => QuoteErrorCode::from_u32(error.error_code).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_gets_one_quote_however_often_and_whenever_it_comes() {
    let folder = TempDir::new().unwrap();
    let issuer = Issuer::new(issue);
    let mint = Mint::start(&folder, &issuer).await;
    let mut side = mint.connect().await;
    let (keys, share) = (pool_keys(POOL_KEY), request(1));
    let expected = (MintQuoteMessage::Response(response(&share)), 1);
    for _ in 0..2 {
        ask(&mut side, &keys, &share).await;
        assert_eq!(hear(&mut side, &share).await, expected);
    }
    let status = mint.responder.status();
    assert_eq!((status.counts.issued, status.counts.repeated), (1, 1));
    assert_eq!(status.pools_present, 1);
    drop(side);
    mint.stop().await;

    let mint = Mint::start(&folder, &issuer).await;
    let mut side = mint.connect().await;
    ask(&mut side, &keys, &share).await;
    assert_eq!(hear(&mut side, &share).await, expected);
    // Another description or keyset is still the same request, and the answer covers this one.
    let mut described = share.clone();
    described.description = Some("the same share".to_owned());
    ask(&mut side, &keys, &described).await;
    assert_eq!(hear(&mut side, &described).await, expected);
    assert_eq!(issuer.asked(), [1]);

    // Other contents are a conflict, and stay one.
    for change in [
        |r: &mut MintQuoteRequest| r.amount += 1,
        |r: &mut MintQuoteRequest| r.unit.push('x'),
        |r: &mut MintQuoteRequest| r.locking_key[5] ^= 1,
    ] {
        let mut other = share.clone();
        change(&mut other);
        ask(&mut side, &keys, &other).await;
        let first = hear(&mut side, &other).await;
        assert_eq!(code(&first.0), QuoteErrorCode::Conflict);
        ask(&mut side, &keys, &other).await;
        assert_eq!(hear(&mut side, &other).await, first);
    }
    assert_eq!(issuer.asked(), [1]);
}

#[tokio::test]
async fn what_waits_is_issued_together_and_a_share_twice_in_it_once() {
    let folder = TempDir::new().unwrap();
    let mut issuer = Issuer::new(issue);
    Arc::get_mut(&mut issuer).unwrap().gate = Semaphore::new(0);
    let mint = Mint::start(&folder, &issuer).await;
    let mut side = mint.connect().await;
    let keys = pool_keys(POOL_KEY);
    ask(&mut side, &keys, &request(1)).await;
    until("the first batch", || issuer.asked(), |asked| asked == &[1]).await;
    // While the first one is issued, these wait.
    let mut other = request(3);
    other.amount += 1;
    let waiting = [request(2), request(3), request(2), other, request(4)];
    for request in &waiting {
        ask(&mut side, &keys, request).await;
    }
    until(
        "them to arrive",
        || mint.client.counts().frames_received,
        |n| *n >= 10,
    )
    .await;
    issuer.gate.add_permits(100);
    hear(&mut side, &request(1)).await;

    let mut sequences = Vec::new();
    for (place, request) in waiting.iter().enumerate() {
        let (answer, sequence) = hear(&mut side, request).await;
        sequences.push(sequence);
        match place {
            3 => assert_eq!(code(&answer), QuoteErrorCode::Conflict),
            _ => assert_eq!(answer, MintQuoteMessage::Response(response(request))),
        }
    }
    assert_eq!(sequences, [2, 3, 2, 4, 5]);
    assert_eq!(*issuer.batches.lock().unwrap(), [vec![1], vec![2, 3, 4]]);
}

#[tokio::test]
async fn a_hub_that_dies_while_as_much_is_issued_as_may_wait_silences_nobody() {
    let folder = TempDir::new().unwrap();
    let mut issuer = Issuer::new(issue);
    Arc::get_mut(&mut issuer).unwrap().gate = Semaphore::new(0);
    let mint = Mint::start_with(&folder, &issuer, |config| config.batch_max = 1).await;
    let mut side = mint.connect().await;
    let keys = pool_keys(POOL_KEY);
    ask(&mut side, &keys, &request(1)).await;
    until("the batch", || issuer.asked(), |asked| asked == &[1]).await;
    drop(side);
    // The answer is ready after the channel has changed: it is for an instance that is gone.
    let mut side = mint.hub.accept().await;
    offer(&mut side, "pool/main").await;
    issuer.gate.add_permits(100);
    tell(&mut side, StoreNumbers::default()).await;
    for share in [1, 2] {
        ask(&mut side, &keys, &request(share)).await;
        let (answer, _) = hear(&mut side, &request(share)).await;
        assert_eq!(
            answer,
            MintQuoteMessage::Response(response(&request(share)))
        );
    }
    assert_eq!(issuer.asked(), [1, 2]);
}

#[tokio::test]
async fn a_pool_that_names_its_channel_anew_each_time_is_always_taken() {
    let folder = TempDir::new().unwrap();
    let issuer = Issuer::new(issue);
    let mint = Mint::start_with(&folder, &issuer, |config| config.channels_max = 1).await;
    let mut side = mint.hub.accept().await;
    let mut channel_id = 0;
    for round in 0..20 {
        within("the offer to be accepted", async {
            loop {
                channel_id += 1;
                side.say(ChannelOffer {
                    channel_id,
                    extension: EXT_MINT_QUOTE,
                    peer: "pool/main".to_owned(),
                    label: round.to_string(),
                    peer_present: true,
                    peer_instance: 1,
                    credit_messages: 10,
                    credit_bytes: 10_000,
                })
                .await;
                match answer_to_offer(&mut side).await {
                    HubMessage::ChannelOfferAccept(_) => break,
                    // The mint has yet to let go of the one before.
                    HubMessage::ChannelOfferRefuse(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        })
        .await;
        side.say(CloseChannel {
            channel_id,
            reason_code: "closed-by-peer".to_owned(),
            detail: String::new(),
        })
        .await;
    }
    until(
        "nobody there",
        || mint.responder.status().pools_present,
        |pools| *pools == 0,
    )
    .await;
}

#[tokio::test]
async fn a_stranger_behind_a_good_name_gets_no_quote() {
    let folder = TempDir::new().unwrap();
    let issuer = Issuer::new(issue);
    let mint = Mint::start(&folder, &issuer).await;
    let mut side = mint.hub.accept().await;
    assert!(matches!(
        offer(&mut side, "pool/other").await,
        HubMessage::ChannelOfferRefuse(_)
    ));
    // The hub says that this is the pool, and it is not.
    offer(&mut side, "pool/main").await;
    side.channel_message().await;
    ask(&mut side, &pool_keys(STRANGER_KEY), &request(1)).await;
    let (msg_type, sealed) = side.channel_message().await;
    assert_eq!(msg_type, MintQuoteError::MSG_TYPE);
    let unverified = Unverified::split(&sealed).unwrap();
    let error = MintQuoteError::decode_body(unverified.body).unwrap();
    assert_eq!(error.error_code, QuoteErrorCode::BadAuthenticator.to_u32());
    assert_eq!(unverified.sequence, 0);

    // The pool's own request, with another amount put in by the hub.
    let good = pool_keys(POOL_KEY);
    let mut sealed = good.seal(
        MintQuoteRequest::MSG_TYPE,
        &request_body(&request(1)),
        1,
        None,
    );
    sealed[0] ^= 1;
    let frame = channel_frame(EXT_MINT_QUOTE, MintQuoteRequest::MSG_TYPE, 1, &sealed);
    side.send(frame).await;
    let (msg_type, sealed) = side.channel_message().await;
    // The refusal covers the altered request: to the pool it says nothing about its own.
    assert!(
        good.open(msg_type, &sealed, Some(digest(&request(1))))
            .is_err()
    );
    assert!(issuer.asked().is_empty());
    assert_eq!(mint.responder.status().counts.unauthentic, 2);
}

#[tokio::test]
async fn refusals_for_good_are_recorded_and_those_for_now_are_not() {
    let folder = TempDir::new().unwrap();
    let tries = Arc::new(Mutex::new(0));
    let count = Arc::clone(&tries);
    let issuer = Issuer::new(move |request| {
        *count.lock().unwrap() += 1;
        match (request.header_hash[0], *count.lock().unwrap()) {
            (1, _) => QuoteOutcome::Refused {
                code: QuoteErrorCode::AmountTooLarge,
                message: "x".repeat(300),
            },
            (_, tries) if tries < 4 => QuoteOutcome::Later {
                code: QuoteErrorCode::Allowance,
                message: "tomorrow".to_owned(),
                retry_after_ms: 7,
            },
            _ => issue(request),
        }
    });
    let mint = Mint::start(&folder, &issuer).await;
    let mut side = mint.connect().await;
    let keys = pool_keys(POOL_KEY);
    for _ in 0..2 {
        ask(&mut side, &keys, &request(1)).await;
        let (answer, sequence) = hear(&mut side, &request(1)).await;
        assert_eq!(
            (code(&answer), sequence),
            (QuoteErrorCode::AmountTooLarge, 1)
        );
    }
    for _ in 0..2 {
        ask(&mut side, &keys, &request(2)).await;
        let (answer, sequence) = hear(&mut side, &request(2)).await;
        assert_eq!((code(&answer), sequence), (QuoteErrorCode::Allowance, 0));
    }
    ask(&mut side, &keys, &request(2)).await;
    let (answer, sequence) = hear(&mut side, &request(2)).await;
    assert_eq!(answer, MintQuoteMessage::Response(response(&request(2))));
    assert_eq!(sequence, 2);
    assert_eq!(issuer.asked(), [1, 2, 2, 2]);
}

#[tokio::test]
async fn an_issuer_that_contradicts_the_request_or_forgets_it_promises_nothing() {
    let folder = TempDir::new().unwrap();
    let issuer = Issuer::new(|request| {
        let mut wrong = response(request);
        match request.header_hash[0] {
            1 => wrong.amount += 1,
            2 => wrong.quote_id.clear(),
            _ => wrong.state = QuoteState::Unknown,
        }
        QuoteOutcome::Issued(wrong)
    });
    let mint = Mint::start(&folder, &issuer).await;
    let mut side = mint.connect().await;
    for share in [1, 2, 3] {
        ask(&mut side, &pool_keys(POOL_KEY), &request(share)).await;
        let (answer, sequence) = hear(&mut side, &request(share)).await;
        assert_eq!((code(&answer), sequence), (QuoteErrorCode::Unavailable, 0));
    }
}

#[tokio::test]
async fn a_mint_with_too_much_under_way_says_so() {
    let folder = TempDir::new().unwrap();
    let mut issuer = Issuer::new(issue);
    Arc::get_mut(&mut issuer).unwrap().gate = Semaphore::new(0);
    let mint = Mint::start_with(&folder, &issuer, |config| {
        config.under_way_max = 1;
        config.batch_max = 1;
        config.retry_after_ms = 333;
    })
    .await;
    let mut side = mint.connect().await;
    let keys = pool_keys(POOL_KEY);
    ask(&mut side, &keys, &request(1)).await;
    until(
        "the issuer to be busy",
        || issuer.asked(),
        |asked| asked == &[1],
    )
    .await;
    // The same pool on a second channel.
    side.say(ChannelOffer {
        channel_id: 2,
        extension: EXT_MINT_QUOTE,
        peer: "pool/main".to_owned(),
        label: "second".to_owned(),
        peer_present: true,
        peer_instance: 99,
        credit_messages: 10,
        credit_bytes: 10_000,
    })
    .await;
    assert!(matches!(
        side.hub_message().await,
        HubMessage::ChannelOfferAccept(_)
    ));
    let (_, query) = side.channel_message().await;
    let opened = keys.open(StoreQuery::MSG_TYPE, &query, None).unwrap();
    let asked = request_digest(EXT_MINT_QUOTE, StoreQuery::MSG_TYPE, opened.body);
    let told = state(StoreNumbers::default());
    for (msg_type, body, digest) in [
        (StoreState::MSG_TYPE, told, Some(asked)),
        (MintQuoteRequest::MSG_TYPE, request_body(&request(2)), None),
    ] {
        let sealed = keys.seal(msg_type, &body, 0, digest);
        side.send(channel_frame(EXT_MINT_QUOTE, msg_type, 2, &sealed))
            .await;
    }
    let (answer, sequence) = hear(&mut side, &request(2)).await;
    assert_eq!((code(&answer), sequence), (QuoteErrorCode::Busy, 0));
    let MintQuoteMessage::Error(error) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(error.retry_after_ms, 333);
    issuer.gate.add_permits(1);
    hear(&mut side, &request(1)).await;
}

/// The next announcement that reaches the pool: the keyset and its serial number.
async fn hear_keyset(side: &mut HubSide) -> (u8, u64) {
    let (msg_type, sealed) = side.channel_message().await;
    assert_eq!(msg_type, KeysetAnnouncement::MSG_TYPE);
    let opened = pool_keys(POOL_KEY).open(msg_type, &sealed, None).unwrap();
    let keyset = KeysetAnnouncement::decode_body(opened.body).unwrap();
    (keyset.keyset_id[0], opened.sequence)
}

#[tokio::test]
async fn a_pool_is_told_the_keyset_when_it_comes_and_when_it_changes() {
    let folder = TempDir::new().unwrap();
    let issuer = Issuer::new(issue);
    let mint = Mint::start(&folder, &issuer).await;
    mint.responder.announce(keyset(1)).await.unwrap();
    let mut side = mint.connect().await;
    let (first, first_serial) = hear_keyset(&mut side).await;
    mint.responder.announce(keyset(1)).await.unwrap();
    mint.responder.announce(keyset(2)).await.unwrap();
    let (second, serial) = hear_keyset(&mut side).await;
    assert_eq!((first, second), (1, 2));
    assert!(serial > first_serial);
    side.peer_is_replaced().await;
    tell(&mut side, StoreNumbers::default()).await;
    assert_eq!(hear_keyset(&mut side).await, (2, serial));
    drop(side);
    let mut side = mint.connect().await;
    assert_eq!(hear_keyset(&mut side).await, (2, serial));
    drop(side);
    mint.stop().await;

    // A restarted mint knows what it has announced, and counts on.
    let mint = Mint::start(&folder, &issuer).await;
    let mut side = mint.connect().await;
    let (again, again_serial) = hear_keyset(&mut side).await;
    mint.responder.announce(keyset(3)).await.unwrap();
    let (third, third_serial) = hear_keyset(&mut side).await;
    assert_eq!((again, third), (2, 3));
    assert!(serial < again_serial && again_serial < third_serial);
}

#[tokio::test]
async fn a_pool_that_changes_its_key_is_served_under_both() {
    let folder = TempDir::new().unwrap();
    let issuer = Issuer::new(issue);
    let mint = Mint::start_with(&folder, &issuer, |config| {
        config
            .pools
            .insert(0, (name("pool/main"), public(STRANGER_KEY)));
    })
    .await;
    let mut side = mint.connect().await;
    ask(&mut side, &pool_keys(POOL_KEY), &request(1)).await;
    // It is asked under both, and goes by one.
    side.channel_message().await;
    let (answer, _) = hear(&mut side, &request(1)).await;
    assert_eq!(answer, MintQuoteMessage::Response(response(&request(1))));
}

#[tokio::test]
async fn a_store_that_fails_puts_requests_off_and_the_next_try_succeeds() {
    let folder = TempDir::new().unwrap();
    let issuer = Issuer::new(issue);
    let mint = Mint::start(&folder, &issuer).await;
    let mut side = mint.connect().await;
    let keys = pool_keys(POOL_KEY);
    // No table, no record: as good as a broken disk.
    let rename = |from: &'static str, to: &'static str| {
        mint.store
            .write(move |c| Ok(c.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}"))?))
    };
    rename("answer_effect", "gone").await.unwrap();
    ask(&mut side, &keys, &request(1)).await;
    let (answer, sequence) = hear(&mut side, &request(1)).await;
    assert_eq!((code(&answer), sequence), (QuoteErrorCode::Unavailable, 0));
    rename("gone", "answer_effect").await.unwrap();
    ask(&mut side, &keys, &request(1)).await;
    let (answer, _) = hear(&mut side, &request(1)).await;
    assert_eq!(answer, MintQuoteMessage::Response(response(&request(1))));
    assert_eq!(mint.responder.status().counts.store_failures, 1);
}
