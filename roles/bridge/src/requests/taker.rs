//! Takes entries off the list, writes them down as requests, and only then lets Redis forget them.
//!
//! | killed | when the bridge comes back |
//! |---|---|
//! | before the commit | the batch lies in Redis's second list, is handed over again, and is written down |
//! | between the commit and the settling | it is handed over again, and is there already |

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use winze_client::outbox::{self, Backlog};
use winze_client::{QuoteRequester, Store, StoreError};
use winze_legacy::ListRules;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::text::header_hash_to_text;
use winze_redis::limits::{LIST_LENGTHS_INTERVAL, LIST_PATIENCE, TAKEN_ENTRIES_MAX};
use winze_redis::{DeadLetter, Handover, Intake, Link, LinkPart, RedisFault, Taken};
use winze_runtime::clock::now_unix_ms;

use super::answers::Keysets;
use super::pause::Pause;
use super::read::read;
use super::record::record;
use super::status::Counts;
use crate::limits::{PARKED_KEPT_MAX, WAITING_LOOK_INTERVAL};
use crate::store;

/// The one who takes.
pub(super) struct Taker {
    pub(super) intake: Intake,
    /// Its second list, where nothing but what lies there is to be taken.
    pub(super) taken_alone: Option<Handover>,
    pub(super) keys: Handover,
    pub(super) quote_kept_s: u64,
    pub(super) rules: ListRules,
    pub(super) peer: Arc<str>,
    pub(super) waiting_max: u64,
    pub(super) store: Store,
    pub(super) requester: QuoteRequester,
    pub(super) keysets: watch::Receiver<Keysets>,
    pub(super) counts: Arc<Counts>,
    pub(super) link: Link,
    pub(super) lengths_at: Option<Instant>,
}

/// Why a batch is not done with. It lies in Redis's second list.
enum Failed {
    Redis(RedisFault),
    Store(StoreError),
}

impl Taker {
    /// Takes until `stopping`; a batch that was taken is finished first, or has failed.
    pub(super) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut pause = Pause::new();
        let mut stop = std::pin::pin!(async move {
            // A sender that is gone means the same.
            let _ = stopping.wait_for(|stop| *stop).await;
        });
        loop {
            let taken = tokio::select! {
                biased;
                () = &mut stop => return,
                taken = self.take() => taken,
            };
            let outcome = match taken {
                Ok(taken) if taken.is_empty() => Ok(()),
                Ok(taken) => self.deal_with(taken).await,
                Err(failed) => Err(failed),
            };
            match &outcome {
                Ok(()) | Err(Failed::Store(_)) => self.link.note(LinkPart::List, Ok(())),
                Err(Failed::Redis(fault)) => self.link.note(LinkPart::List, Err(fault)),
            }
            match outcome {
                Ok(()) => pause.reset(),
                Err(failed) => {
                    if let Failed::Store(error) = failed {
                        self.counts.store_failed();
                        tracing::error!(%error, "requests off the list cannot be written down; trying again");
                    }
                    tokio::select! {
                        () = &mut stop => return,
                        () = pause.wait() => {}
                    }
                }
            }
        }
    }

    /// The next entries, once there is room for them and a keyset is known. Nothing is lost where this is given up.
    async fn take(&mut self) -> Result<Vec<Taken>, Failed> {
        self.look_at_lengths().await?;
        let mut room = self.room().await?;
        if let Some(taken) = &mut self.taken_alone {
            // What lies there is handed over first: so many are these, and nothing is moved.
            let there = taken.length().await.map_err(Failed::Redis)?;
            room = room.min(usize::try_from(there).unwrap_or(usize::MAX));
        }
        if room == 0 || self.keysets.borrow().is_empty() {
            sleep(WAITING_LOOK_INTERVAL).await;
            return Ok(Vec::new());
        }
        let taken = self.intake.take(room, LIST_PATIENCE).await;
        taken.map_err(Failed::Redis)
    }

    /// How many more may be taken.
    async fn room(&self) -> Result<usize, Failed> {
        let peer = Arc::clone(&self.peer);
        let backlog = self
            .store
            .read(move |connection| outbox::backlog(connection, &peer, EXT_MINT_QUOTE))
            .await
            .map_err(Failed::Store)?;
        Ok(room(self.waiting_max, &backlog, self.counts.untold()))
    }

    async fn look_at_lengths(&mut self) -> Result<(), Failed> {
        if self
            .lengths_at
            .is_some_and(|at| at.elapsed() < LIST_LENGTHS_INTERVAL)
        {
            return Ok(());
        }
        let (list, dead_letters) = self.intake.lengths().await.map_err(Failed::Redis)?;
        self.counts.lengths(list, dead_letters);
        self.lengths_at = Some(Instant::now());
        Ok(())
    }

    async fn deal_with(&mut self, taken: Vec<Taken>) -> Result<(), Failed> {
        self.counts.taken(taken.len());
        let keysets = Arc::clone(&self.keysets.borrow());
        let now_unix_ms = now_unix_ms();
        let mut requests = Vec::with_capacity(taken.len());
        let mut reasons: Vec<(usize, String)> = Vec::new();
        for (entry, one) in taken.iter().enumerate() {
            match read(&self.rules, entry, one, &keysets) {
                Ok(request) => requests.push(request),
                Err(reason) => reasons.push((entry, reason)),
            }
        }
        if !requests.is_empty() {
            let peer = Arc::clone(&self.peer);
            let recorded = self
                .store
                .write(move |tx| record(tx, &peer, &requests, &keysets, now_unix_ms))
                .await
                .map_err(Failed::Store)?;
            self.counts.recorded(recorded.new, recorded.repeated.len());
            if !recorded.repeated.is_empty() {
                self.tell_again(&recorded.repeated).await?;
            }
            reasons.extend(recorded.put_aside);
            self.requester.nudge();
        }
        let dead_letters: Vec<DeadLetter> = reasons
            .into_iter()
            .filter_map(|(entry, reason)| {
                let taken = taken.get(entry)?.clone();
                Some(DeadLetter {
                    taken,
                    reason,
                    unix_ms: now_unix_ms,
                })
            })
            .collect();
        let settled = self.intake.settle(&dead_letters).await;
        if settled.map_err(Failed::Redis)? {
            self.counts.dead_letters(dead_letters.len());
        }
        Ok(())
    }
}

