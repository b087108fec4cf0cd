//! What is logged of the core's events, and how much of it: whoever can make a line can make millions.
//!
//! Each source has [`LOG_LINES_MAX`] lines in [`LOG_INTERVAL_MS`]: a stranger cannot fill the disk, and one peer that comes
//! and goes does not hide what the others do. What was left out is counted, and said in one line when the interval is
//! over. Lines at the level `debug` and below are not bounded: who asks for them wants them all.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use winze_messages::names::PeerName;

use crate::core::{EndCause, Event};
use crate::limits::{LOG_INTERVAL_MS, LOG_LINES_MAX};

/// Whose doing a line is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Everybody who has not proven who they are, together.
    Strangers,
    /// A peer of the list.
    Peer(PeerName),
    /// The listener, which cannot accept.
    Listener,
}

/// See the module. There are as many budgets as listed peers, and two.
#[derive(Debug, Default)]
pub(super) struct Log {
    budgets: Mutex<Budgets>,
}

#[derive(Debug, Default)]
struct Budgets {
    by_source: BTreeMap<Source, Budget>,
    suppressed_total: u64,
}

/// The lines of one source in the interval that began with its first.
#[derive(Debug)]
struct Budget {
    since_ms: u64,
    lines: u32,
    suppressed: u64,
}

impl Log {
    /// Logs what happened. Writing may wait for whoever reads the log: not to be called under a lock.
    pub(super) fn events(&self, events: &[Event], now_ms: u64) {
        for event in events {
            self.event(event, now_ms);
        }
    }

    /// Whether a line of this source may be written now. One that may not is counted.
    pub(super) fn may_write(&self, source: Source, now_ms: u64) -> bool {
        let (allowed, over) = self.lock().take(source.clone(), now_ms);
        if let Some(suppressed) = over {
            say_suppressed(&source, suppressed);
        }
        allowed
    }

    /// Says what was left out in the intervals that are over.
    pub(super) fn tick(&self, now_ms: u64) {
        let over = self.lock().over(now_ms);
        for (source, suppressed) in over {
            say_suppressed(&source, suppressed);
        }
    }

    /// Says what was left out in the present intervals: the process ends.
    pub(super) fn finish(&self) {
        self.tick(u64::MAX);
    }

    /// Lines that were left out since the start.
    pub(super) fn suppressed_total(&self) -> u64 {
        self.lock().suppressed_total
    }

    fn event(&self, event: &Event, now_ms: u64) {
        match event {
            Event::Authenticated {
                conn,
                peer,
                instance,
            } => {
                if self.may_write(Source::Peer(peer.clone()), now_ms) {
                    tracing::info!(conn = conn.0, %peer, instance, "authenticated");
                }
            }
            Event::Ended {
                conn,
                peer: Some(peer),
                cause,
                detail,
            } => {
                if self.may_write(Source::Peer(peer.clone()), now_ms) {
                    let cause = cause.as_str();
                    tracing::info!(conn = conn.0, %peer, cause, detail, "connection ended");
                }
            }
            // A listed client is often not let in because it was listed wrongly: its operator looks here.
            Event::Ended {
                conn,
                peer: None,
                cause: EndCause::AuthenticationRefused(refusal),
                detail,
            } => {
                if self.may_write(Source::Strangers, now_ms) {
                    tracing::warn!(conn = conn.0, %refusal, detail, "client not let in");
                }
            }
            Event::Ended {
                conn,
                peer: None,
                cause,
                detail,
            } => {
                let cause = cause.as_str();
                tracing::debug!(conn = conn.0, cause, detail, "connection ended");
            }
            Event::ChannelOpened {
                opener,
                acceptor,
                extension,
            } => tracing::debug!(%opener, %acceptor, extension, "channel opened"),
            Event::GroupOpened {
                opener,
                group,
                extension,
                members,
            } => tracing::debug!(%opener, %group, extension, members, "channel to a group opened"),
            Event::OpenRefused {
                opener,
                reason,
                detail,
            } => tracing::debug!(%opener, %reason, detail, "channel refused"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Budgets> {
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budgets {
    /// Whether a line fits, and what was left out in the interval before, if one has ended with this line.
    fn take(&mut self, source: Source, now_ms: u64) -> (bool, Option<u64>) {
        let budget = self.by_source.entry(source).or_insert(Budget {
            since_ms: now_ms,
            lines: 0,
            suppressed: 0,
        });
        let mut over = None;
        if budget.is_over(now_ms) {
            over = (budget.suppressed > 0).then_some(budget.suppressed);
            *budget = Budget {
                since_ms: now_ms,
                lines: 0,
                suppressed: 0,
            };
        }
        if budget.lines < LOG_LINES_MAX {
            budget.lines += 1;
            return (true, over);
        }
        budget.suppressed += 1;
        self.suppressed_total += 1;
        (false, over)
    }

    /// Takes out the intervals that are over, and gives those that left something out.
    fn over(&mut self, now_ms: u64) -> Vec<(Source, u64)> {
        let mut over = Vec::new();
        self.by_source.retain(|source, budget| {
            let is_over = budget.is_over(now_ms);
            if is_over && budget.suppressed > 0 {
                over.push((source.clone(), budget.suppressed));
            }
            !is_over
        });
        over
    }
}

impl Budget {
    fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) >= LOG_INTERVAL_MS
    }
}

fn say_suppressed(source: &Source, suppressed: u64) {
    tracing::warn!(%source, suppressed, "log lines were left out; the metrics count what they were about");
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Strangers => f.write_str("clients that were not let in"),
            Source::Peer(peer) => peer.fmt(f),
            Source::Listener => f.write_str("listener"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_strangers_is_summed_up_and_hides_no_peer() {
        let mut budgets = Budgets::default();
        let written = (0..1_000)
            .filter(|now_ms| budgets.take(Source::Strangers, *now_ms).0)
            .count();
        assert_eq!(written, LOG_LINES_MAX as usize);
        let peer = Source::Peer("mint/main".parse().unwrap());
        assert_eq!(budgets.take(peer, 1_000), (true, None));

        let suppressed = 1_000 - u64::from(LOG_LINES_MAX);
        assert!(budgets.over(LOG_INTERVAL_MS - 1).is_empty());
        assert_eq!(
            budgets.over(LOG_INTERVAL_MS),
            [(Source::Strangers, suppressed)]
        );
        assert_eq!(budgets.suppressed_total, suppressed);
        assert_eq!(
            budgets.take(Source::Strangers, LOG_INTERVAL_MS),
            (true, None)
        );
    }

    #[test]
    fn a_line_of_the_next_interval_brings_the_sum_of_the_last() {
        let mut budgets = Budgets::default();
        for _ in 0..=LOG_LINES_MAX {
            budgets.take(Source::Listener, 0);
        }
        let next = budgets.take(Source::Listener, LOG_INTERVAL_MS);
        assert_eq!(next, (true, Some(1)));
        assert!(budgets.over(2 * LOG_INTERVAL_MS).is_empty());
    }
}
