//! From a legacy pool's list to a mint at the hub: `[requests]`.
//!
//! ```text
//! list -> Redis's second list -> outbox -> hub -> mint
//!         (taker.rs)             (the client's requester)
//! key of the quote's id, or dead letter <- store <- answer
//!         (telling.rs)                    (answers.rs)
//! ```
//!
//! Each arrow ends on a disk before what it started from is struck off, so a crash at any moment repeats something and
//! loses nothing; and whatever is repeated is known by its header hash. Requests are sent in the order in which they were
//! pushed. What waits is bounded by `waiting_max`: the rest stays on the list, where it was.

mod answers;
mod keyset;
mod pause;
mod read;
mod record;
mod status;
mod taker;
mod telling;

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use winze_client::{HubClient, Identity, QuoteRequester, QuoteRequesterConfig, Store};
use winze_legacy::ListRules;
use winze_messages::PeerName;
use winze_redis::{Handover, Intake, KeysetKey, Link, LinkPart, Redis, taken_list};
use winze_transport::PublicKey;

use crate::config::{BridgeConfig, RequestsConfig};
use crate::error::BridgeError;
use crate::limits::{REQUESTS_IN_FLIGHT_MAX, SHUTDOWN_DRAIN_MAX};
use crate::store;
use answers::{Answers, Keysets};
use status::Counts;
pub(crate) use status::RequestsStatus;
use taker::Taker;
use telling::Teller;

/// What the direction starts with.
pub(crate) struct RequestsSettings {
    mint: PeerName,
    mint_key: PublicKey,
    rules: ListRules,
    waiting_max: u64,
    takes_new: bool,
    keyset_to_redis: bool,
}

impl RequestsSettings {
    /// Reads what the table names.
    ///
    /// # Errors
    /// The mint's key cannot be read, or the table was not checked.
    pub(crate) fn new(config: &RequestsConfig) -> Result<RequestsSettings, BridgeError> {
        Ok(RequestsSettings {
            mint: config.peer_name()?,
            mint_key: config.public_key.resolve()?,
            rules: ListRules {
                unit: config.unit.clone(),
                default_locking_key: config.locking_key()?,
                other_keysets: config.other_keysets,
            },
            waiting_max: config.waiting_max,
            takes_new: config.takes_new,
            keyset_to_redis: config.keyset_to_redis && config.takes_new,
        })
    }

    /// Makes the store the mint's.
    ///
    /// # Errors
    /// Requests wait in it for another one.
    pub(crate) async fn belong_to_mint(&self, store: &Store) -> Result<(), BridgeError> {
        let (peer, key) = (self.mint.to_string(), self.mint_key);
        let belongs = store.write(move |tx| store::belong_to(tx, &peer, &key));
        Ok(belongs.await?.map_err(Box::new)?)
    }
}

/// The direction at work. Dropping it leaves off wherever it is.
pub(crate) struct Requests {
    stop_taking: watch::Sender<bool>,
    stop_telling: watch::Sender<bool>,
    taking: JoinSet<()>,
    telling: JoinSet<()>,
    _keyset: JoinSet<()>,
    view: RequestsView,
}

/// What can be asked of the direction.
#[derive(Clone)]
pub(crate) struct RequestsView {
    requester: QuoteRequester,
    keysets: watch::Receiver<Keysets>,
    counts: Arc<Counts>,
    link: Link,
    takes_new: bool,
}

