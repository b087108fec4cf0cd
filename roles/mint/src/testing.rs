//! A mint without its hub, for the tests of this crate: real stores in a temporary folder, a clock that is turned by
//! hand, and a restart that forgets whatever was only in memory.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cdk::nuts::CurrencyUnit;
use winze_client::{ANSWERS_SCHEMA, Store};
use winze_messages::PeerName;
use winze_messages::families::mint_quote::{MintQuoteRequest, MintQuoteResponse};
use winze_transport::{PublicKey, SecretKey};

use crate::allowance::{ALLOWANCE_SCHEMA, Caps};
use crate::ecash::{Ecash, EcashConfig};
use crate::issuance::Issuer;
use crate::issuance::check::{PoolRules, Rules};
use crate::metrics::Metrics;
use crate::seed::Seed;
use winze_client::{QuoteIssuer, QuoteOutcome};

/// What the mint allows pool Alice, who is the only one it knows.
pub(crate) const CAPS: Caps = Caps {
    per_hour: 1_000,
    per_day: 5_000,
};
/// The largest amount of one quote.
pub(crate) const AMOUNT_MAX: u64 = 1_000;

pub(crate) struct TestMint {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) ecash: Ecash,
    pub(crate) store: Store,
    pub(crate) issuer: Issuer,
    pub(crate) metrics: Metrics,
    pub(crate) alice: PublicKey,
    now_s: Arc<AtomicU64>,
}

impl TestMint {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let alice = SecretKey::generate(&mut rand::rngs::OsRng).public_key();
        let now_s = Arc::new(AtomicU64::new(1_800_000_000));
        Self::open(folder, alice, now_s, AMOUNT_MAX).await
    }

    /// As after SIGKILL: nothing but the files goes on.
    pub(crate) async fn killed_and_started(self) -> Self {
        self.killed_and_started_with(AMOUNT_MAX).await
    }

    /// As [`Self::killed_and_started`], and somebody has changed the largest amount meanwhile.
    pub(crate) async fn killed_and_started_with(self, amount_max: u64) -> Self {
        let Self {
            folder,
            ecash,
            store,
            issuer,
            alice,
            now_s,
            ..
        } = self;
        drop((issuer, store));
        // Only its tasks are stopped, so that they do not outlive their mint; nothing is written by it.
        ecash.stop().await.expect("cdk stops");
        drop(ecash);
        Self::open(folder, alice, now_s, amount_max).await
    }

    async fn open(
        folder: tempfile::TempDir,
        alice: PublicKey,
        now_s: Arc<AtomicU64>,
        amount_max: u64,
    ) -> Self {
        let ecash = open_ecash(folder.path(), amount_max).await;
        let store = Store::open(
            &folder.path().join("mint.sqlite"),
            &[ANSWERS_SCHEMA, ALLOWANCE_SCHEMA],
        )
        .expect("the store opens");
        let caps = HashMap::from([("hash".to_owned(), CAPS), ("ehash".to_owned(), CAPS)]);
        let rules = Rules {
            amount_max,
            description_bytes_max: 128,
            units: units(),
            pools: HashMap::from([(
                alice,
                PoolRules {
                    name: "pool/alice".parse().expect("a peer name"),
                    caps,
                },
            )]),
            list: Some(PoolRules {
                name: "redis/requests".parse().expect("a peer name"),
                caps: HashMap::from([("hash".to_owned(), CAPS)]),
            }),
        };
        let clock = Arc::clone(&now_s);
        let metrics = Metrics::new(true);
        let issuer = Issuer::new(
            rules,
            ecash.clone(),
            store.clone(),
            metrics.clone(),
            Arc::new(move || clock.load(Ordering::Relaxed)),
        );
        Self {
            folder,
            ecash,
            store,
            issuer,
            metrics,
            alice,
            now_s,
        }
    }

    pub(crate) fn turn_clock(&self, seconds: u64) {
        self.now_s.fetch_add(seconds, Ordering::Relaxed);
    }

    /// What pool Alice asks for share number `share`.
    pub(crate) fn request(&self, share: u8, amount: u64) -> MintQuoteRequest {
        self.request_locked(share, amount, &cdk::nuts::SecretKey::generate())
    }

    pub(crate) fn request_locked(
        &self,
        share: u8,
        amount: u64,
        miner: &cdk::nuts::SecretKey,
    ) -> MintQuoteRequest {
        MintQuoteRequest {
            amount,
            unit: "hash".to_owned(),
            header_hash: [share; 32],
            description: None,
            locking_key: miner.public_key().to_bytes(),
            keyset_id: self.active_keyset_id(),
        }
    }

    pub(crate) fn active_keyset_id(&self) -> Vec<u8> {
        let unit = CurrencyUnit::custom("hash");
        self.ecash
            .active_keyset(&unit)
            .expect("an active keyset")
            .id
            .to_bytes()
    }

    pub(crate) async fn ask(&self, requests: &[MintQuoteRequest]) -> Vec<QuoteOutcome> {
        self.ask_as(&self.alice, requests).await
    }

    pub(crate) async fn ask_as(
        &self,
        key: &PublicKey,
        requests: &[MintQuoteRequest],
    ) -> Vec<QuoteOutcome> {
        let name: PeerName = "pool/alice".parse().expect("a peer name");
        self.issuer.issue(&name, key, requests.to_vec()).await
    }

    /// The one answer to one request that must succeed.
    pub(crate) async fn quote(&self, request: &MintQuoteRequest) -> MintQuoteResponse {
        issued(&self.ask(std::slice::from_ref(request)).await[0])
    }

    /// How many quotes there are in cdk's store.
    pub(crate) async fn quotes(&self) -> usize {
        self.ecash
            .mint()
            .mint_quotes()
            .await
            .expect("a readable store")
            .len()
    }

    /// What Alice may still have issued within the hour.
    pub(crate) async fn left(&self) -> u64 {
        self.issuer.left_in_hour("pool/alice", "hash", CAPS).await
    }
}

pub(crate) fn issued(outcome: &QuoteOutcome) -> MintQuoteResponse {
    match outcome {
        QuoteOutcome::Issued(response) => response.clone(),
        other => panic!("expected a quote, got {other:?}"),
    }
}

pub(crate) fn units() -> Vec<CurrencyUnit> {
    vec![CurrencyUnit::custom("hash"), CurrencyUnit::custom("ehash")]
}

pub(crate) async fn open_ecash(folder: &Path, amount_max: u64) -> Ecash {
    let config = EcashConfig {
        store: folder.join("ecash.sqlite"),
        units: units(),
        amount_max,
        input_fee_ppk: 0,
        name: Some("a test's mint".to_owned()),
        description: None,
        urls: Vec::new(),
    };
    let seed = Seed::read_or_create(&folder.join("seed"), &config.store, true).expect("a seed");
    Ecash::open(&config, &seed).await.expect("the mint opens")
}
