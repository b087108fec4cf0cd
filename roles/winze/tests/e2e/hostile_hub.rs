//! A hub that alters, invents and repeats messages gains nothing: no quote that the pool did not ask for, no answer that the
//! mint did not give, and when it behaves again everything goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rusqlite::Connection;
use winze_client::{
    HubClient, HubClientConfig, Identity, NewRequest, OUTBOX_SCHEMA, QuoteAnswers, QuoteEvent,
    QuoteRequester, QuoteRequesterConfig, Store, StoreError, outbox,
};
use winze_messages::authenticator::Unverified;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse, QuoteErrorCode,
};
use winze_messages::{EXT_MINT_QUOTE, channel_frame};
use winze_runtime::clock::now_unix_ms;
use winze_testbed::{Wallet, wait};
use winze_transport::{Frame, SecretKey};

use crate::evil::{EvilHub, Tamper};
use crate::peer::PATIENCE;
use crate::pool::header_hash;
use crate::world::{Stage, World, settings};

/// Bytes of an authenticator.
const AUTHENTICATOR_BYTES: usize = 48;

async fn evil_world() -> (EvilHub, World) {
    let stage = Stage::new();
    let (evil, address, task) = EvilHub::start(&stage).await;
    (evil, World::behind(stage, settings(), address, task).await)
}

/// The same message with another body under the old authenticator: all that a hub can make.
fn forged(frame: &Frame, change_body: impl FnOnce(&[u8]) -> Vec<u8>) -> Frame {
    let sealed = &frame.payload[4..];
    let unverified = Unverified::split(sealed).unwrap();
    let mut bytes = change_body(unverified.body);
    bytes.extend_from_slice(&sealed[sealed.len() - AUTHENTICATOR_BYTES..]);
    channel_frame(
        frame.extension_type,
        frame.msg_type,
        frame.channel_id().unwrap(),
        &bytes,
    )
}

fn forged_request(frame: &Frame, change: impl FnOnce(&mut MintQuoteRequest)) -> Frame {
    forged(frame, |body| {
        let mut request = MintQuoteRequest::decode_body(body).unwrap();
        change(&mut request);
        let mut body = Vec::new();
        request.encode_body(&mut body).unwrap();
        body
    })
}

fn forged_response(frame: &Frame, change: impl FnOnce(&mut MintQuoteResponse)) -> Frame {
    forged(frame, |body| {
        let mut response = MintQuoteResponse::decode_body(body).unwrap();
        change(&mut response);
        let mut body = Vec::new();
        response.encode_body(&mut body).unwrap();
        body
    })
}

