//! The answering side: each request is issued once and gets the same answer every time.

mod announcements;
mod asked;
mod batch;
mod channel;
mod comparison;
mod config;
mod serve;
mod set_back;
mod shared;
mod status;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteRequest, MintQuoteResponse, QuoteErrorCode,
};
use winze_messages::{EXT_MINT_QUOTE, PeerName};
use winze_transport::PublicKey;

pub use batch::{AnswersWanted, LookUp, LookedUp, QuoteBatch, RecordedAnswers, Reply, ToDecide};
pub use channel::ResponderChannelCore;
pub use comparison::Comparison;
pub use config::QuoteResponderConfig;
use shared::Shared;
pub use status::{ResponderCounts, ResponderStatus};

use crate::answers::SetBack;
use crate::hub_client::HubClient;
use crate::session::OpenError;
use crate::store::{Store, StoreError};

/// Who makes quotes.
#[async_trait]
pub trait QuoteIssuer: Send + Sync + 'static {
    /// Issues, or refuses, each of `requests`: one outcome each, in the same order. They come from
    /// `pool`, are authenticated with `pool_key`, well formed, and no two of them have one header
    /// hash. A crash, or another pool with the same header hash, can bring one here that was
    /// issued already: the issuer's own record decides, and the outcome is the same quote or
    /// [`QuoteErrorCode::Conflict`].
    ///
    /// An outcome that is missing counts as [`QuoteErrorCode::Unavailable`]. Batches of several
    /// pools run side by side.
    async fn issue(
        &self,
        pool: &PeerName,
        pool_key: &PublicKey,
        requests: Vec<MintQuoteRequest>,
    ) -> Vec<QuoteOutcome>;

    /// Tells what was issued for `requests` before, and makes nothing: the responder's record may
    /// have been set back, and what is missing in it may exist. Otherwise as [`Self::issue`]. An
    /// issuer without a record of its own has nothing to tell.
    async fn recall(&self, requests: Vec<MintQuoteRequest>) -> Vec<QuoteOutcome> {
        drop(requests);
        Vec::new()
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuoteOutcome {
    /// The quote exists, on disk; or, with [`QuoteState::Unknown`] and an empty id, it was asked of a mint that tells none,
    /// and that is the answer for good.
    ///
    /// [`QuoteState::Unknown`]: winze_messages::families::mint_quote::QuoteState::Unknown
    Issued(MintQuoteResponse),
    /// Refused for good: this answer is recorded and given again.
    Refused {
        /// A final code.
        code: QuoteErrorCode,
        /// For a person; over 255 bytes it is cut.
        message: String,
    },
    /// Refused for now: nothing is recorded.
    Later {
        /// A temporary code.
        code: QuoteErrorCode,
        /// For a person; over 255 bytes it is cut.
        message: String,
        /// When to ask again, in milliseconds.
        retry_after_ms: u32,
    },
}

/// A handle on the responder's tasks; clones share it. They end with the last of them.
#[derive(Clone)]
pub struct QuoteResponder {
    shared: Arc<Shared>,
    /// The tasks see when the last clone is gone.
    stop: Arc<watch::Sender<bool>>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl QuoteResponder {
    /// Takes the channels that the listed pools open and answers what comes on them. `store` was
    /// opened with [`ANSWERS_SCHEMA`](crate::answers::ANSWERS_SCHEMA). Must be called in a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`OpenError::ListenerExists`] for a second responder on one client,
    /// [`OpenError::NotNegotiated`] when the client's configuration leaves the family out.
    pub fn start(
        hub: &HubClient,
        store: Store,
        config: QuoteResponderConfig,
        issuer: Arc<dyn QuoteIssuer>,
    ) -> Result<QuoteResponder, OpenError> {
        let names: BTreeSet<String> = config
            .pools
            .iter()
            .map(|(pool, _)| pool.to_string())
            .collect();
        let listener = hub.accept(EXT_MINT_QUOTE, config.channels_max, move |channel| {
            names.contains(&channel.peer)
        })?;
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared::new(store, config, issuer));
        let task = tokio::spawn(serve::accept_channels(
            Arc::clone(&shared),
            listener,
            hub.identity().clone(),
            stopped,
        ));
        Ok(QuoteResponder {
            shared,
            stop: Arc::new(stop),
            task: Arc::new(Mutex::new(Some(task))),
        })
    }

    /// Makes `keyset` the active one of its unit: stored with a rising serial number, sent on
    /// every open channel, and on each one that opens. The same keyset again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Aborted`] for a keyset that has no encoding.
    pub async fn announce(&self, keyset: KeysetAnnouncement) -> Result<(), StoreError> {
        self.shared.announcements.announce(&keyset).await
    }

    /// Where it stands.
    pub fn status(&self) -> ResponderStatus {
        self.shared.status()
    }

    /// The pools that know of answers which the record does not hold, as of about a second ago:
    /// nothing new is made for them until the operator has
    /// [accepted](crate::answers::AnswersFile::accept) it.
    pub fn set_backs(&self) -> Vec<SetBack> {
        self.shared.set_backs()
    }

    /// Whether this pool has told since the start how far its store has come: if that is further than the record, it is among
    /// the record's [set-backs](crate::answers::set_backs) by now.
    pub fn has_compared(&self, pool: &str) -> bool {
        self.shared.has_compared(pool)
    }

    /// Takes no more requests and waits until those that are with the issuer are recorded, and
    /// handed to the connection.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the responder's task");
        }
    }
}
