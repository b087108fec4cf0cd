//! A source's templates as a stream, and its way back for found blocks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};

use super::block::FoundBlock;
use super::{DUPLICATE, Submitted, Template, TemplateError, TemplateSource};
use crate::limits::{BLOCK_RETRY_MAX, BLOCK_SUBMIT_MAX, NODE_BACKOFF};

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
        let outcome = hand_over(source.as_ref(), &block).await;
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

/// Offers a block until [`Offer`] is done with it.
async fn hand_over(source: &dyn TemplateSource, block: &FoundBlock) -> SubmitReport {
    let started = Instant::now();
    let mut offer = Offer::new();
    loop {
        let said = source.submit(block).await;
        if let Err(error) = &said {
            tracing::warn!(hash = %block.hash, %error, "block not handed over");
        }
        match offer.heard(said, started.elapsed()) {
            Next::Done(report) => return report,
            Next::AgainIn(wait) => tokio::time::sleep(wait).await,
        }
    }
}

/// How long a block is offered, and what its answers mean. While the source is away it is asked again, for
/// [`BLOCK_SUBMIT_MAX`]; an error that is about the call itself is believed the second time, so that it holds up no
/// other block.
struct Offer {
    wait: Duration,
    last: Option<TemplateError>,
}

/// What comes after an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Done(SubmitReport),
    AgainIn(Duration),
}

impl Offer {
    fn new() -> Offer {
        Offer {
            wait: NODE_BACKOFF.0,
            last: None,
        }
    }

    /// `elapsed` is since the first attempt began.
    fn heard(&mut self, said: Result<Submitted, TemplateError>, elapsed: Duration) -> Next {
        let error = match said {
            // An earlier attempt came through; its answer did not.
            Ok(Submitted::NotBest(reason)) if self.last.is_some() && reason == DUPLICATE => {
                return Next::Done(SubmitReport::Answered(Submitted::Accepted));
            }
            Ok(outcome) => return Next::Done(SubmitReport::Answered(outcome)),
            Err(error) => error,
        };
        let final_before = self.last.as_ref().is_some_and(|last| !last.may_pass());
        if (final_before && !error.may_pass()) || elapsed >= BLOCK_SUBMIT_MAX {
            return Next::Done(SubmitReport::Failed(error.to_string()));
        }
        self.last = Some(error);
        let wait = self.wait;
        self.wait = (wait * 2).min(BLOCK_RETRY_MAX);
        Next::AgainIn(wait)
    }
}

/// What became of a found block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitReport {
    /// The source's word.
    Answered(Submitted),
    /// The source could not be reached for [`BLOCK_SUBMIT_MAX`], or cannot do what was asked; the reason.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    type Said = Result<Submitted, TemplateError>;

    fn away() -> Said {
        Err(TemplateError::Unreachable {
            address: "127.0.0.1:8332".to_owned(),
            reason: "connection refused".to_owned(),
        })
    }

    fn error(code: i64) -> Said {
        Err(TemplateError::Node {
            method: "submitblock",
            code,
            message: String::new(),
        })
    }

    fn duplicate() -> Said {
        Ok(Submitted::NotBest(DUPLICATE.to_owned()))
    }

    /// Offers a block to a node that says all this, the last of it for ever; the report, and when it came.
    fn offered(said: Vec<Said>) -> (SubmitReport, Duration) {
        let mut offer = Offer::new();
        let mut elapsed = Duration::ZERO;
        let last = said[said.len() - 1].clone();
        for said in said.into_iter().chain(std::iter::repeat(last)) {
            match offer.heard(said, elapsed) {
                Next::Done(report) => return (report, elapsed),
                Next::AgainIn(wait) => elapsed += wait,
            }
        }
        unreachable!("the last answer is repeated for ever")
    }

    #[test]
    fn a_block_outlasts_the_restart_of_its_node() {
        let mut said: Vec<Said> = (0..100).map(|_| away()).collect();
        said.extend([error(-28), error(-28), Ok(Submitted::Accepted)]);
        let (report, _) = offered(said);
        assert_eq!(report, SubmitReport::Answered(Submitted::Accepted));
    }

    #[test]
    fn a_block_whose_first_answer_was_lost_counts_as_accepted() {
        let accepted = SubmitReport::Answered(Submitted::Accepted);
        assert_eq!(offered(vec![away(), duplicate()]).0, accepted);
        assert_ne!(offered(vec![duplicate()]).0, accepted);
    }

    #[test]
    fn a_node_that_cannot_do_it_or_never_comes_back_holds_up_the_next_block_for_a_bounded_time() {
        let (report, after) = offered(vec![error(-22)]);
        assert!(matches!(report, SubmitReport::Failed(_)));
        assert_eq!(after, NODE_BACKOFF.0);
        let (report, after) = offered(vec![away()]);
        assert!(matches!(report, SubmitReport::Failed(_)));
        assert!((BLOCK_SUBMIT_MAX..BLOCK_SUBMIT_MAX + BLOCK_RETRY_MAX).contains(&after));
    }
}