impl Requests {
    /// Starts to take, to ask and to tell; neither Redis nor the hub need be there.
    ///
    /// # Errors
    /// The store cannot be read, or the channel cannot be asked for.
    pub(crate) async fn start(
        settings: RequestsSettings,
        identity: &Identity,
        hub: &HubClient,
        redis: &Redis,
        config: &BridgeConfig,
        store: &Store,
    ) -> Result<Requests, BridgeError> {
        let takes_new = settings.takes_new;
        if !takes_new {
            tracing::info!("requests.takes_new is false: the list is left to others");
        }
        let (known, untold, earlier_mints) = store
            .read(|connection| {
                Ok((
                    store::keysets(connection)?,
                    store::untold(connection)?,
                    store::earlier_mints(connection)?,
                ))
            })
            .await?;
        // What was written down for an earlier mint of this store is known here, and is not asked of the next.
        let earlier_owners = earlier_mints
            .iter()
            .map(|(mint, key)| owner(identity, mint, key))
            .collect();
        let mint_key = settings.mint_key.as_bytes();
        let owner = owner(identity, &settings.mint.to_string(), mint_key);
        let counts = Arc::new(Counts::new(untold));
        let news = Arc::new(Notify::new());
        let link = Link::new(&[LinkPart::List]);
        let (sender, keysets) = watch::channel(Arc::new(known));
        let mint: Arc<str> = settings.mint.to_string().into();
        let answers = Answers {
            mint: mint.to_string(),
            unit: settings.rules.unit.clone(),
            keysets: sender,
            counts: Arc::clone(&counts),
            news: Arc::clone(&news),
        };
        let requester = QuoteRequester::start(
            hub,
            store.clone(),
            QuoteRequesterConfig {
                window: REQUESTS_IN_FLIGHT_MAX,
                ..QuoteRequesterConfig::new(settings.mint.clone(), settings.mint_key)
            },
            Arc::new(answers),
        )?;
        let names = &config.redis;
        let (list, dead_letters) = (&names.requests_list, &names.dead_letters_list);
        let own = taken_list(list, &config.name);
        let taker = Taker {
            taken_alone: (!takes_new).then(|| Handover::new(redis, &own, &names.quote_key_prefix)),
            intake: Intake::new(redis, list, dead_letters, &config.name)
                .owned_by(owner, earlier_owners),
            keys: Handover::new(redis, list, &names.quote_key_prefix),
            quote_kept_s: names.quote_kept_s,
            rules: settings.rules,
            peer: Arc::clone(&mint),
            waiting_max: settings.waiting_max,
            store: store.clone(),
            requester: requester.clone(),
            keysets: keysets.clone(),
            counts: Arc::clone(&counts),
            link: link.clone(),
            lengths_at: None,
        };
        let teller = Teller {
            keys: Handover::new(redis, list, &names.quote_key_prefix),
            dead_letters: Handover::new(redis, dead_letters, &names.quote_key_prefix),
            quote_kept_s: names.quote_kept_s,
            mint,
            store: store.clone(),
            news,
            counts: Arc::clone(&counts),
            link: link.clone(),
        };
        let (stop_taking, taking_stops) = watch::channel(false);
        let (stop_telling, telling_stops) = watch::channel(false);
        let (mut taking, mut telling, mut keyset) =
            (JoinSet::new(), JoinSet::new(), JoinSet::new());
        taking.spawn(taker.run(taking_stops));
        telling.spawn(teller.run(telling_stops));
        if settings.keyset_to_redis {
            let key = KeysetKey::new(redis, &names.keyset_key);
            let (keysets, counts) = (keysets.clone(), Arc::clone(&counts));
            keyset.spawn(keyset::run(key, keysets, counts, link.clone()));
        }
        Ok(Requests {
            stop_taking,
            stop_telling,
            taking,
            telling,
            _keyset: keyset,
            view: RequestsView {
                requester,
                keysets,
                counts,
                link,
                takes_new,
            },
        })
    }

    /// For the operator's port.
    pub(crate) fn view(&self) -> RequestsView {
        self.view.clone()
    }

    /// Takes no more, records the answers that are there, and tells Redis of them, each for a few seconds.
    pub(crate) async fn shutdown(mut self) {
        self.stop_taking.send_replace(true);
        ended("the batch off the list", &mut self.taking).await;
        let requester = tokio::time::timeout(SHUTDOWN_DRAIN_MAX, self.view.requester.shutdown());
        if requester.await.is_err() {
            tracing::warn!("answers are still being recorded; they will be asked for again");
        }
        self.stop_telling.send_replace(true);
        ended("what Redis is to be told", &mut self.telling).await;
    }
}

/// Whose what is taken is: another bridge, and this one with another store and another mint, would ask for it once more.
fn owner(identity: &Identity, mint: &str, mint_key: &[u8; 32]) -> String {
    format!(
        "{} {}, asking {mint} {}",
        identity.peer(),
        hex::encode(identity.public_key().as_bytes()),
        hex::encode(mint_key)
    )
}

async fn ended(what: &str, tasks: &mut JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_DRAIN_MAX, all).await.is_err() {
        tracing::warn!("{what} is not done with; the next start goes on with it");
    }
}

impl RequestsView {
    pub(crate) fn status(&self) -> RequestsStatus {
        let keyset_id = self.keysets.borrow().last().map(|it| hex::encode(&it.id));
        let redis = self.link.status();
        let requester = self.requester.status();
        self.counts
            .status(self.takes_new, keyset_id, redis, requester)
    }
}
