//! The side that answers, in a process of its own as in life: two stores in one process would share SQLite's global
//! locks.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use winze_client::{
    ANSWERS_SCHEMA, HubClient, Identity, QuoteIssuer, QuoteOutcome, QuoteResponder,
    QuoteResponderConfig, Store,
};
use winze_messages::PeerName;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteRequest, MintQuoteResponse, QuoteState,
};
use winze_runtime::keyfile;
use winze_transport::PublicKey;

use crate::durable::OUTSTANDING;
use crate::durable::hub::{Cast, client_config};
use crate::error::BenchError;
use crate::server::Server;
use crate::systems::hub::Hub;

/// The first argument of the process that answers.
pub const COMMAND: &str = "durable-responder";

/// What it says when it serves.
const SERVES: &str = "serves";

/// Starts the process, its store in `file` and all else in `folder`.
pub async fn start(
    hub: &Hub,
    cast: &Cast,
    file: &Path,
    folder: &Path,
) -> Result<Server, BenchError> {
    let program = std::env::current_exe().map_err(failed)?;
    let key_file = folder.join("responder.key");
    keyfile::write_secret(&key_file, cast.responder.secret()).map_err(failed)?;
    let arguments = [
        COMMAND.to_owned(),
        hub.address.to_string(),
        hub.authority.to_string(),
        cast.responder.peer().to_string(),
        key_file.display().to_string(),
        cast.requester.peer().to_string(),
        cast.requester.public_key().to_string(),
        file.display().to_string(),
    ];
    let mut server = Server::start("responder", &program, &arguments, folder)?;
    server
        .until_said(|line| (line == SERVES).then_some(()))
        .await?;
    Ok(server)
}

/// The process itself, with what [`start`] gave behind [`COMMAND`]; it answers until it is killed.
pub async fn run(arguments: &[String]) -> Result<(), BenchError> {
    let [address, authority, own, key_file, pool, pool_key, file] = arguments else {
        return Err(failed("is started by the measurement alone"));
    };
    let authority: PublicKey = authority.parse().map_err(failed)?;
    let own: PeerName = own.parse().map_err(failed)?;
    let identity = Identity::of(own, keyfile::read_secret(key_file).map_err(failed)?);
    let store = Store::open(Path::new(file), &[ANSWERS_SCHEMA]).map_err(failed)?;
    let client = client_config(address.parse().map_err(failed)?, authority);
    let hub = HubClient::start(client, identity);
    let pools = vec![(
        pool.parse().map_err(failed)?,
        pool_key.parse().map_err(failed)?,
    )];
    let mut config = QuoteResponderConfig::new(pools);
    config.under_way_max = config.under_way_max.max(OUTSTANDING);
    let responder = QuoteResponder::start(&hub, store, config, Arc::new(AtOnce)).map_err(failed)?;
    responder.announce(keyset()).await.map_err(failed)?;
    println!("{SERVES}");
    std::future::pending().await
}

/// What a bridge waits for before it takes anything: one key is enough.
fn keyset() -> KeysetAnnouncement {
    let key = cdk::nuts::SecretKey::generate().public_key();
    KeysetAnnouncement {
        unit: "hash".to_owned(),
        keyset_id: vec![0; 8],
        keys: vec![(1, key.to_bytes())],
    }
}

fn failed(problem: impl Display) -> BenchError {
    BenchError::peer("the responder", problem)
}

/// Answers at once: what is measured is the way there and back.
struct AtOnce;

static QUOTES: AtomicU64 = AtomicU64::new(0);

#[async_trait::async_trait]
impl QuoteIssuer for AtOnce {
    async fn issue(
        &self,
        _: &PeerName,
        _: &PublicKey,
        requests: Vec<MintQuoteRequest>,
    ) -> Vec<QuoteOutcome> {
        let first = QUOTES.fetch_add(requests.len() as u64, Ordering::Relaxed);
        let quote = |(number, request): (u64, MintQuoteRequest)| {
            QuoteOutcome::Issued(MintQuoteResponse {
                // As long as a UUID, which cdk's are.
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
