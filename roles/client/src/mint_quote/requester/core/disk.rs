//! Between a requester and its store: requests come up, answers go down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::KeysetAnnouncement;

use super::QuoteRequesterCore;
use crate::delivery::Now;
use crate::limits::{
    ANSWERED_DELETED_PER_STEP, ASKED_AGAIN_PER_STEP, ASKED_AGAIN_WAITING_MAX, NOTED_AFTER_MS,
};
use crate::mint_quote::requester::held::HeldRequest;
use crate::mint_quote::requester::settlement::{
    Mint, Recorded, RecordedBatch, Settlement, record_all,
};
use crate::mint_quote::requester::{QuoteAnswers, QuoteEvent};
use crate::outbox::{self, AttemptNote, Backlog, StoredRequest};
use crate::store::StoreError;

/// A page of the outbox that is to be read.
pub struct PageWanted {
    mint: String,
    after_sequence: u64,
    rows_max: usize,
}

impl PageWanted {
    /// Reads it.
    pub fn read(&self, connection: &Connection) -> Result<Vec<StoredRequest>, StoreError> {
        outbox::waiting_page(
            connection,
            &self.mint,
            EXT_MINT_QUOTE,
            self.after_sequence,
            self.rows_max,
        )
    }
}

/// What the mint said, to be recorded in one transaction with its effect.
pub struct RecordingWanted {
    mint: Mint,
    settlements: Vec<Settlement>,
}

impl RecordingWanted {
    /// Records it in the transaction that is under way: what fails is rolled back alone.
    pub fn record(
        self,
        connection: &Connection,
        answers: &dyn QuoteAnswers,
        now_unix_ms: u64,
    ) -> Result<RecordedBatch, StoreError> {
        record_all(
            connection,
            &self.mint,
            self.settlements,
            answers,
            now_unix_ms,
        )
    }
}

/// Notes for the operator that are to be written, and old rows that are to go.
pub struct HousekeepingWanted {
    mint: String,
    notes: Vec<AttemptNote>,
    now_unix_ms: u64,
    keep_answered_ms: u64,
    more_to_delete: AtomicBool,
}

impl HousekeepingWanted {
    /// Does it, and says how much waits.
    pub fn keep(&self, connection: &Connection) -> Result<Backlog, StoreError> {
        for note in &self.notes {
            outbox::note_attempt(connection, &self.mint, EXT_MINT_QUOTE, note)?;
        }
        let (mint, family) = (&self.mint, EXT_MINT_QUOTE);
        let (rows_max, waiting_max) = (ASKED_AGAIN_PER_STEP, ASKED_AGAIN_WAITING_MAX);
        outbox::ask_again(connection, mint, family, rows_max, waiting_max)?;
        let more_to_delete = self.delete_more(connection)?;
        self.more_to_delete.store(more_to_delete, Ordering::Relaxed);
        outbox::backlog(connection, &self.mint, EXT_MINT_QUOTE)
    }

    /// Whether [`Self::keep`] left old rows, for [`Self::delete_more`].
    pub fn has_more_to_delete(&self) -> bool {
        self.more_to_delete.load(Ordering::Relaxed)
    }

    /// Another step, after [`Self::keep`], towards having no old rows: in a transaction of its own, so that others have
    /// their turn. True while there may be more.
    pub fn delete_more(&self, connection: &Connection) -> Result<bool, StoreError> {
        // What is still to be asked again does not go before that, but for a mint that has it put
        // off for as long again: it could have everything kept for ever.
        let more = outbox::asks_again(connection, &self.mint, EXT_MINT_QUOTE)?;
        let kept_ms = self.keep_answered_ms.saturating_mul(1 + u64::from(more));
        let before_unix_ms = self.now_unix_ms.saturating_sub(kept_ms);
        let rows_max = ANSWERED_DELETED_PER_STEP;
        Ok(outbox::delete_answered(connection, before_unix_ms, rows_max)? == rows_max)
    }
}

impl QuoteRequesterCore {
    /// The page to read next, where one is wanted and none is being read;
    /// [`Self::loaded`] is to be called with what it gave.
    pub fn page_wanted(&mut self) -> Option<PageWanted> {
        let rows_max = self.core.room().min(self.config.window.max(1));
        if !self.more_to_load || self.loading_rows_max.is_some() || rows_max == 0 {
            return None;
        }
        self.loading_rows_max = Some(rows_max);
        // A nudge that comes meanwhile makes it true again.
        self.more_to_load = false;
        Some(PageWanted {
            mint: self.mint.name.clone(),
            after_sequence: self.cursor,
            rows_max,
        })
    }

