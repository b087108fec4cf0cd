//! Between the task and its store: requests come up, answers go down.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rand::rngs::OsRng;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::KeysetAnnouncement;
use winze_runtime::clock::now_unix_ms;

use super::Task;
use crate::limits::ANSWERED_DELETED_PER_STEP;
use crate::mint_quote::requester::QuoteEvent;
use crate::mint_quote::requester::held::HeldRequest;
use crate::mint_quote::requester::settlement::{
    Mint, Recorded, RecordedBatch, Settlement, record_all,
};
use crate::outbox::{self, Backlog, StoredRequest};
use crate::store::StoreError;

impl Task {
    pub(super) fn start_loading(&mut self) {
        let rows_max = self.core.room().min(self.config.window.max(1));
        if !self.more_to_load || self.loading.is_some() || rows_max == 0 {
            return;
        }
        let (store, mint, after) = (self.store.clone(), self.mint.clone(), self.cursor);
        self.loading_rows_max = rows_max;
        self.loading = Some(Box::pin(async move {
            store
                .read(move |c| outbox::waiting_page(c, &mint, EXT_MINT_QUOTE, after, rows_max))
                .await
        }));
        // A nudge that comes meanwhile makes it true again.
        self.more_to_load = false;
    }

    pub(super) fn loaded(&mut self, page: Result<Vec<StoredRequest>, StoreError>) {
        let page = match page {
            Ok(page) => page,
            // The next housekeeping finds that more waits on disk than here.
            Err(error) => return self.store_failed("reading the outbox", &error),
        };
        let is_last = page.len() < self.loading_rows_max;
        self.more_to_load |= !is_last;
        for stored in page {
            self.cursor = stored.sequence;
            if self.core.holds(stored.sequence)
                || self.recording_sequences.contains(&stored.sequence)
            {
                continue;
            }
            let (sequence, key) = (stored.sequence, stored.key.clone());
            match HeldRequest::read(stored) {
                Ok(request) => {
                    if self.core.hold(sequence, request.payload_bytes()) {
                        self.held.insert(request);
                    }
                }
                Err(error) => self.settlements.push(Settlement::Parked {
                    sequence,
                    key,
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

    pub(super) fn start_recording(&mut self) {
        if self.recording.is_some() || self.settlements.is_empty() {
            return;
        }
        let settlements = std::mem::take(&mut self.settlements);
        self.recording_sequences = settlements
            .iter()
            .filter_map(Settlement::sequence)
            .collect();
        self.recording_keysets = settlements
            .iter()
            .filter_map(|settlement| match settlement {
                Settlement::Keyset { serial, keyset } => Some((*serial, keyset.clone())),
                _ => None,
            })
            .collect();
        let store = self.store.clone();
        let mint = Mint {
            name: self.mint.clone(),
            announcer: self.announcer.clone(),
        };
        let answers = Arc::clone(&self.answers);
        self.recording = Some(Box::pin(async move {
            store
                .write(move |c| record_all(c, &mint, settlements, &*answers, now_unix_ms()))
                .await
        }));
    }

    pub(super) fn recorded(&mut self, batch: Result<RecordedBatch, StoreError>) {
        let sequences = std::mem::take(&mut self.recording_sequences);
        let keysets = std::mem::take(&mut self.recording_keysets);
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                self.store_failed("recording answers", &error);
                self.ask_again(sequences);
                return keysets
                    .into_iter()
                    .for_each(|(serial, keyset)| self.keyset_failed(serial, keyset));
            }
        };
        let mut events = Vec::new();
        for (settlement, recorded) in batch.settlements {
            let sequence = settlement.sequence();
            match recorded {
                Recorded::Done => {
                    self.count(|counts| match &settlement {
                        Settlement::Issued(..) => counts.issued += 1,
                        Settlement::Refused(..) => counts.refused += 1,
                        Settlement::Parked { .. } | Settlement::Keyset { .. } => {}
                    });
                    events.extend(settlement.into_event());
                }
                Recorded::Stale => self.count(|counts| counts.stale += 1),
                Recorded::Failed(error) => {
                    self.store_failed("recording an answer", &error);
                    self.ask_again(sequence);
                    if let Settlement::Keyset { serial, keyset } = settlement {
                        self.keyset_failed(serial, keyset);
                    }
                    continue;
                }
            }
            if let Some(sequence) = sequence {
                self.core.committed(sequence);
                self.held.remove(sequence);
            }
        }
        self.show_backlog(batch.backlog);
        if !events.is_empty() {
            self.tell_the_role(&events);
        }
    }

    /// A panic of the role's must not end the task: its requests would wait for ever.
    fn tell_the_role(&self, events: &[QuoteEvent]) {
        let told = catch_unwind(AssertUnwindSafe(|| self.answers.committed(events)));
        if told.is_err() {
            tracing::error!(mint = %self.mint, "the role panicked over what was committed");
        }
    }

    fn ask_again(&mut self, sequences: impl IntoIterator<Item = u64>) {
        let now_ms = self.now_ms();
        for sequence in sequences {
            self.core.not_committed(sequence, now_ms, &mut OsRng);
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

    pub(super) fn keep_house(&mut self) {
        self.settlements.extend(
            std::mem::take(&mut self.failed_keysets)
                .into_iter()
                .map(|(serial, keyset)| Settlement::Keyset { serial, keyset }),
        );
        if let Some(park_after_ms) = self.config.park_after_ms {
            let before = now_unix_ms().saturating_sub(park_after_ms);
            let old: Vec<Arc<HeldRequest>> = self.held.made_before(before).cloned().collect();
            for request in old {
                self.park(&request, format!("no answer within {park_after_ms} ms"));
            }
        }
        if self.housekeeping.is_some() {
            return;
        }
        let notes = std::mem::take(&mut self.notes);
        let before = now_unix_ms().saturating_sub(self.config.keep_answered_ms);
        let (store, mint) = (self.store.clone(), self.mint.clone());
        self.housekeeping = Some(Box::pin(async move {
            store
                .write(move |c| {
                    for note in &notes {
                        outbox::note_attempt(c, &mint, EXT_MINT_QUOTE, note)?;
                    }
                    outbox::delete_answered(c, before, ANSWERED_DELETED_PER_STEP)?;
                    outbox::backlog(c, &mint, EXT_MINT_QUOTE)
                })
                .await
        }));
    }

    pub(super) fn housekept(&mut self, backlog: Result<Backlog, StoreError>) {
        match backlog {
            Ok(backlog) => {
                // Something was released by the operator, or a page could not be read. A busy role
                // adds requests all the time, so this must not wait for a moment without any.
                if backlog.waiting > self.core.held() as u64 {
                    self.look_below_cursor = true;
                    self.more_to_load = true;
                }
                self.show_backlog(backlog);
            }
            Err(error) => self.store_failed("housekeeping", &error),
        }
    }
}
