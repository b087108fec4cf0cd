//! A source's templates as a stream, and its way back for found blocks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};

use super::block::FoundBlock;
use super::{Submitted, Template, TemplateSource};
use crate::limits::NODE_BACKOFF;

/// A template with the number by which jobs refer to it. Numbers rise, and are the process's own.
#[derive(Clone, Debug)]
pub struct Work {
    /// The number.
    pub template_id: u64,
    /// The template.
    pub template: Arc<Template>,
    /// When the source gave it.
    pub fetched: Instant,
}

/// Fetches templates until its future is dropped: at the start, when the tip moves, when `nudge` is notified, and
/// each `refresh_interval` (for the fees of new transactions, and so that targets take effect).
///
/// An error is logged and tried again with a growing delay; the last template stays in force meanwhile.
pub async fn fetch_templates(
    source: Arc<dyn TemplateSource>,
    refresh_interval: Duration,
    nudge: Arc<Notify>,
    sink: watch::Sender<Option<Work>>,
) {
    let (backoff_least, backoff_most) = NODE_BACKOFF;
    let mut backoff = backoff_least;
    let mut template_id = 0;
    loop {
        match source.template().await {
            Ok(template) => {
                backoff = backoff_least;
                template_id += 1;
                let prev_hash = template.prev_hash;
                tracing::debug!(template_id, height = template.height, %prev_hash, "new template");
                sink.send_replace(Some(Work {
                    template_id,
                    template: Arc::new(template),
                    fetched: Instant::now(),
                }));
                tokio::select! {
                    () = source.tip_changed(prev_hash) => {}
                    () = nudge.notified() => {}
                    () = tokio::time::sleep(refresh_interval) => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, retry_after_ms = backoff.as_millis() as u64, "no block template");
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(backoff_most);
            }
        }
    }
}

/// Hands found blocks to the source, one at a time, until all senders are gone. `report` hears what became of each.
pub async fn submit_blocks(
    source: Arc<dyn TemplateSource>,
    mut blocks: mpsc::Receiver<FoundBlock>,
    nudge: Arc<Notify>,
    report: impl Fn(&FoundBlock, &SubmitReport),
) {
    while let Some(block) = blocks.recv().await {
        let outcome = match source.submit(&block).await {
            Ok(outcome) => SubmitReport::Answered(outcome),
            // Once more: a block is worth it, and a restarting node is back soon or not in time.
            Err(first) => {
                tracing::warn!(hash = %block.hash, error = %first, "block not handed over, trying again");
                tokio::time::sleep(NODE_BACKOFF.0).await;
                match source.submit(&block).await {
                    Ok(outcome) => SubmitReport::Answered(outcome),
                    Err(error) => SubmitReport::Failed(error.to_string()),
                }
            }
        };
        match &outcome {
            SubmitReport::Answered(Submitted::Accepted) => {
                tracing::info!(hash = %block.hash, height = block.height, "block found and accepted");
                nudge.notify_one();
            }
            SubmitReport::Answered(Submitted::NotBest(reason)) => {
                tracing::info!(hash = %block.hash, height = block.height, reason, "block found, not the best");
            }
            SubmitReport::Answered(Submitted::Rejected(reason)) => {
                tracing::error!(hash = %block.hash, height = block.height, reason, "block rejected");
            }
            SubmitReport::Failed(reason) => {
                tracing::error!(hash = %block.hash, height = block.height, reason, "block lost");
            }
        }
        report(&block, &outcome);
    }
}

/// What became of a found block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitReport {
    /// The source's word.
    Answered(Submitted),
    /// The source could not be reached, twice; the reason.
    Failed(String),
}
