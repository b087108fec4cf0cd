//! The asking side: what lies in the outbox for a mint is sent until its answer is recorded.

mod answer;
mod config;
mod core;
mod elsewhere;
mod held;
mod settlement;
mod status;
mod task;
mod withdrawn;

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::OsRng;
use rusqlite::Connection;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse,
};

pub use config::QuoteRequesterConfig;
pub use core::{
    HousekeepingWanted, NumbersFound, NumbersWanted, PageWanted, QuoteRequesterCore,
    RecordingWanted,
};
pub use elsewhere::{LearnedQuote, record_elsewhere};
pub use settlement::RecordedBatch;
pub use status::{RequesterCounts, RequesterStatus};
use task::Task;

use crate::hub_client::HubClient;
use crate::limits::SETTLED_ELSEWHERE_QUEUED_MAX;
use crate::session::OpenError;
use crate::store::{Store, StoreError};

/// What a role does with what its mint says.
///
/// The `on_` methods run inside the transaction that marks the request answered or parked, on the
/// store's writer thread; what they get was authenticated. When one fails, what it did is rolled
/// back, the request stays as it was, and the same answer is asked for again later.
pub trait QuoteAnswers: Send + Sync + 'static {
    /// The quote exists, or, with [`QuoteState::Unknown`] (and an empty id), was asked of a mint that tells no ids: that is
    /// final too, and no quote. What it did counts once per request; it is called again where that was rolled back, as it is
    /// with everything else in the transaction when the effect of another answer fails.
    ///
    /// [`QuoteState::Unknown`]: winze_messages::families::mint_quote::QuoteState::Unknown
    fn on_response(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        response: &MintQuoteResponse,
    ) -> Result<(), StoreError>;

    /// The mint refuses for good, and the request is parked.
    fn on_refusal(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        error: &MintQuoteError,
    ) -> Result<(), StoreError>;

    /// The operator has given a parked request up ([`QuoteErrorCode::Withdrawn`], our own word): it
    /// is gone. Whether that is news, and goes to [`Self::committed`]: it is none where the mint had
    /// answered before. By default it is what a refusal of the mint's is.
    ///
    /// [`QuoteErrorCode::Withdrawn`]: winze_messages::families::mint_quote::QuoteErrorCode::Withdrawn
    fn on_withdrawal(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        error: &MintQuoteError,
    ) -> Result<bool, StoreError> {
        self.on_refusal(tx, request, error).map(|()| true)
    }

    /// The active keyset of a unit. Called again for one that is known, after each connect.
    fn on_keyset(&self, tx: &Connection, keyset: &KeysetAnnouncement) -> Result<(), StoreError>;

    /// What has just been committed, in the order in which it came. Runs on the requester's task:
    /// it must not block.
    fn committed(&self, events: &[QuoteEvent]);
}

/// Something that is on disk now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuoteEvent {
    /// A request became a quote, or is answered for good with [`QuoteState::Unknown`].
    ///
    /// [`QuoteState::Unknown`]: winze_messages::families::mint_quote::QuoteState::Unknown
    Issued {
        /// What was asked.
        request: MintQuoteRequest,
        /// What was answered.
        response: MintQuoteResponse,
    },
    /// A request was finally refused, and is parked.
    Refused {
        /// What was asked.
        request: MintQuoteRequest,
        /// What was answered.
        error: MintQuoteError,
    },
    /// The operator has given a request up that had no answer.
    Withdrawn {
        /// What was asked.
        request: MintQuoteRequest,
        /// What the role has recorded of it.
        error: MintQuoteError,
    },
    /// The mint announced a keyset.
    Keyset(KeysetAnnouncement),
}

/// A handle on the requester's task; clones share it. The task ends with the last of them.
#[derive(Clone)]
pub struct QuoteRequester {
    shared: Arc<Shared>,
    settled: mpsc::Sender<Vec<u64>>,
    /// The task sees when the last clone is gone.
    stop: Arc<watch::Sender<bool>>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What the task and the handles share.
pub(super) struct Shared {
    nudged: Notify,
    status: Mutex<RequesterStatus>,
}

impl Shared {
    pub(super) fn update(&self, f: impl FnOnce(&mut RequesterStatus)) {
        f(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl QuoteRequester {
    /// Opens the channel to the mint and starts to work off the outbox in `store`, which was
    /// opened with [`OUTBOX_SCHEMA`](crate::outbox::OUTBOX_SCHEMA). Must be called in a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`OpenError::AlreadyOpen`] for a second requester of one mint on one client,
    /// [`OpenError::NotNegotiated`] when the client's configuration leaves the family out.
    pub fn start(
        hub: &HubClient,
        store: Store,
        config: QuoteRequesterConfig,
        answers: Arc<dyn QuoteAnswers>,
    ) -> Result<QuoteRequester, OpenError> {
        let channel = hub.open_channel(EXT_MINT_QUOTE, &config.mint, "")?;
        let shared = Arc::new(Shared {
            nudged: Notify::new(),
            status: Mutex::new(RequesterStatus::default()),
        });
        let (stop, stopped) = watch::channel(false);
        let (settled, settled_elsewhere) = mpsc::channel(SETTLED_ELSEWHERE_QUEUED_MAX);
        let task = Task::new(
            Arc::clone(&shared),
            channel,
            settled_elsewhere,
            QuoteRequesterCore::new(hub.identity(), config, Box::new(OsRng)),
            store,
            answers,
        );
        let task = tokio::spawn(task.run(stopped));
        Ok(QuoteRequester {
            shared,
            settled,
            stop: Arc::new(stop),
            task: Arc::new(Mutex::new(Some(task))),
        })
    }

    /// New rows were committed to the outbox: look now, not only in a while.
    pub fn nudge(&self) {
        self.shared.nudged.notify_one();
    }

    /// These requests have their answers, committed by [`record_elsewhere`]: they are not sent (again). Waits while the task
    /// has others to take note of.
    pub async fn settled_elsewhere(&self, sequences: Vec<u64>) {
        // The task is gone only with all that it could send.
        let _ = self.settled.send(sequences).await;
    }

    /// Where it stands; what lies on disk as of about a second ago at most.
    pub fn status(&self) -> RequesterStatus {
        *self
            .shared
            .status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the task and waits until an answer that is being recorded is on disk. What has no
    /// answer stays in the outbox.
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
            tracing::error!(%error, "the requester's task");
        }
    }
}
