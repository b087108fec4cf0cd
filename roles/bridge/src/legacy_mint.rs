//! From pools at the hub to the list of an old mint, and back with the ids of its quotes.
//!
//! # A request's way
//! A pool's request is checked, written down (`bridge_pushed`) and pushed. Then its id is looked for, more and more seldom,
//! and told when it is there; until then the pool is put off, and asks again. What has no id after a while is pushed again:
//! an old mint that dies between taking an entry off the list and making the quote has lost it. But those that write ids keep
//! no second quote of a header hash from being made, so nothing is pushed again before the list was seen empty.
//!
//! # What a crash leaves
//! | killed | what is on disk | afterwards |
//! |---|---|---|
//! | before the row is committed | nothing | the pool asks again, and it is new |
//! | before, or just after, the push | a row that is not known to have been pushed | as if it had been |
//! | after the push | a row that was pushed | its id is looked for; it is pushed again in its time |
//! | after the id was found | the id; where the pool waits for it, a row as before | whoever asks is told; it is found again |
//! | before the answer is on record | as before | the same answer |
//! | after that | the answer; the row is forgotten | the record answers |
//!
//! An old mint that is killed between its quote and the quote's key never writes that key. One whose quotes are in memory, as
//! those are that write ids, has lost the quote as well, and makes another when the request is pushed again. One with a store
//! that refuses the header hash leaves the request open, pushed more and more seldom, until somebody who looks into that
//! store sets the key.
//!
//! While Redis is away, or the list is full, nothing is written down: what is new waits with its pool.
//!
//! | question | file |
//! |---|---|
//! | what is pushed and looked for, and when | `open.rs` |
//! | what is on disk, and for which list | `rows.rs`, `place.rs` |
//! | what an entry looks like | `writing.rs` |
//! | how is a pool answered | `issuer.rs` |
//! | who talks to Redis | `courier.rs`, `keyset.rs` |

mod courier;
mod desk;
mod issuer;
mod keyset;
mod limits;
mod open;
mod place;
mod rows;
mod status;
mod writing;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;
use winze_client::answers::SetBack;
use winze_client::{HubClient, QuoteResponder, QuoteResponderConfig, Store, StoreError};
use winze_messages::PeerName;
use winze_redis::{Handover, KeysetKey, Redis};
use winze_transport::PublicKey;

use self::courier::Courier;
use self::desk::{Desk, Way};
use self::issuer::Issuer;
use self::keyset::KeysetWatch;
use self::limits::{ROUND_MAX, SWEEP_ROWS, UNANSWERED_AFTER_MS};
use self::open::Open;
use self::writing::Writing;
use crate::config::{BridgeConfig, InvalidValue, LegacyMintConfig, LegacyPoolConfig};
use crate::error::BridgeError;
use crate::limits::POOLS_MAX;

pub use place::OtherList;
pub(crate) use place::belong_to_list;
pub(crate) use rows::PUSHED_SCHEMA;
pub(crate) use status::LegacyMintStatus;