    /// A page was read, or could not be.
    pub fn loaded(&mut self, page: Result<Vec<StoredRequest>, StoreError>) {
        let rows_max = self.loading_rows_max.take().unwrap_or(0);
        let settled_meanwhile = std::mem::take(&mut self.settled_meanwhile);
        let page = match page {
            Ok(page) => page,
            // The next housekeeping finds that more waits on disk than here.
            Err(error) => return self.store_failed("reading the outbox", &error),
        };
        let is_last = page.len() < rows_max;
        self.more_to_load |= !is_last;
        if let Some(last) = page.last() {
            self.cursor = last.sequence;
        }
        let mut wanted = page;
        wanted.retain(|stored| {
            !settled_meanwhile.contains(&stored.sequence)
                && !self.core.holds(stored.sequence)
                && (self.recording_sequences)
                    .binary_search(&stored.sequence)
                    .is_err()
        });
        for (sequence, key, read) in HeldRequest::read_all(wanted) {
            match read {
                Ok(request) => {
                    if self.core.hold(sequence, request.payload_bytes()) {
                        self.held.insert(request);
                    }
                }
                Err(error) => self.settlements.push(Settlement::Parked {
                    sequence,
                    key,
                    note: None,
                    error: format!("unreadable: {error}"),
                }),
            }
        }
        if is_last && self.look_below_cursor {
            self.look_below_cursor = false;
            self.cursor = 0;
            self.more_to_load = true;
        }
    }

    /// What is to be recorded, where there is something and nothing is being recorded;
    /// [`Self::recorded`] is to be called with what became of it.
    pub fn recording_wanted(&mut self) -> Option<RecordingWanted> {
        if self.is_recording || self.settlements.is_empty() {
            return None;
        }
        let settlements = std::mem::take(&mut self.settlements);
        self.recording_sequences = settlements
            .iter()
            .filter_map(Settlement::sequence)
            .collect();
        self.recording_sequences.sort_unstable();
        self.recording_keysets = settlements
            .iter()
            .filter_map(|settlement| match settlement {
                Settlement::Keyset { serial, keyset } => Some((*serial, keyset.clone())),
                _ => None,
            })
            .collect();
        self.is_recording = true;
        Some(RecordingWanted {
            mint: self.mint.clone(),
            settlements,
        })
    }

