//! Who searches where: every channel of the pool gets its own part of the extranonce, every job its own number.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use stratum_core::channels_sv2::extranonce_manager::{
    AllocatedExtranoncePrefix, ExtranonceAllocator, ExtranonceAllocatorError,
};

use crate::limits::{
    CHANNELS_MAX, EXTRANONCE_BYTES, EXTRANONCE_ROLLED_BYTES, EXTRANONCE_RUN_BYTES,
};

/// The extranonce space of one run of the pool, shared by its connections.
///
/// ```text
/// | run, 8 bytes, random at start | channel, 2 bytes | rolled by the miner, 8 bytes |
/// ```
///
/// A standard channel has zeros in the last part. A prefix is free again when its channel is dropped; that the next
/// channel does not search where the last one has is for the numbers of their jobs.
#[derive(Clone, Debug)]
pub struct Extranonces {
    allocator: Arc<Mutex<ExtranonceAllocator>>,
    last_job: Arc<AtomicU32>,
}

impl Extranonces {
    /// `run_id` must differ from that of every earlier run: 64 random bits.
    pub fn new(run_id: [u8; EXTRANONCE_RUN_BYTES]) -> Extranonces {
        let allocator =
            ExtranonceAllocator::new(run_id.to_vec(), EXTRANONCE_BYTES as u8, CHANNELS_MAX)
                .expect("the layout in limits.rs leaves room for run, channel and rolled bytes");
        Extranonces {
            allocator: Arc::new(Mutex::new(allocator)),
            last_job: Arc::new(AtomicU32::new(0)),
        }
    }

    /// A prefix for a standard channel: the whole extranonce. `None` when [`CHANNELS_MAX`] are open.
    pub fn standard(&self) -> Option<AllocatedExtranoncePrefix> {
        self.lock().allocate_standard().ok()
    }

    /// A prefix for an extended channel that rolls the last [`EXTRANONCE_ROLLED_BYTES`] bytes.
    pub fn extended(&self, rolled_bytes_min: u16) -> Result<AllocatedExtranoncePrefix, NoPrefix> {
        self.lock()
            .allocate_extended(usize::from(rolled_bytes_min))
            .map_err(|error| match error {
                ExtranonceAllocatorError::InvalidRollableSize => NoPrefix::RolledTooLong,
                _ => NoPrefix::Exhausted,
            })
    }

    /// A number for a job, from 1 on. It comes again after 2^32 jobs: not on the same tip.
    pub fn next_job(&self) -> u32 {
        self.last_job
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1)
    }

    /// Bytes that every extended channel rolls.
    pub fn rolled_bytes(&self) -> u16 {
        EXTRANONCE_ROLLED_BYTES as u16
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ExtranonceAllocator> {
        // The allocator's state is a bitmap and an index: a panic elsewhere leaves it usable.
        self.allocator
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Why an extended channel gets no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPrefix {
    /// The miner wants to roll more bytes than [`EXTRANONCE_ROLLED_BYTES`].
    RolledTooLong,
    /// [`CHANNELS_MAX`] channels are open.
    Exhausted,
}
