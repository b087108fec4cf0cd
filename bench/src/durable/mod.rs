//! Requests that are on disk before they are sent, and answered from a disk: what all systems have in common.

pub mod hub;
pub mod jetstream;
pub mod redis_lists;
pub mod responder;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

use crate::error::BenchError;
use crate::load::meter::{self, Processes};
use crate::setting::Setting;
use crate::workload::{Sample, sample};

/// Requests that are stored together, of every system.
pub const BATCH: usize = 64;

/// Batches that may be on their way to the requester's disk at a time: whatever is not asked yet may be.
pub const FEEDERS: usize = OUTSTANDING / BATCH;

/// Requests that were stored and whose answers are not recorded: as many at a time in every system.
pub const OUTSTANDING: usize = 8_192;

/// The payload of a request, in bytes.
pub const REQUEST_BYTES: usize = 200;

/// The payload of an answer, in bytes: a `MintQuoteResponse` with a UUID, channel id and authenticator.
pub const ANSWER_BYTES: usize = 143;

/// What has been answered, and how much may be asked meanwhile.
pub struct Progress {
    answered: AtomicU64,
    room: Arc<Semaphore>,
}

impl Progress {
    /// Nothing is answered; `outstanding` may be asked.
    pub fn new(outstanding: usize) -> Arc<Progress> {
        Arc::new(Progress {
            answered: AtomicU64::new(0),
            room: Arc::new(Semaphore::new(outstanding)),
        })
    }

    /// So many more are answered and recorded, and as many may be asked anew.
    pub fn count(&self, answered: usize) {
        self.answered.fetch_add(answered as u64, Ordering::Relaxed);
        self.room.add_permits(answered);
    }

    /// Answered and recorded so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// A permit for each request that may be asked.
    pub fn room(&self) -> Arc<Semaphore> {
        Arc::clone(&self.room)
    }
}

/// Lets `work` run while [`meter::observe`] measures what is answered.
///
/// # Errors
/// What `work` ends with; that it ends is one. Those of [`meter::observe`].
pub async fn observe(
    setting: &Setting,
    processes: Processes<'_>,
    progress: &Progress,
    work: impl Future<Output = Result<(), BenchError>>,
) -> Result<Sample, BenchError> {
    tokio::select! {
        ended = work => {
            ended?;
            Err(BenchError::peer("the load", "ended before its time"))
        }
        cost = meter::observe(setting, processes, || progress.answered()) => Ok(sample(&cost?)),
    }
}