    /// A batch was recorded, or could not be. Gives what the role is to be told, in its order.
    pub fn recorded(
        &mut self,
        batch: Result<RecordedBatch, StoreError>,
        now: Now,
    ) -> Vec<QuoteEvent> {
        self.is_recording = false;
        let sequences = std::mem::take(&mut self.recording_sequences);
        let keysets = std::mem::take(&mut self.recording_keysets);
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                self.store_failed("recording answers", &error);
                self.ask_again(sequences, now);
                for (serial, keyset) in keysets {
                    self.keyset_failed(serial, keyset);
                }
                return Vec::new();
            }
        };
        let mut events = Vec::new();
        for (settlement, recorded) in batch.settlements {
            let sequence = settlement.sequence();
            let is_done = matches!(recorded, Recorded::Done);
            match recorded {
                Recorded::Done => match &settlement {
                    Settlement::Issued(..) => self.counts.issued += 1,
                    Settlement::Refused(..) => self.counts.refused += 1,
                    Settlement::Parked { .. } | Settlement::Keyset { .. } => {}
                },
                Recorded::Again => self.counts.answered_again += 1,
                Recorded::Contradicted => {
                    self.counts.nonsense += 1;
                    tracing::error!(
                        mint = %self.mint.name, sequence,
                        "the mint answers otherwise than what is recorded; that stays, and the request is parked"
                    );
                }
                Recorded::Stale => self.counts.stale += 1,
                Recorded::Failed(error) => {
                    self.store_failed("recording an answer", &error);
                    self.ask_again(sequence, now);
                    if let Settlement::Keyset { serial, keyset } = settlement {
                        self.keyset_failed(serial, keyset);
                    }
                    continue;
                }
            }
            if let Some(sequence) = sequence {
                self.core.committed(sequence);
                self.held.remove(sequence);
                if self.loading_rows_max.is_some() {
                    self.settled_meanwhile.insert(sequence);
                }
            }
            // Not before: by now nobody else holds the request, so it is given away and not copied.
            if is_done {
                events.extend(settlement.into_event());
            }
        }
        self.backlog = batch.backlog;
        events
    }

    fn ask_again(&mut self, sequences: impl IntoIterator<Item = u64>, now: Now) {
        for sequence in sequences {
            self.core.not_committed(sequence, now.ms, &mut *self.rng);
        }
    }

    /// The newest one of each unit is tried again.
    fn keyset_failed(&mut self, serial: u64, keyset: KeysetAnnouncement) {
        let same_unit = |(_, other): &(u64, KeysetAnnouncement)| other.unit == keyset.unit;
        match self.failed_keysets.iter().position(same_unit) {
            Some(place) if self.failed_keysets.get(place).is_some_and(|f| f.0 > serial) => {}
            Some(place) => {
                self.failed_keysets.swap_remove(place);
                self.failed_keysets.push((serial, keyset));
            }
            None => self.failed_keysets.push((serial, keyset)),
        }
    }

    /// What is to be done every [`HOUSEKEEPING_MS`](crate::limits::HOUSEKEEPING_MS) or so, where it
    /// is not being done; [`Self::housekept`] is to be called with what became of it.
    pub fn housekeeping_wanted(&mut self, now: Now) -> Option<HousekeepingWanted> {
        self.settlements.extend(
            std::mem::take(&mut self.failed_keysets)
                .into_iter()
                .map(|(serial, keyset)| Settlement::Keyset { serial, keyset }),
        );
        if let Some(park_after_ms) = self.config.park_after_ms {
            let before = now.unix_ms.saturating_sub(park_after_ms);
            let old: Vec<Arc<HeldRequest>> = self.held.made_before(before).cloned().collect();
            for request in old {
                self.park(
                    &request,
                    format!("no answer within {park_after_ms} ms"),
                    now,
                );
            }
        }
        if self.is_housekeeping {
            return None;
        }
        self.is_housekeeping = true;
        let mut notes: Vec<AttemptNote> = std::mem::take(&mut self.notes).into_values().collect();
        let sent_by_unix_ms = now.unix_ms.saturating_sub(NOTED_AFTER_MS);
        notes.extend(self.held.take_notes(sent_by_unix_ms));
        Some(HousekeepingWanted {
            mint: self.mint.name.clone(),
            notes,
            now_unix_ms: now.unix_ms,
            keep_answered_ms: self.config.keep_answered_ms,
            more_to_delete: AtomicBool::new(false),
        })
    }

    /// The housekeeping was done, or could not be.
    pub fn housekept(&mut self, backlog: Result<Backlog, StoreError>) {
        self.is_housekeeping = false;
        match backlog {
            Ok(backlog) => {
                // Something was released by the operator, or a page could not be read. A busy role
                // adds requests all the time, so this must not wait for a moment without any.
                if backlog.waiting > self.core.held() as u64 {
                    self.look_below_cursor = true;
                    self.more_to_load = true;
                }
                self.backlog = backlog;
            }
            Err(error) => self.store_failed("housekeeping", &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use winze_messages::families::mint_quote::{
        MintQuoteError, MintQuoteRequest, MintQuoteResponse,
    };

    use super::*;
    use crate::mint_quote::{FarStore, StoreNumbers};
    use crate::outbox::{NewRequest, OUTBOX_SCHEMA, RecordedAnswer};
    use crate::store::Store;

    const MINT: &str = "mint/main";

    struct Nothing;

    impl QuoteAnswers for Nothing {
        fn on_response(
            &self,
            _: &Connection,
            _: &MintQuoteRequest,
            _: &MintQuoteResponse,
        ) -> Result<(), StoreError> {
            Ok(())
        }

        fn on_refusal(
            &self,
            _: &Connection,
            _: &MintQuoteRequest,
            _: &MintQuoteError,
        ) -> Result<(), StoreError> {
            Ok(())
        }

        fn on_keyset(&self, _: &Connection, _: &KeysetAnnouncement) -> Result<(), StoreError> {
            Ok(())
        }

        fn committed(&self, _: &[QuoteEvent]) {}
    }

    /// A core whose outbox has `count` messages that are no requests, so they end by being parked, which is under way.
    async fn parking(store: &Store, count: u8) -> (QuoteRequesterCore, RecordingWanted) {
        let enqueued = store.write(move |c| {
            for key in 1..=count {
                let request = NewRequest {
                    peer: MINT,
                    extension: EXT_MINT_QUOTE,
                    key: &[key],
                    msg_type: 0x81,
                    body: b"body",
                };
                outbox::enqueue(c, &request, 1)?;
            }
            Ok(())
        });
        enqueued.await.unwrap();
        let secret = winze_transport::SecretKey::generate(&mut rand::rngs::OsRng);
        let config = crate::QuoteRequesterConfig::new(MINT.parse().unwrap(), secret.public_key());
        let identity = crate::Identity::new("pool", "main", secret).unwrap();
        let mut core = QuoteRequesterCore::new(&identity, config, Box::new(rand::rngs::OsRng));
        let page = core.page_wanted().unwrap();
        core.loaded(store.read(move |c| page.read(c)).await);
        let recording = core.recording_wanted().unwrap();
        (core, recording)
    }

    /// The operator may have released something, so it looks from the start again.
    async fn page_from_the_start(
        core: &mut QuoteRequesterCore,
        store: &Store,
        waiting: usize,
    ) -> Result<Vec<StoredRequest>, StoreError> {
        core.housekept(Ok(Backlog {
            waiting: waiting as u64,
            ..Backlog::default()
        }));
        let page = core.page_wanted().unwrap();
        let behind = store.read(move |c| page.read(c)).await;
        assert_eq!(
            behind.as_ref().map_or(0, Vec::len),
            0,
            "it has come to the end"
        );
        core.loaded(behind);
        let page = core.page_wanted().unwrap();
        let page = store.read(move |c| page.read(c)).await;
        assert_eq!(page.as_ref().map_or(0, Vec::len), waiting);
        page
    }

    #[tokio::test]
    async fn a_page_that_was_read_before_a_commit_brings_back_nothing_that_the_commit_ends() {
        let now = Now { ms: 1, unix_ms: 1 };
        for is_loaded_before_too in [false, true] {
            let folder = TempDir::new().unwrap();
            let path = folder.path().join("pool.sqlite");
            let store = Store::open(&path, &[OUTBOX_SCHEMA]).unwrap();
            let (mut core, recording) = parking(&store, 3).await;
            let mut read_before = page_from_the_start(&mut core, &store, 3).await;
            if is_loaded_before_too {
                core.loaded(read_before);
                read_before = page_from_the_start(&mut core, &store, 3).await;
            }
            let recorded = store.write(move |c| recording.record(c, &Nothing, 1));
            core.recorded(recorded.await, now);
            core.loaded(read_before);
            assert!(core.recording_wanted().is_none(), "all are parked already");
        }
    }

    #[tokio::test]
    async fn a_mint_that_forgets_and_does_not_answer_has_answers_kept_twice_as_long_and_no_longer()
    {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("pool.sqlite");
        let store = Store::open(&path, &[OUTBOX_SCHEMA]).unwrap();
        let left = store.write(|c| {
            for n in 0..=ASKED_AGAIN_WAITING_MAX {
                let request = NewRequest {
                    peer: MINT,
                    extension: EXT_MINT_QUOTE,
                    key: &n.to_le_bytes(),
                    msg_type: 0x80,
                    body: b"body",
                };
                outbox::enqueue(c, &request, 1)?;
            }
            let (answered, answer) = (
                0_u64.to_le_bytes(),
                RecordedAnswer {
                    sequence: 1,
                    identity: [1; 32],
                },
            );
            outbox::mark_answered(c, MINT, EXT_MINT_QUOTE, &answered, &answer, 10)?;
            let told = FarStore {
                far: StoreNumbers::default(),
                own_before: StoreNumbers {
                    requests: 1,
                    answers: 1,
                },
            };
            outbox::compare(c, MINT, EXT_MINT_QUOTE, &told, 20)?;
            let mut left = Vec::new();
            for now_unix_ms in [111, 209, 211] {
                let house = HousekeepingWanted {
                    mint: MINT.to_owned(),
                    notes: Vec::new(),
                    now_unix_ms,
                    keep_answered_ms: 100,
                    more_to_delete: AtomicBool::new(false),
                };
                house.keep(c)?;
                left.push(outbox::state_of(c, MINT, EXT_MINT_QUOTE, &answered)?.is_some());
            }
            Ok(left)
        });
        assert_eq!(left.await.unwrap(), [true, true, false]);
    }
}
