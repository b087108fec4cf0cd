//! How many durable requests a second: on the requester's disk, through a hub, effect and answer on the responder's
//! disk, answered and recorded at the requester. Hub, requester and responder are processes of their own.
//!
//! ```text
//! winze keys init KEYS
//! durable KEYS path/to/winze FOLDER [--window 4096] [--batch 64] [--backlog 0] [--seconds 5]
//! ```
//!
//! FOLDER is on the disk that is measured; it is made, and left there. A line a second: requests answered, and the CPU
//! of requester, responder and hub for each, in microseconds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rand::RngCore;
use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use winze_client::{
    ANSWERS_SCHEMA, HubClient, HubClientConfig, Identity, NewRequest, OUTBOX_SCHEMA, QuoteAnswers,
    QuoteEvent, QuoteIssuer, QuoteOutcome, QuoteRequester, QuoteRequesterConfig, QuoteResponder,
    QuoteResponderConfig, Store, StoreError, outbox,
};
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse, QuoteState,
};
use winze_messages::{EXT_MINT_QUOTE, PeerName};
use winze_runtime::clock::now_unix_ms;
use winze_runtime::keyfile::{read_public, read_secret};
use winze_transport::PublicKey;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const MINT: &str = "mint/main";

/// Write jobs that are handed to the requester's store at a time.
const FEEDERS: usize = 64;

struct Options {
    keys: PathBuf,
    folder: PathBuf,
    hub: String,
    window: usize,
    batch: usize,
    backlog: u64,
    seconds: u64,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let number = |name: &str, default: u64| -> Result<u64, Failure> {
        Ok(option(name).map_or(Ok(default), |text| text.parse())?)
    };
    let [keys, winze, folder] = arguments.get(..3).ok_or("KEYS WINZE FOLDER")? else {
        return Err("KEYS WINZE FOLDER".into());
    };
    let mut options = Options {
        keys: fs::canonicalize(keys)?,
        folder: PathBuf::from(folder),
        hub: option("--hub").unwrap_or_default(),
        window: usize::try_from(number("--window", 4_096)?)?,
        batch: usize::try_from(number("--batch", 64)?)?,
        backlog: number("--backlog", 0)?,
        seconds: number("--seconds", 5)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    if option("--part").as_deref() == Some("responder") {
        return runtime.block_on(respond(&options));
    }
    fs::create_dir_all(&options.folder)?;
    let hub = start_hub(&mut options, Path::new(winze))?;
    let responder = Command::new(std::env::current_exe()?)
        .args([
            keys,
            winze,
            folder,
            "--part",
            "responder",
            "--hub",
            &options.hub,
        ])
        .args(["--window", &options.window.to_string()])
        .spawn()?;
    let children = [Killed(responder), Killed(hub)];
    runtime.block_on(request(&options, &children))
}

/// A child that does not outlive us.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_hub(options: &mut Options, winze: &Path) -> Result<Child, Failure> {
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    options.hub = free.to_string();
    let keys = options.keys.display();
    let window = options.window;
    let config = format!(
        "role = \"hub\"\nlisten = \"{free}\"\nhttp_listen = \"127.0.0.1:0\"\nlog = \"warn\"\n\
         static_key_file = \"{keys}/hub/static.key\"\n\
         certificate_file = \"{keys}/hub/certificate.toml\"\n\
         [[peers]]\nrole = \"pool\"\nname = \"main\"\n\
         public_key_file = \"{keys}/pool/identity.pub\"\n\
         may_open = [{{ extension = 0x4802, peer = \"{MINT}\" }}]\n\
         [[peers]]\nrole = \"mint\"\nname = \"main\"\n\
         public_key_file = \"{keys}/mint/identity.pub\"\n\
         [limits]\nwindow_messages = {window}\nwindow_bytes = {}\n",
        window * 512
    );
    let file = options.folder.join("hub.toml");
    fs::write(&file, config)?;
    Ok(Command::new(winze)
        .arg("hub")
        .arg("--config")
        .arg(&file)
        .spawn()?)
}

fn client(options: &Options, role: &str) -> Result<(HubClient, PublicKey), Failure> {
    let authority = read_public(options.keys.join("hub/authority.pub"))?;
    let secret = read_secret(options.keys.join(role).join("identity.key"))?;
    let identity = Identity::new(role, "main", secret)?;
    let mut config = HubClientConfig::new(options.hub.clone(), authority);
    config.window_messages = options.window as u64;
    config.window_bytes = options.window as u64 * 512;
    config.unsent_messages_max = options.window;
    let key = identity.public_key();
    Ok((HubClient::start(config, identity), key))
}

async fn respond(options: &Options) -> Result<(), Failure> {
    let store = Store::open(&options.folder.join("mint.sqlite"), &[ANSWERS_SCHEMA])?;
    let (hub, _) = client(options, "mint")?;
    let pool = read_public(options.keys.join("pool/identity.pub"))?;
    let mut config = QuoteResponderConfig::new(vec![("pool/main".parse()?, pool)]);
    config.under_way_max = config.under_way_max.max(2 * options.window);
    let issuer = Arc::new(AtOnce::default());
    let _responder = QuoteResponder::start(&hub, store, config, issuer)?;
    std::future::pending::<()>().await;
    Ok(())
}

/// Answers at once: what is measured is the way there and back.
#[derive(Default)]
struct AtOnce(AtomicU64);

