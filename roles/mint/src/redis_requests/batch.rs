//! What becomes of a batch off the list.

use std::iter;
use std::time::Duration;

use winze_client::QuoteOutcome;
use winze_messages::families::mint_quote::QuoteErrorCode;
use winze_messages::text::header_hash_to_text;
use winze_redis::{DeadLetter, Taken};

use crate::limits::{DEAD_LETTER_REASON_CHARS_MAX, RETRY_UNAVAILABLE_MS};

/// What is known of a batch so far.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) entries: usize,
    /// Header hashes and ids of the quotes.
    pub(super) quote_ids: Vec<(String, String)>,
    pub(super) dead_letters: Vec<DeadLetter>,
    /// While there is one, nothing of the batch may be settled.
    pub(super) later: Option<Later>,
}

/// Entries that cannot be served at present.
#[derive(Debug)]
pub(super) struct Later {
    pub(super) entries: usize,
    /// Of the first of them.
    pub(super) reason: String,
    /// The shortest of their delays.
    pub(super) retry_after: Duration,
}

impl Batch {
    /// Of so many entries, none of them looked at.
    pub(super) fn of(entries: usize) -> Self {
        Self {
            entries,
            quote_ids: Vec::new(),
            dead_letters: Vec::new(),
            later: None,
        }
    }

    /// What the issuer has decided about `entries`, in their order.
    pub(super) fn decided(
        &mut self,
        entries: Vec<Taken>,
        outcomes: Vec<QuoteOutcome>,
        unix_ms: u64,
    ) {
        let (asked, decided) = (entries.len(), outcomes.len());
        if asked != decided {
            tracing::error!(
                asked,
                decided,
                "the issuer did not decide about every entry of the list"
            );
        }
        for (taken, outcome) in paired(entries, outcomes) {
            self.add(taken, outcome, unix_ms);
        }
    }

    /// A reason may hold names out of the entry, as long as they are there.
    pub(super) fn put_aside(&mut self, taken: Taken, reason: &str, unix_ms: u64) {
        self.dead_letters.push(DeadLetter {
            taken,
            reason: reason.chars().take(DEAD_LETTER_REASON_CHARS_MAX).collect(),
            unix_ms,
        });
    }

    fn add(&mut self, taken: Taken, outcome: QuoteOutcome, unix_ms: u64) {
        match outcome {
            QuoteOutcome::Issued(response) => {
                let hash = header_hash_to_text(&response.header_hash);
                self.quote_ids.push((hash, response.quote_id));
            }
            QuoteOutcome::Refused { code, message } => {
                self.put_aside(taken, &format!("{}: {message}", code.name()), unix_ms);
            }
            QuoteOutcome::Later {
                code,
                message,
                retry_after_ms,
            } => {
                let retry_after = Duration::from_millis(retry_after_ms.into());
                let later = self.later.get_or_insert_with(|| Later {
                    entries: 0,
                    reason: format!("{}: {message}", code.name()),
                    retry_after,
                });
                later.entries += 1;
                later.retry_after = later.retry_after.min(retry_after);
            }
        }
    }
}

/// Each entry with its outcome. One that is missing is a delay: an entry that nothing is known of must not be settled.
fn paired(
    entries: Vec<Taken>,
    outcomes: Vec<QuoteOutcome>,
) -> impl Iterator<Item = (Taken, QuoteOutcome)> {
    let outcomes = outcomes.into_iter().chain(iter::repeat_with(undecided));
    entries.into_iter().zip(outcomes)
}

fn undecided() -> QuoteOutcome {
    QuoteOutcome::Later {
        code: QuoteErrorCode::Unavailable,
        message: "nothing was decided about it".to_owned(),
        retry_after_ms: RETRY_UNAVAILABLE_MS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(share: u8) -> Taken {
        Taken::Entry(vec![share])
    }

    fn refused() -> QuoteOutcome {
        QuoteOutcome::Refused {
            code: QuoteErrorCode::AmountZero,
            message: "nothing to issue".to_owned(),
        }
    }

    #[test]
    fn an_entry_that_the_issuer_has_not_decided_about_keeps_its_batch_from_being_settled() {
        let mut batch = Batch::of(3);
        batch.decided(vec![entry(1), entry(2), entry(3)], vec![refused()], 0);
        let dead: Vec<&Taken> = batch.dead_letters.iter().map(|it| &it.taken).collect();
        assert_eq!(dead, [&entry(1)], "an outcome is that of its own entry");
        let later = batch.later.expect("two wait");
        assert_eq!(later.entries, 2);
        assert!(later.retry_after > Duration::ZERO);
        assert!(
            later.reason.starts_with("unavailable: "),
            "{}",
            later.reason
        );
    }
}
