//! Durable requests through the hub: a requester and a responder as every role has them, each with its SQLite file on
//! disk, `synchronous = FULL`.
//!
//! A request is enqueued in batches of [`BATCH`], as the other systems take them. It counts once its answer is recorded
//! in the requester's file; by then request, effect and answer are on the disks of both.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::RngCore;
use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use winze_client::{
    HubClient, HubClientConfig, Identity, NewRequest, OUTBOX_SCHEMA, QuoteAnswers, QuoteEvent,
    QuoteRequester, QuoteRequesterConfig, Store, StoreError, outbox,
};
use winze_messages::codec::message::{AUTHENTICATOR_BYTES, CHANNEL_ID_BYTES};
use winze_messages::families::mint_quote::{
    EXT_MINT_QUOTE, KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse,
};
use winze_messages::{PeerName, text::header_hash_to_text};
use winze_runtime::clock::now_unix_ms;
use winze_transport::PublicKey;

use crate::durable::responder;
use crate::durable::{BATCH, FEEDERS, OUTSTANDING, Progress, REQUEST_BYTES};
use crate::error::BenchError;
use crate::load::meter::Processes;
use crate::server::Server;
use crate::setting::Setting;
use crate::systems::hub::{Hub, Member};

/// How long either side may take to find the other.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who takes part in several runs, with the same keys: what is in their stores is about these.
#[derive(Clone)]
pub struct Cast {
    /// Who asks.
    pub requester: Identity,
    /// Who answers.
    pub responder: Identity,
    /// Their tables in the hub's configuration.
    listed: String,
}

impl Cast {
    /// A pool and a mint.
    pub fn new() -> Result<Cast, BenchError> {
        Cast::of("pool", "mint")
    }

    /// Two of these roles, with new keys.
    pub fn of(requester: &str, responder: &str) -> Result<Cast, BenchError> {
        let requester = Member::new(requester, "main")?;
        let responder = Member::new(responder, "main")?;
        let asked = responder.name.to_string();
        let listed = requester.listing(Some((EXT_MINT_QUOTE, &asked))) + &responder.listing(None);
        Ok(Cast {
            requester: Identity::of(requester.name, requester.secret),
            responder: Identity::of(responder.name, responder.secret),
            listed,
        })
    }

    /// A hub that lets them in, with windows for all that is outstanding.
    pub async fn hub(&self, setting: &Setting, folder: &Path) -> Result<Hub, BenchError> {
        let limits = format!(
            "window_messages = {OUTSTANDING}\nwindow_bytes = {}\n",
            OUTSTANDING * REQUEST_BYTES
        );
        Hub::start(setting, folder, &self.listed, &limits).await
    }
}

/// The asking side's store, with what was put in it.
#[derive(Clone)]
pub struct RequesterStore {
    store: Store,
    peer: String,
}

/// Both sides at work. What they leave are the files.
pub struct Pair {
    requester_store: RequesterStore,
    requester_hub: HubClient,
    requester: QuoteRequester,
    responder: Server,
    progress: Arc<Progress>,
}

impl RequesterStore {
    /// Opens the asking side's file, for requests to `responder`.
    pub fn open(path: &Path, responder: &PeerName) -> Result<RequesterStore, BenchError> {
        let store = Store::open(path, &[OUTBOX_SCHEMA]).map_err(requester_failed)?;
        Ok(RequesterStore {
            store,
            peer: responder.to_string(),
        })
    }

    /// Puts `count` requests in the outbox, in one write.
    pub async fn enqueue(&self, count: usize) -> Result<(), BenchError> {
        let peer = self.peer.clone();
        let requests = (0..count).map(|_| encoded_request());
        let requests: Vec<([u8; 32], Vec<u8>)> = requests.collect::<Result<_, _>>()?;
        // As the pool writes its shares.
        let enqueued = self.store.write_repeatable(move |tx| {
            let new = |(key, body)| NewRequest {
                peer: &peer,
                extension: EXT_MINT_QUOTE,
                key,
                msg_type: MintQuoteRequest::MSG_TYPE,
                body,
            };
            let new: Vec<NewRequest<'_>> = requests
                .iter()
                .map(|(key, body)| new((key.as_slice(), body.as_slice())))
                .collect();
            outbox::enqueue_all(tx, &new, now_unix_ms()).map(|_| ())
        });
        enqueued.await.map_err(requester_failed)
    }

    /// How many requests wait.
    pub async fn waiting(&self) -> Result<u64, BenchError> {
        let peer = self.peer.clone();
        let waiting = self
            .store
            .read(move |c| outbox::waiting(c, &peer, EXT_MINT_QUOTE));
        waiting.await.map_err(requester_failed)
    }
}

impl Pair {
    /// Connects both sides and waits until they know each other. [`OUTSTANDING`] requests are under way at most.
    pub async fn start(
        hub: &Hub,
        cast: &Cast,
        requester_store: RequesterStore,
        responder_file: &Path,
        folder: &Path,
        progress: Arc<Progress>,
    ) -> Result<Pair, BenchError> {
        let responder = responder::start(hub, cast, responder_file, folder).await?;
        let identity = cast.requester.clone();
        let requester_hub = HubClient::start(client_config(hub.address, hub.authority), identity);
        let mut config =
            QuoteRequesterConfig::new(cast.responder.peer().clone(), cast.responder.public_key());
        config.window = OUTSTANDING;
        let told = Arc::new(Told(Arc::clone(&progress)));
        let store = requester_store.store.clone();
        let requester =
            QuoteRequester::start(&requester_hub, store, config, told).map_err(requester_failed)?;
        let pair = Pair {
            requester_store,
            requester_hub,
            requester,
            responder,
            progress,
        };
        pair.introduced().await?;
        Ok(pair)
    }

