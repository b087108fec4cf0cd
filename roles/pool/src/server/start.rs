//! From a configuration to everything that a pool consists of.

use std::sync::Arc;
use std::time::Duration;

use rand::RngCore as _;
use rand::rngs::OsRng;
use tokio::sync::watch;
use winze_client::{HubClientConfig, Identity, OUTBOX_SCHEMA, QuoteRequesterConfig, Store};
use winze_redis::Redis;
use winze_runtime::admission::AdmissionLimits;
use winze_runtime::clock::{now_unix_ms, now_unix_s, now_unix_s_u32};
use winze_runtime::keyfile;
use winze_runtime::metrics::Registry;
use winze_transport::ServerIdentity;

use super::{Freshness, PoolError};
use crate::config::{CheckedRedis, Login, PoolConfig, QuotePath, Source};
use crate::directory::Directory;
use crate::limits::{
    EXTRANONCE_RUN_BYTES, STRANGER_PLACE, TEMPLATE_AGE_READY_LEAST, TEMPLATE_REFRESHES_READY,
};
use crate::metrics::Metrics;
use crate::mining::Shared;
use crate::mining::extranonce::Extranonces;
use crate::store::{Answers, Blocks, KeptBlock, Ledger, LedgerSettings, MintId, POOL_SCHEMA};
use crate::template::TemplateSource;
use crate::template::bitcoind::Bitcoind;
use crate::template::builtin::{Builtin, BuiltinSettings};
use crate::template::rpc::{Credentials, NodeRpc};

pub(super) struct Prepared {
    pub(super) identity: Arc<ServerIdentity>,
    pub(super) hub: HubClientConfig,
    pub(super) hub_identity: Identity,
    pub(super) requester: QuoteRequesterConfig,
    pub(super) quote_path: QuotePath,
    pub(super) redis: Option<PreparedRedis>,
    pub(super) unit: String,
    /// The mint's peer name.
    pub(super) mint: String,
    pub(super) store: Store,
    pub(super) ledger: Ledger,
    pub(super) answers: Arc<Answers>,
    pub(super) keyset: watch::Receiver<Option<Vec<u8>>>,
    pub(super) directory: Arc<Directory>,
    pub(super) metrics: Metrics,
    pub(super) registry: Registry,
    pub(super) shared: Shared,
    pub(super) source: Arc<dyn TemplateSource>,
    pub(super) blocks: Blocks,
    /// What an earlier life has found for the same source.
    pub(super) kept: Vec<KeptBlock>,
    pub(super) template_refresh: Duration,
    pub(super) freshness: Freshness,
    pub(super) admission: AdmissionLimits,
}

/// What the way over Redis consists of.
pub(super) struct PreparedRedis {
    pub(super) redis: Redis,
    pub(super) settings: CheckedRedis,
}

