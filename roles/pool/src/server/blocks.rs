//! Found blocks: to the node, and beside that to the disk, neither of which waits for the other.

use std::sync::Arc;

use bitcoin::BlockHash;
use tokio::sync::mpsc;
use winze_runtime::clock::now_unix_ms;

use crate::limits::BLOCK_NOTES_QUEUED_MAX;
use crate::metrics::Metrics;
use crate::store::Blocks;
use crate::template::block::FoundBlock;
use crate::template::feed::Offered;

/// Where connections leave the blocks that they find.
pub(super) struct FoundBlocks {
    offers: mpsc::Sender<Offered>,
    notes: Option<Notes>,
    metrics: Metrics,
}

/// What is to be written down, in this order. Overflow (the disk does not come after) is logged: a block that is not
/// kept is still offered, and one that is kept for too long is offered again after a restart and known by then.
#[derive(Clone)]
pub(super) struct Notes(mpsc::Sender<Note>);

enum Note {
    Found(Arc<FoundBlock>),
    Settled(BlockHash),
}

impl FoundBlocks {
    /// Without `notes` nothing is kept.
    pub(super) fn new(
        offers: mpsc::Sender<Offered>,
        notes: Option<Notes>,
        metrics: Metrics,
    ) -> FoundBlocks {
        FoundBlocks {
            offers,
            notes,
            metrics,
        }
    }

    /// Has a block handed to the node at once.
    pub(super) fn found(&self, block: FoundBlock) {
        let block = Arc::new(block);
        // First, so that it is written down before it can be struck off. One that is dropped below stays there, for the
        // next start.
        if let Some(notes) = &self.notes {
            notes.note(Note::Found(Arc::clone(&block)));
        }
        if let Err(error) = self.offers.try_send(Offered::new(block)) {
            let hash = error.into_inner().block.hash;
            self.metrics.blocks_dropped.inc();
            tracing::error!(%hash, "a found block was dropped: too many wait for submission");
        }
    }
}

impl Notes {
    /// The keeper's end is for [`keep`].
    pub(super) fn new() -> (Notes, Keeper) {
        let (sender, receiver) = mpsc::channel(BLOCK_NOTES_QUEUED_MAX);
        (Notes(sender), Keeper(receiver))
    }

    /// The block needs no further offering.
    pub(super) fn settled(&self, hash: BlockHash) {
        self.note(Note::Settled(hash));
    }

    fn note(&self, note: Note) {
        if self.0.try_send(note).is_err() {
            tracing::error!(
                "what became of a found block is not written down: the disk is too slow"
            );
        }
    }
}

/// The receiving end of [`Notes`].
pub(super) struct Keeper(mpsc::Receiver<Note>);

/// Writes down until all [`Notes`] are gone.
pub(super) async fn keep(blocks: Blocks, mut keeper: Keeper) {
    while let Some(note) = keeper.0.recv().await {
        let (hash, written) = match note {
            Note::Found(block) => (block.hash, blocks.keep(block, now_unix_ms()).await),
            Note::Settled(hash) => (hash, blocks.settled(hash).await.map(|()| true)),
        };
        match written {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(%hash, "a found block is offered but not kept: too many are");
            }
            Err(error) => {
                tracing::error!(%hash, %error, "a found block cannot be kept or forgotten")
            }
        }
    }
}