async fn quotes_issued(world: &World) -> f64 {
    let metrics = world.mint_metrics().await;
    metrics
        .sum("winze_mint_quotes_issued_total", &[])
        .unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn altered_requests_have_no_effect_and_their_answers_do_not_pass_for_the_pools() {
    let (evil, world) = evil_world().await;
    let (alice, mallory) = (world.wallet().await, world.wallet().await);
    let mut pool = world.pool().await;
    let request = pool.request(1, 8, alice.locking_key());
    let to_mallory = *mallory.locking_key();
    type Forgery = Box<dyn Fn(&mut MintQuoteRequest) + Send>;
    let forgeries: [Forgery; 3] = [
        Box::new(|request| request.amount = 1_000),
        Box::new(move |request| request.locking_key = to_mallory),
        Box::new(|request| request.description = Some("for Mallory".to_owned())),
    ];
    for forge in forgeries {
        evil.tamper(move |frame| match frame.msg_type {
            MintQuoteRequest::MSG_TYPE => vec![forged_request(&frame, &forge)],
            _ => vec![frame],
        });
        let frame = pool.seal(&request);
        pool.peer.send(frame).await;
        let (answer, answered) = pool.next_answer_frame().await;
        assert_eq!(answered, request.header_hash);
        assert_eq!(
            pool.verify(&answer, &request),
            None,
            "an answer to what the hub made of it"
        );
    }
    assert_eq!(quotes_issued(&world).await, 0.0);

    evil.behave();
    let quote = pool.ask(&request).await.quote();
    assert_eq!(quote.amount, 8);
    assert_eq!(alice.redeem(&quote.quote_id).await.unwrap(), 8);
    mallory.redeem(&quote.quote_id).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invented_requests_have_no_effect_and_repeated_ones_no_second_one() {
    let (evil, world) = evil_world().await;
    let alice = world.wallet().await;
    let mut pool = world.pool().await;
    let request = pool.request(1, 8, alice.locking_key());
    evil.tamper(|frame| match frame.msg_type {
        MintQuoteRequest::MSG_TYPE => vec![
            forged_request(&frame, |request| request.header_hash = header_hash(2)),
            frame.clone(),
            frame.clone(),
            forged_request(&frame, |request| request.header_hash = header_hash(3)),
            frame,
        ],
        _ => vec![frame],
    });
    let frame = pool.seal(&request);
    pool.peer.send(frame).await;
    let mut quotes = Vec::new();
    for _ in 0..5 {
        let (answer, answered) = pool.next_answer_frame().await;
        if answered == request.header_hash {
            quotes.push(
                pool.verify(&answer, &request)
                    .expect("the mint's own")
                    .quote(),
            );
        } else {
            assert_eq!(answer.msg_type, MintQuoteError::MSG_TYPE);
        }
    }
    assert_eq!(quotes.len(), 3);
    assert!(quotes.iter().all(|quote| *quote == quotes[0]), "{quotes:?}");
    world
        .mint_counted("winze_mint_requests_unauthentic_total", &[], 2.0)
        .await;
    assert_eq!(quotes_issued(&world).await, 1.0);
    assert_eq!(alice.redeem(&quotes[0].quote_id).await.unwrap(), 8);
}

/// What a pool wrote down.
#[derive(Default)]
struct Notes {
    events: Mutex<Vec<QuoteEvent>>,
    called: AtomicUsize,
}

impl QuoteAnswers for Notes {
    fn on_response(
        &self,
        _: &Connection,
        _: &MintQuoteRequest,
        _: &MintQuoteResponse,
    ) -> Result<(), StoreError> {
        self.called.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn on_refusal(
        &self,
        _: &Connection,
        _: &MintQuoteRequest,
        _: &MintQuoteError,
    ) -> Result<(), StoreError> {
        self.called.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn on_keyset(&self, _: &Connection, _: &KeysetAnnouncement) -> Result<(), StoreError> {
        Ok(())
    }

    fn committed(&self, events: &[QuoteEvent]) {
        self.events.lock().unwrap().extend_from_slice(events);
    }
}

/// A pool as it really asks: outbox, resending, verification.
struct RealPool {
    notes: Arc<Notes>,
    store: Store,
    requester: QuoteRequester,
    hub: HubClient,
}

impl RealPool {
    async fn start(world: &World) -> RealPool {
        let keys = &world.stage.keys;
        let secret = SecretKey::from_bytes(keys.pool.expose_bytes()).unwrap();
        let identity = Identity::new("pool", "main", secret).unwrap();
        let config = HubClientConfig::new(world.hub.to_string(), world.stage.authority);
        let hub = HubClient::start(config, identity);
        let file = world.stage.folder.path().join("scripted-pool.sqlite");
        let store = Store::open(&file, &[OUTBOX_SCHEMA]).unwrap();
        let notes = Arc::new(Notes::default());
        let config = QuoteRequesterConfig {
            timeout_ms: 200,
            timeout_max_ms: 400,
            delay_ms: 100,
            delay_max_ms: 400,
            ..QuoteRequesterConfig::new("mint/main".parse().unwrap(), keys.mint.public_key())
        };
        let requester = QuoteRequester::start(&hub, store.clone(), config, notes.clone()).unwrap();
        let pool = RealPool {
            notes,
            store,
            requester,
            hub,
        };
        pool.until("keyset", || {
            pool.keyset().ok_or("none announced".to_owned())
        })
        .await;
        pool
    }

    fn keyset(&self) -> Option<KeysetAnnouncement> {
        let events = self.notes.events.lock().unwrap();
        events.iter().find_map(|event| match event {
            QuoteEvent::Keyset(keyset) => Some(keyset.clone()),
            _ => None,
        })
    }

    async fn ask(&self, number: u8, amount: u64, wallet: &Wallet) {
        let request = MintQuoteRequest {
            amount,
            unit: "hash".to_owned(),
            header_hash: header_hash(number),
            description: None,
            locking_key: *wallet.locking_key(),
            keyset_id: self.keyset().unwrap().keyset_id,
        };
        let stored = self.store.write(move |connection| {
            let mut body = Vec::new();
            request.encode_body(&mut body).unwrap();
            let new = NewRequest {
                peer: "mint/main",
                extension: EXT_MINT_QUOTE,
                key: &request.header_hash,
                msg_type: MintQuoteRequest::MSG_TYPE,
                body: &body,
            };
            outbox::enqueue(connection, &new, now_unix_ms()).map(drop)
        });
        stored.await.unwrap();
        self.requester.nudge();
    }

    fn issued(&self) -> Vec<(MintQuoteRequest, MintQuoteResponse)> {
        let events = self.notes.events.lock().unwrap();
        let issued = events.iter().filter_map(|event| match event {
            QuoteEvent::Issued { request, response } => Some((request.clone(), response.clone())),
            _ => None,
        });
        issued.collect()
    }

    async fn until<T>(&self, what: &str, look: impl Fn() -> Result<T, String>) -> T {
        let looked = wait::until(what, PATIENCE, || std::future::ready(look())).await;
        looked.unwrap_or_else(|error| panic!("{error}; {:?}", self.requester.status()))
    }

    /// Waits until the pool has thrown away so many messages.
    async fn has_thrown_away(&self, count: u64) {
        self.until("unauthentic answers", || {
            match self.requester.status().counts.unauthentic {
                found if found >= count => Ok(()),
                found => Err(format!("{found}")),
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn altered_and_invented_answers_are_thrown_away_until_the_mints_own_arrive() {
    let (evil, world) = evil_world().await;
    let alice = world.wallet().await;
    let pool = RealPool::start(&world).await;
    let forgeries: [Tamper; 4] = [
        Box::new(|frame| {
            vec![forged_response(&frame, |response| {
                response.quote_id = "mallorys".to_owned()
            })]
        }),
        Box::new(|frame| vec![forged_response(&frame, |response| response.amount = 1)]),
        // The answer to one passed off as the answer to another.
        Box::new(|frame| {
            vec![forged_response(&frame, |response| {
                response.header_hash = header_hash(response.header_hash[0] ^ 1);
            })]
        }),
        // A final refusal that the mint never spoke.
        Box::new(|frame| {
            let mut refusal = forged(&frame, |body| {
                let response = MintQuoteResponse::decode_body(body).unwrap();
                let refusal = MintQuoteError {
                    header_hash: response.header_hash,
                    error_code: QuoteErrorCode::Conflict.to_u32(),
                    error_message: "go away".to_owned(),
                    retry_after_ms: 0,
                };
                let mut body = Vec::new();
                refusal.encode_body(&mut body).unwrap();
                body
            });
            refusal.msg_type = MintQuoteError::MSG_TYPE;
            vec![refusal]
        }),
    ];
    let mut thrown_away = 0;
    for (number, mut forge) in (0..).zip(forgeries) {
        evil.tamper(move |frame| match frame.msg_type {
            MintQuoteResponse::MSG_TYPE => forge(frame),
            _ => vec![frame],
        });
        pool.ask(2 * number, 8, &alice).await;
        pool.ask(2 * number + 1, 16, &alice).await;
        thrown_away += 2;
        pool.has_thrown_away(thrown_away).await;
        thrown_away = pool.requester.status().counts.unauthentic;
        assert_eq!(
            pool.notes.called.load(Ordering::SeqCst),
            0,
            "nothing was taken from the hub"
        );
    }

    evil.behave();
    let issued = pool
        .until("eight quotes", || match pool.issued() {
            issued if issued.len() == 8 => Ok(issued),
            issued => Err(format!("{}", issued.len())),
        })
        .await;
    for (request, response) in &issued {
        assert_eq!(response.amount, request.amount);
        assert_eq!(
            alice.redeem(&response.quote_id).await.unwrap(),
            request.amount
        );
    }
    assert_eq!(alice.balance().await.unwrap(), 4 * (8 + 16));
    assert_eq!(quotes_issued(&world).await, 8.0);
    assert_eq!(pool.notes.called.load(Ordering::SeqCst), 8);
    pool.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_hub_swallows_is_asked_for_again_and_issued_once() {
    let (evil, world) = evil_world().await;
    let alice = world.wallet().await;
    let pool = RealPool::start(&world).await;
    // By chance and not in turns: a pattern could be in step with the pool's attempts.
    let mut chance = StdRng::seed_from_u64(7);
    evil.tamper(move |frame| match frame.msg_type {
        MintQuoteRequest::MSG_TYPE | MintQuoteResponse::MSG_TYPE if chance.gen_ratio(1, 3) => {
            Vec::new()
        }
        _ => vec![frame],
    });
    for number in 0..6 {
        pool.ask(number, 8, &alice).await;
    }
    let issued = pool
        .until("six quotes", || match pool.issued() {
            issued if issued.len() == 6 => Ok(issued),
            issued => Err(format!("{}", issued.len())),
        })
        .await;
    for (_, response) in &issued {
        assert_eq!(alice.redeem(&response.quote_id).await.unwrap(), 8);
    }
    assert_eq!(quotes_issued(&world).await, 6.0);
    assert!(pool.requester.status().counts.sent_again > 0);
    pool.hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_keyset_is_not_believed() {
    let (evil, world) = evil_world().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    evil.tamper(move |frame| match frame.msg_type {
        KeysetAnnouncement::MSG_TYPE if counted.fetch_add(1, Ordering::SeqCst) == 0 => {
            vec![
                forged(&frame, |body| {
                    let mut keyset = KeysetAnnouncement::decode_body(body).unwrap();
                    keyset.keyset_id = vec![0xee; 33];
                    let mut body = Vec::new();
                    keyset.encode_body(&mut body).unwrap();
                    body
                }),
                frame,
            ]
        }
        _ => vec![frame],
    });
    let pool = RealPool::start(&world).await;
    pool.has_thrown_away(1).await;
    assert_ne!(pool.keyset().unwrap().keyset_id, vec![0xee; 33]);
    tokio::time::timeout(Duration::from_secs(10), pool.hub.shutdown())
        .await
        .unwrap();
}
