//! A source's templates as a stream, and its way back for found blocks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use winze_runtime::repeats::Repeats;

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

/// A source that does not answer, so that nobody knows whether the tip is still the tip.
#[derive(Clone, Debug)]
pub struct Away {
    /// When the first call failed.
    pub since: Instant,
    /// What the last one said.
    pub error: String,
}

/// Where a feed's findings go.
pub struct FeedSinks {
    /// The newest template.
    pub work: watch::Sender<Option<Work>>,
    /// Whether the source answers: `None` while it does.
    pub away: watch::Sender<Option<Away>>,
}

/// Fetches templates until its future is dropped: at the start, when the tip moves, when `nudge` is notified, and
/// each `refresh_interval` (for the fees of new transactions, and so that targets take effect).
///
/// Whatever call fails, the source counts as away from then until it gives a template. It is tried again with a growing
/// delay; the last template stays in force meanwhile, and how long it is worth anything is for others to say.
pub async fn fetch_templates(
    source: Arc<dyn TemplateSource>,
    refresh_interval: Duration,
    nudge: Arc<Notify>,
    sinks: FeedSinks,
) {
    let (backoff_least, backoff_most) = NODE_BACKOFF;
    let mut backoff = backoff_least;
    let mut template_id = 0;
    let mut repeats = Repeats::new();
    loop {
        let error = match source.template().await {
            Ok(template) => {
                backoff = backoff_least;
                if let Some(away) = sinks.away.send_replace(None) {
                    repeats.works();
                    let after_s = away.since.elapsed().as_secs();
                    tracing::info!(after_s, "block templates again");
                }
                template_id += 1;
                let prev_hash = template.prev_hash;
                tracing::debug!(template_id, height = template.height, %prev_hash, "new template");
                sinks.work.send_replace(Some(Work {
                    template_id,
                    template: Arc::new(template),
                    fetched: Instant::now(),
                }));
                tokio::select! {
                    changed = source.tip_changed(prev_hash) => match changed {
                        Ok(()) => continue,
                        Err(error) => error,
                    },
                    () = nudge.notified() => continue,
                    () = tokio::time::sleep(refresh_interval) => continue,
                }
            }
            Err(error) => error,
        };
        let now = Instant::now();
        if repeats.is_due(&error, now) {
            tracing::warn!(%error, "the source of block templates does not answer; it is asked again");
        }
        sinks.away.send_modify(|away| {
            let since = away.as_ref().map_or(now, |away| away.since);
            *away = Some(Away {
                since,
                error: error.to_string(),
            });
        });
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(backoff_most);
    }
}

/// A found block on its way to the source.
#[derive(Clone, Debug)]
pub struct Offered {
    /// The block.
    pub block: Arc<FoundBlock>,
    since: Instant,
    /// How old it was then, if it comes from an earlier life of the pool.
    age_before: Option<Duration>,
}

impl Offered {
    /// A block that was found now.
    pub fn new(block: Arc<FoundBlock>) -> Offered {
        Offered {
            block,
            since: Instant::now(),
            age_before: None,
        }
    }

    /// A block that is `age` old and may have been offered before.
    pub fn again(block: Arc<FoundBlock>, age: Duration) -> Offered {
        Offered {
            age_before: Some(age),
            ..Offered::new(block)
        }
    }

    fn age(&self) -> Duration {
        let before = self.age_before.unwrap_or_default();
        before.saturating_add(self.since.elapsed())
    }
}

/// Hands found blocks to the source, one at a time: those that are `kept`, then what comes, until all senders are
/// gone. `report` hears what became of each.
pub async fn submit_blocks(
    source: Arc<dyn TemplateSource>,
    kept: Vec<Offered>,
    found: mpsc::Receiver<Offered>,
    nudge: Arc<Notify>,
    report: impl Fn(&FoundBlock, &SubmitReport),
) {
    let mut waiting = Waiting {
        kept: kept.into_iter(),
        found,
        offered: None,
    };
    while let Some(offered) = waiting.next().await {
        let block = &offered.block;
        let outcome = hand_over(source.as_ref(), &offered).await;
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
        report(block, &outcome);
    }
}

/// What is to be handed over. Dropped before all of it was, it names the rest in the log.
struct Waiting {
    kept: std::vec::IntoIter<Offered>,
    found: mpsc::Receiver<Offered>,
    /// What was given out last.
    offered: Option<Offered>,
}

impl Waiting {
    async fn next(&mut self) -> Option<Offered> {
        self.offered = None;
        self.offered = match self.kept.next() {
            Some(offered) => Some(offered),
            None => self.found.recv().await,
        };
        self.offered.clone()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let offered = self.offered.take().into_iter().chain(self.kept.by_ref());
        let found = std::iter::from_fn(|| self.found.try_recv().ok());
        for Offered { block, .. } in offered.chain(found) {
            tracing::warn!(hash = %block.hash, height = block.height, "a found block was not handed over");
        }
    }
}

/// Offers a block until [`Offer`] is done with it.
async fn hand_over(source: &dyn TemplateSource, offered: &Offered) -> SubmitReport {
    let block = offered.block.as_ref();
    let mut offer = Offer::new(offered.age_before.is_some());
    let mut repeats = Repeats::new();
    loop {
        let said = source.submit(block).await;
        if let Err(error) = &said
            && repeats.is_due(error, Instant::now())
        {
            tracing::warn!(hash = %block.hash, %error, "block not handed over; it is offered again");
        }
        match offer.heard(said, offered.age()) {
            Next::Done(report) => return report,
            Next::AgainIn(wait) => tokio::time::sleep(wait).await,
        }
    }
}