/// The direction, while it runs.
pub(crate) struct LegacyMint {
    desk: Arc<Desk>,
    responder: QuoteResponder,
    keyset_from_redis: bool,
    takes_new: bool,
    stop: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

impl LegacyMint {
    /// Takes up what an earlier process has left, and begins to answer the listed pools. `store` was opened with
    /// [`PUSHED_SCHEMA`] and [`ANSWERS_SCHEMA`](winze_client::ANSWERS_SCHEMA). That Redis is away is no error.
    ///
    /// # Errors
    /// A pool's key cannot be read, the store fails, or `hub` has a responder already.
    pub(crate) async fn start(
        hub: &HubClient,
        redis: &Redis,
        store: Store,
        config: &BridgeConfig,
        direction: &LegacyMintConfig,
    ) -> Result<LegacyMint, BridgeError> {
        let takes_new = direction.takes_new;
        if !takes_new {
            tracing::info!(
                "legacy_mint.takes_new is false: pools are put off, what is open is finished"
            );
        }
        let pools = direction.peers()?;
        let tells_ids = direction.writes_quote_ids;
        let push_again_after_ms = direction.push_again_after_s.saturating_mul(1_000);
        let mut open = Open::new(pools.len(), push_again_after_ms, tells_ids);
        take_up(&store, &mut open, tells_ids).await?;
        let desk = Arc::new(Desk::new(open));

        let writing = Writing {
            shape: direction.shape(),
            unit: direction.list_unit.clone(),
        };
        let issuer = Issuer {
            desk: Arc::clone(&desk),
            store: store.clone(),
            unit: direction.unit.clone(),
            writing: writing.clone(),
            tells_ids,
            takes_new,
            amount_max: direction.amount_max(),
        };
        let responder_config = QuoteResponderConfig {
            batch_max: ROUND_MAX,
            channels_max: POOLS_MAX,
            ..QuoteResponderConfig::new(pools)
        };
        let responder =
            QuoteResponder::start(hub, store.clone(), responder_config, Arc::new(issuer))?;

        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let handover = Handover::new(
            redis,
            config.legacy_list(),
            config.legacy_quote_key_prefix(),
        );
        let theirs = place::keyset_id(&store).await?;
        let courier = Courier::new(
            Arc::clone(&desk),
            store.clone(),
            handover,
            direction.list_length_max,
            writing,
        );
        tasks.spawn(courier.run(stopped.clone()));
        if direction.keyset_from_redis {
            let key = KeysetKey::new(redis, &config.redis.keyset_key);
            let watch = KeysetWatch::new(
                Arc::clone(&desk),
                key,
                direction.unit.clone(),
                responder.clone(),
                store,
                theirs,
            );
            tasks.spawn(watch.run(stopped));
        }
        Ok(LegacyMint {
            desk,
            responder,
            keyset_from_redis: direction.keyset_from_redis,
            takes_new,
            stop,
            tasks: Mutex::new(tasks),
        })
    }

    /// Where it stands.
    pub(crate) fn status(&self) -> LegacyMintStatus {
        let mut inner = self.desk.lock();
        let counts = inner.open.counts();
        inner.status.open = counts.open as u64;
        inner.status.unpushed = counts.unpushed as u64;
        let now_ms = self.desk.now_ms();
        inner.status.oldest_ms = inner.open.oldest_ms(now_ms);
        inner.status.unanswered = inner.open.unanswered(now_ms, UNANSWERED_AFTER_MS) as u64;
        inner.status.is_list_full = inner.way == Way::Full;
        LegacyMintStatus {
            takes_new: self.takes_new,
            responder: self.responder.status(),
            ..inner.status.clone()
        }
    }

    /// Whether what this direction is for can be done.
    pub(crate) fn is_ready(&self) -> bool {
        self.status().is_ready(self.keyset_from_redis)
    }

    /// The pools that know of answers which the record here does not hold: [`QuoteResponder::set_backs`].
    pub(crate) fn set_backs(&self) -> Vec<SetBack> {
        self.responder.set_backs()
    }

    /// Answers what is under way, and then stops. What has no id stays on disk.
    pub(crate) async fn shutdown(&self) {
        // First the pools: what they have asked may still be pushed and answered.
        self.responder.shutdown().await;
        self.stop.send_replace(true);
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the direction to the old mint");
            }
        }
    }
}

impl LegacyMintConfig {
    /// Who may ask.
    fn peers(&self) -> Result<Vec<(PeerName, PublicKey)>, BridgeError> {
        let peer = |pool: &LegacyPoolConfig| {
            let name = pool.peer.parse().map_err(|error| InvalidValue {
                key: "legacy_mint.pool.peer",
                message: format!("{:?}: {error}", pool.peer),
            })?;
            Ok((name, pool.public_key.resolve()?))
        };
        self.pool.iter().map(peer).collect()
    }
}

/// What an earlier process has left: answered ones are forgotten, the others taken up, as far as there is room.
async fn take_up(store: &Store, open: &mut Open, tells_ids: bool) -> Result<(), StoreError> {
    let mut after = Some(0);
    while let Some(from) = after {
        let swept = store.write(move |c| {
            let mut left = Vec::new();
            let last = rows::sweep(c, from, SWEEP_ROWS, &mut left)?;
            Ok((last, left))
        });
        let (last, left) = swept.await?;
        after = last;
        // Of a mint that tells no ids there is nothing to look for; who has no answer asks again.
        for row in left.into_iter().filter(|_| tells_ids) {
            let pool: Arc<str> = row.pool.into();
            if open.room(&pool) == 0 {
                continue;
            }
            // One that is not noted as pushed may have been, just before a crash.
            open.resume(row.hash, &pool, 0);
        }
    }
    Ok(())
}