pub(super) async fn prepare(config: &PoolConfig) -> Result<Prepared, PoolError> {
    let checked = config.check()?;
    let identity =
        keyfile::read_server_identity(&config.static_key_file, &config.certificate_file)?;
    let certificate = identity.certificate();
    certificate
        .verify(&certificate.authority_key, now_unix_s_u32())
        .map_err(|source| PoolError::Certificate {
            file: config.certificate_file.to_string(),
            source,
        })?;
    let secret = keyfile::read_secret(&config.secret_key_file)?;
    let authority = config.hub.authority.resolve()?;
    let mint_key = config.mint.public_key.resolve()?;
    let mut run_id = [0; EXTRANONCE_RUN_BYTES];
    OsRng.fill_bytes(&mut run_id);
    let source = source(checked.source, &checked.payout, run_id)?;

    let redis = match checked.redis {
        Some(settings) => Some(greet(settings).await?),
        None => None,
    };
    let store = Store::open(config.store_file.as_path(), &[OUTBOX_SCHEMA, POOL_SCHEMA]);
    let store = store.map_err(|source| PoolError::StoreFile {
        file: config.store_file.clone(),
        source,
    })?;
    let mint = checked.mint.to_string();
    let settings = LedgerSettings {
        mint: MintId {
            peer: mint.clone(),
            key: mint_key,
        },
        unit: config.unit.clone(),
        waiting_max: config.quotes_waiting_max,
        waiting_per_miner_max: config.quotes_waiting_per_miner_max,
    };
    let ledger = Ledger::new(store.clone(), settings);
    ledger.belong_to_mint().await?.map_err(Box::new)?;
    let keyset = match config.quote_path.dials_hub() {
        true => ledger.keyset().await?,
        false => ledger.keyset_in_redis().await?,
    };
    let (keyset_sink, keyset) = watch::channel(keyset);
    let blocks = Blocks::new(store.clone());
    let kept = if source.outlives_the_pool() {
        blocks.waiting(now_unix_ms()).await?
    } else {
        Vec::new()
    };
    let directory = Arc::new(Directory::default());
    let (metrics, registry) = Metrics::new();
    let answers = Answers::new(
        config.unit.clone(),
        mint_key,
        Arc::clone(&directory),
        metrics.clone(),
        keyset_sink,
    );
    Ok(Prepared {
        identity: Arc::new(identity),
        hub: HubClientConfig {
            is_dialled: config.quote_path.dials_hub(),
            ..HubClientConfig::new(config.hub.address.clone(), authority)
        },
        hub_identity: Identity::of(checked.peer, secret),
        requester: QuoteRequesterConfig::new(checked.mint, mint_key),
        quote_path: config.quote_path,
        redis,
        unit: config.unit.clone(),
        mint,
        store,
        ledger,
        answers: Arc::new(answers),
        keyset,
        directory,
        metrics,
        registry,
        shared: Shared {
            rules: Arc::new(checked.rules),
            extranonces: Extranonces::new(run_id),
        },
        source,
        blocks,
        kept,
        template_refresh: Duration::from_millis(config.template_refresh_ms),
        freshness: Freshness {
            away_max: Duration::from_secs(config.template_stale_after_s),
            template_age_max: (Duration::from_millis(config.template_refresh_ms)
                * TEMPLATE_REFRESHES_READY)
                .max(TEMPLATE_AGE_READY_LEAST),
        },
        admission: AdmissionLimits {
            connections_max: config.connections_max,
            per_address_max: config.connections_per_address_max,
            stranger_place: STRANGER_PLACE,
        },
    })
}

/// Redis that refuses us is for the operator to put right; one that is away comes back.
async fn greet(settings: CheckedRedis) -> Result<PreparedRedis, PoolError> {
    let redis = settings.config.open()?;
    match redis.greet().await {
        Ok(()) => {}
        Err(fault) if fault.may_pass() => {
            tracing::warn!(%fault, "Redis is away; the pool starts without it");
        }
        Err(fault) => return Err(fault.into()),
    }
    Ok(PreparedRedis { redis, settings })
}

fn source(
    source: Source,
    payout: &bitcoin::ScriptBuf,
    run_id: [u8; EXTRANONCE_RUN_BYTES],
) -> Result<Arc<dyn TemplateSource>, PoolError> {
    Ok(match source {
        Source::Bitcoind {
            address,
            login,
            poll_interval,
        } => {
            let credentials = match login {
                Login::CookieFile(file) => Credentials::CookieFile(file.as_path().to_owned()),
                Login::PasswordFile {
                    user,
                    password_file,
                } => Credentials::UserPassword {
                    user,
                    password: keyfile::read_secret_text(&password_file)?,
                },
            };
            let rpc = NodeRpc::new(address, credentials);
            Arc::new(Bitcoind::new(rpc, payout.clone(), poll_interval))
        }
        Source::Builtin {
            bits,
            block_interval,
        } => {
            let settings = BuiltinSettings {
                bits,
                block_interval,
                payout: payout.clone(),
                clock_unix_s: now_unix_s,
            };
            Arc::new(Builtin::new(settings, run_id))
        }
    })
}