/// How long a block is offered, and what its answers mean. While the source is away it is asked again, until the block
/// is [`BLOCK_SUBMIT_MAX`] old; an error that is about the call itself is believed the second time, so that it holds up no
/// other block.
struct Offer {
    wait: Duration,
    /// In an earlier life of the pool; nobody knows what was said.
    before: bool,
    last: Option<TemplateError>,
}

/// What comes after an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Done(SubmitReport),
    AgainIn(Duration),
}

impl Offer {
    fn new(before: bool) -> Offer {
        Offer {
            wait: NODE_BACKOFF.0,
            before,
            last: None,
        }
    }

    /// `age` is since the block was found.
    fn heard(&mut self, said: Result<Submitted, TemplateError>, age: Duration) -> Next {
        let error = match said {
            // An earlier attempt came through; its answer did not.
            Ok(Submitted::NotBest(reason))
                if (self.before || self.last.is_some()) && reason == DUPLICATE =>
            {
                return Next::Done(SubmitReport::Answered(Submitted::Accepted));
            }
            Ok(outcome) => return Next::Done(SubmitReport::Answered(outcome)),
            Err(error) => error,
        };
        let final_before = self.last.as_ref().is_some_and(|last| !last.may_pass());
        if (final_before && !error.may_pass()) || age >= BLOCK_SUBMIT_MAX {
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
    /// The source could not be reached before the block was [`BLOCK_SUBMIT_MAX`] old, or cannot do what was asked; the reason.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::BlockHash;
    use bitcoin::hashes::Hash as _;

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
        let mut offer = Offer::new(false);
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

    /// A node that has every block but the one of height 9, for which it is away.
    struct HasAllButNine;

    #[async_trait::async_trait]
    impl TemplateSource for HasAllButNine {
        fn describe(&self) -> String {
            String::new()
        }

        fn outlives_the_pool(&self) -> bool {
            true
        }

        async fn template(&self) -> Result<Template, TemplateError> {
            Err(TemplateError::Unusable("there is none"))
        }

        async fn tip_changed(&self, _: BlockHash) -> Result<(), TemplateError> {
            std::future::pending().await
        }

        async fn submit(&self, block: &FoundBlock) -> Said {
            if block.height == 9 {
                return away();
            }
            duplicate()
        }
    }

    /// A node that gives one template and is gone by the time that it is asked for its tip; then it is there again.
    struct GoesOnce(std::sync::atomic::AtomicBool);

    #[async_trait::async_trait]
    impl TemplateSource for GoesOnce {
        fn describe(&self) -> String {
            String::new()
        }

        fn outlives_the_pool(&self) -> bool {
            true
        }

        async fn template(&self) -> Result<Template, TemplateError> {
            Ok(crate::mining::tests::rig::template(1, 0x207f_ffff, 1))
        }

        async fn tip_changed(&self, _: BlockHash) -> Result<(), TemplateError> {
            if self.0.swap(true, std::sync::atomic::Ordering::Relaxed) {
                return std::future::pending().await;
            }
            away().map(drop)
        }

        async fn submit(&self, _: &FoundBlock) -> Said {
            away()
        }
    }

    #[tokio::test]
    async fn a_node_that_does_not_tell_its_tip_is_away_long_before_the_next_refresh() {
        let (work, mut templates) = watch::channel(None);
        let (away, mut went) = watch::channel(None);
        let refresh = Duration::from_secs(600);
        let source = Arc::new(GoesOnce(false.into()));
        let feed = fetch_templates(source, refresh, Arc::default(), FeedSinks { work, away });
        let watched = async {
            went.wait_for(Option::is_some).await.unwrap();
            let error = went.borrow().as_ref().unwrap().error.clone();
            assert!(error.contains("connection refused"), "{error}");
            went.wait_for(Option::is_none).await.unwrap();
            let again = |work: &Option<Work>| work.as_ref().is_some_and(|it| it.template_id == 2);
            templates.wait_for(again).await.unwrap();
        };
        tokio::select! {
            () = feed => unreachable!("it goes on for ever"),
            watched = tokio::time::timeout(refresh / 2, watched) => watched.unwrap(),
        }
    }

    #[tokio::test]
    async fn kept_blocks_come_first_and_are_no_younger_for_the_restart() {
        let block = |height| {
            Arc::new(FoundBlock {
                hash: BlockHash::from_byte_array([9; 32]),
                height,
                bytes: Vec::new(),
            })
        };
        let kept = vec![
            Offered::again(block(7), Duration::from_secs(3_000)),
            Offered::again(block(9), BLOCK_SUBMIT_MAX),
        ];
        let (sender, found) = mpsc::channel(1);
        sender.try_send(Offered::new(block(8))).unwrap();
        drop(sender);
        let reports = std::sync::Mutex::new(Vec::new());
        let report = |block: &FoundBlock, report: &SubmitReport| {
            reports.lock().unwrap().push((block.height, report.clone()));
        };
        submit_blocks(Arc::new(HasAllButNine), kept, found, Arc::default(), report).await;
        let reports = reports.into_inner().unwrap();
        let heights: Vec<u64> = reports.iter().map(|(height, _)| *height).collect();
        assert_eq!(heights, [7, 9, 8]);
        // The node has it from before the restart.
        assert_eq!(reports[0].1, SubmitReport::Answered(Submitted::Accepted));
        assert!(matches!(reports[1].1, SubmitReport::Failed(_)));
        assert_eq!(reports[2].1, SubmitReport::Answered(duplicate().unwrap()));
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