    /// The hub between them and the process that answers; who asks is this one.
    pub fn processes<'a>(&'a self, hub: &'a Hub) -> Processes<'a> {
        Processes {
            server: &hub.server,
            responder: Some(&self.responder),
        }
    }

    async fn introduced(&self) -> Result<(), BenchError> {
        let known = async {
            while !self.requester.status().peer_known {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let known = tokio::time::timeout(PATIENCE, known).await;
        known.map_err(|_| BenchError::Stalled {
            what: "requester and responder finding each other".to_owned(),
            within_s: PATIENCE.as_secs(),
        })
    }

    /// Keeps asking, as much at a time as `room` has permits for; each answer gives one back. Ends by being dropped, or
    /// with an error.
    pub async fn keep_asking(&self, room: Arc<Semaphore>) -> Result<(), BenchError> {
        let mut feeders = JoinSet::new();
        for _ in 0..FEEDERS {
            let (store, requester) = (self.requester_store.clone(), self.requester.clone());
            feeders.spawn(feed(store, requester, Arc::clone(&room)));
        }
        while let Some(ended) = feeders.join_next().await {
            ended.map_err(requester_failed)??;
        }
        Ok(())
    }

    /// Ends the requester in order; the responder is killed, as whoever stores what it does may be.
    pub async fn stop(self) -> Result<(), BenchError> {
        self.requester.shutdown().await;
        self.requester_hub.shutdown().await;
        let counts = self.requester.status().counts;
        let strange = counts.refused
            + counts.rejected
            + counts.unauthentic
            + counts.nonsense
            + counts.store_failures;
        match strange == 0 && counts.issued >= self.progress.answered() {
            true => Ok(()),
            false => Err(requester_failed(format!("not all went well: {counts:?}"))),
        }
    }
}

async fn feed(
    store: RequesterStore,
    requester: QuoteRequester,
    room: Arc<Semaphore>,
) -> Result<(), BenchError> {
    loop {
        room.acquire_many(BATCH as u32)
            .await
            .map_err(requester_failed)?
            .forget();
        store.enqueue(BATCH).await?;
        requester.nudge();
    }
}

fn requester_failed(problem: impl Display) -> BenchError {
    BenchError::peer("the requester", problem)
}

/// A client of the hub at `address` that takes and gives all that is outstanding.
pub(super) fn client_config(address: SocketAddr, authority: PublicKey) -> HubClientConfig {
    let mut config = HubClientConfig::new(address.to_string(), authority);
    config.window_messages = OUTSTANDING as u64;
    config.window_bytes = (OUTSTANDING * REQUEST_BYTES) as u64;
    config.unsent_messages_max = OUTSTANDING;
    config
}

/// The idempotency key of a request, and its body.
fn encoded_request() -> Result<([u8; 32], Vec<u8>), BenchError> {
    let request = request();
    let mut body = Vec::new();
    request.encode_body(&mut body).map_err(requester_failed)?;
    Ok((request.header_hash, body))
}

/// A request for a share that nobody has mined; with its authenticator [`REQUEST_BYTES`] long.
fn request() -> MintQuoteRequest {
    let mut rng = rand::thread_rng();
    let mut request = MintQuoteRequest {
        amount: 1_024,
        unit: "hash".to_owned(),
        header_hash: [0; 32],
        description: Some(String::new()),
        locking_key: [2; 33],
        keyset_id: vec![0; 8],
    };
    rng.fill_bytes(&mut request.header_hash);
    request.description = Some("d".repeat(REQUEST_BYTES - EMPTY_REQUEST_BYTES));
    request
}

/// The payload of a request with a description of no bytes: amount, unit, header hash, description, locking key and
/// keyset with their lengths.
const EMPTY_REQUEST_BYTES: usize = CHANNEL_ID_BYTES + AUTHENTICATOR_BYTES + 8 + 5 + 32 + 2 + 34 + 9;

struct Told(Arc<Progress>);

impl QuoteAnswers for Told {
    fn on_response(
        &self,
        _: &Connection,
        _: &MintQuoteRequest,
        _: &MintQuoteResponse,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_refusal(
        &self,
        _: &Connection,
        request: &MintQuoteRequest,
        error: &MintQuoteError,
    ) -> Result<(), StoreError> {
        let hash = header_hash_to_text(&request.header_hash);
        eprintln!(
            "the request for {hash} was refused: {}",
            error.error_message
        );
        Ok(())
    }

    fn on_keyset(&self, _: &Connection, _: &KeysetAnnouncement) -> Result<(), StoreError> {
        Ok(())
    }

    fn committed(&self, events: &[QuoteEvent]) {
        let issued = events
            .iter()
            .filter(|event| matches!(event, QuoteEvent::Issued { .. }));
        self.0.count(issued.count());
    }
}