#[async_trait]
impl QuoteIssuer for AtOnce {
    async fn issue(
        &self,
        _: &PeerName,
        _: &PublicKey,
        requests: Vec<MintQuoteRequest>,
    ) -> Vec<QuoteOutcome> {
        let first = self.0.fetch_add(requests.len() as u64, Ordering::Relaxed);
        let quote = |(number, request): (u64, MintQuoteRequest)| {
            QuoteOutcome::Issued(MintQuoteResponse {
                quote_id: format!("{number:036}"),
                header_hash: request.header_hash,
                amount: request.amount,
                unit: request.unit,
                expires_at_unix_s: 0,
                state: QuoteState::Paid,
            })
        };
        (first..).zip(requests).map(quote).collect()
    }
}

struct Told {
    answered: AtomicU64,
    room: Semaphore,
}

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
        _: &MintQuoteRequest,
        _: &MintQuoteError,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_keyset(&self, _: &Connection, _: &KeysetAnnouncement) -> Result<(), StoreError> {
        Ok(())
    }

    fn committed(&self, events: &[QuoteEvent]) {
        let issued = events
            .iter()
            .filter(|event| matches!(event, QuoteEvent::Issued { .. }));
        let issued = issued.count();
        self.answered.fetch_add(issued as u64, Ordering::Relaxed);
        self.room.add_permits(issued);
    }
}

async fn request(options: &Options, children: &[Killed; 2]) -> Result<(), Failure> {
    let store = Store::open(&options.folder.join("pool.sqlite"), &[OUTBOX_SCHEMA])?;
    let started = Instant::now();
    let mut left = options.backlog;
    while left > 0 {
        let rows = left.min(50_000);
        enqueue(&store, usize::try_from(rows)?).await?;
        left -= rows;
    }
    if options.backlog > 0 {
        println!("{} wait after {:?}", options.backlog, started.elapsed());
    }
    let told = Arc::new(Told {
        answered: AtomicU64::new(0),
        room: Semaphore::new(4 * options.window),
    });
    let (hub, _) = client(options, "pool")?;
    let mint = read_public(options.keys.join("mint/identity.pub"))?;
    let mut config = QuoteRequesterConfig::new(MINT.parse()?, mint);
    config.window = options.window;
    let answers: Arc<dyn QuoteAnswers> = Arc::<Told>::clone(&told);
    let requester = QuoteRequester::start(&hub, store.clone(), config, answers)?;
    for _ in 0..FEEDERS {
        let (store, requester) = (store.clone(), requester.clone());
        let (told, batch) = (Arc::clone(&told), options.batch);
        tokio::spawn(async move {
            while let Ok(permits) = told.room.acquire_many(batch as u32).await {
                permits.forget();
                enqueue(&store, batch).await?;
                requester.nudge();
            }
            Ok::<_, Failure>(())
        });
    }
    while told.answered.load(Ordering::Relaxed) < 1_000 {
        sleep(Duration::from_millis(10)).await;
    }
    let [responder, hub_process] = children;
    let ids = [std::process::id(), responder.0.id(), hub_process.0.id()];
    let look = || {
        (
            Instant::now(),
            told.answered.load(Ordering::Relaxed),
            ids.map(cpu_ns),
        )
    };
    let first = look();
    let mut last = look();
    for _ in 0..options.seconds {
        sleep(Duration::from_secs(1)).await;
        let now = look();
        print(&last, &now, &store);
        last = now;
    }
    print!("all: ");
    print(&first, &last, &store);
    Ok(())
}

type Look = (Instant, u64, [u64; 3]);

fn print(from: &Look, to: &Look, store: &Store) {
    let answered = (to.1 - from.1).max(1);
    let rate = answered as f64 / (to.0 - from.0).as_secs_f64();
    let us = |n: usize| (to.2[n] - from.2[n]) as f64 / 1_000.0 / answered as f64;
    println!(
        "{rate:.0} requests/s; CPU us each: requester {:.1}, responder {:.1}, hub {:.1}; {} commits",
        us(0),
        us(1),
        us(2),
        store.counts().commits
    );
}

/// User and system time of a process's threads.
fn cpu_ns(process: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return 0;
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

async fn enqueue(store: &Store, count: usize) -> Result<(), StoreError> {
    let requests: Vec<MintQuoteRequest> = (0..count).map(|_| share()).collect();
    let write = store.write_repeatable(move |tx| {
        let now_unix_ms = now_unix_ms();
        let encode = |request: &MintQuoteRequest| {
            let mut body = Vec::new();
            let encoded = request.encode_body(&mut body);
            encoded.map(|()| body).map_err(|error| StoreError::Aborted {
                reason: error.to_string(),
            })
        };
        let bodies = requests.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        let new = requests
            .iter()
            .zip(&bodies)
            .map(|(request, body)| NewRequest {
                peer: MINT,
                extension: EXT_MINT_QUOTE,
                key: &request.header_hash,
                msg_type: MintQuoteRequest::MSG_TYPE,
                body,
            });
        outbox::enqueue_all(tx, &new.collect::<Vec<_>>(), now_unix_ms)?;
        Ok(())
    });
    write.await
}

/// A request for a share that nobody has mined; sealed it has about 200 bytes.
fn share() -> MintQuoteRequest {
    let mut request = MintQuoteRequest {
        amount: 1_024,
        unit: "hash".to_owned(),
        header_hash: [0; 32],
        description: Some("d".repeat(50)),
        locking_key: [2; 33],
        keyset_id: vec![0; 8],
    };
    rand::thread_rng().fill_bytes(&mut request.header_hash);
    request
}