impl Taker {
    /// Whoever pushes a share again has not found its quote's key: where Redis was told of it, it is told again. (An entry that
    /// is handed over again after a crash is told again as well, which changes nothing.) No row says so: a batch that cannot
    /// be settled would add its own again and again, and push out those of others.
    async fn tell_again(&mut self, repeated: &[[u8; 32]]) -> Result<(), Failed> {
        let hashes: HashSet<String> = repeated.iter().map(header_hash_to_text).collect();
        let found = self
            .store
            .read(move |connection| store::told_before(connection, &hashes))
            .await
            .map_err(Failed::Store)?;
        if found.is_empty() {
            return Ok(());
        }
        let found: Vec<(String, String)> = found.into_iter().collect();
        let set = self.keys.set_quote_ids(&found, self.quote_kept_s);
        set.await.map_err(Failed::Redis)?;
        self.counts.keys_written_again(found.len());
        Ok(())
    }
}

/// What waits, in the outbox and for Redis, and what is parked beyond what is kept, are `waiting_max` together at most.
fn room(waiting_max: u64, backlog: &Backlog, untold: u64) -> usize {
    let parked = backlog.parked.saturating_sub(PARKED_KEPT_MAX);
    let kept = backlog
        .waiting
        .saturating_add(untold)
        .saturating_add(parked);
    let room = usize::try_from(waiting_max.saturating_sub(kept)).unwrap_or(usize::MAX);
    room.min(TAKEN_ENTRIES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_lets_go_of_stops_the_taking_in_the_end() {
        let backlog = |waiting, parked| Backlog {
            waiting,
            parked,
            ..Backlog::default()
        };
        assert_eq!(room(100, &backlog(0, PARKED_KEPT_MAX), 0), 100);
        assert_eq!(room(100, &backlog(30, PARKED_KEPT_MAX + 50), 15), 5);
        assert_eq!(room(100, &backlog(0, PARKED_KEPT_MAX + 100), 0), 0);
    }
}
