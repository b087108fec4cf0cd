//! A requester's logic without IO: what to read from the outbox, what to send, what to record.
//!
//! Whoever drives it takes [`QuoteRequesterCore::page_wanted`],
//! [`recording_wanted`](QuoteRequesterCore::recording_wanted),
//! [`numbers_wanted`](QuoteRequesterCore::numbers_wanted) and, once in a while,
//! [`housekeeping_wanted`](QuoteRequesterCore::housekeeping_wanted) to the store, one of each kind
//! at a time, and brings back what became of it; hands in the channel's events; and lets it
//! [`send`](QuoteRequesterCore::send_what_is_due) after each of these.

mod disk;
mod numbers;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use rand::RngCore;
use winze_messages::families::mint_quote::KeysetAnnouncement;
use winze_messages::{EXT_MINT_QUOTE, PairKeys, Side};

pub use disk::{HousekeepingWanted, PageWanted, RecordingWanted};
pub use numbers::{NumbersFound, NumbersWanted};

use super::held::{HeldRequest, HeldRequests};
use super::settlement::{Mint, Settlement};
use super::{QuoteRequesterConfig, RequesterCounts, RequesterStatus};
use crate::delivery::{Now, RequesterCore, Schedule};
use crate::identity::Identity;
use crate::limits::{HELD_WINDOWS, RESEND_PER_TIMEOUT_MAX};
use crate::mint_quote::exchange::{FarStore, StoreExchange};
use crate::outbox::{AttemptNote, Backlog};
use crate::store::StoreError;

/// A requester without IO. Its store's work is [`Self::page_wanted`], [`Self::recording_wanted`],
/// [`Self::numbers_wanted`] and [`Self::housekeeping_wanted`], one of each kind at a time; after each
/// input it sends what is due.
pub struct QuoteRequesterCore {
    config: QuoteRequesterConfig,
    mint: Mint,
    keys: PairKeys,
    core: RequesterCore,
    held: HeldRequests,
    /// Where the next page of the outbox begins.
    cursor: u64,
    /// The outbox may hold requests beyond the cursor.
    more_to_load: bool,
    /// More waits on disk than here: below the cursor there may be requests that the operator has
    /// released, or that could not be read. Looked for from the start, once the end was reached.
    look_below_cursor: bool,
    /// A page is being read. It may have so many rows: one with fewer is the last.
    loading_rows_max: Option<usize>,
    /// Requests that were settled, here or elsewhere, while that page was being read, and may be in it as it was before.
    settled_meanwhile: BTreeSet<u64>,
    /// What waits to be recorded; bounded by [`Self::takes_events`].
    settlements: Vec<Settlement>,
    is_recording: bool,
    /// The requests in the batch that is being recorded, by rising sequence.
    recording_sequences: Vec<u64>,
    /// Keysets in that batch, and those that could not be recorded and are tried again with the
    /// housekeeping: unlike an answer, nobody asks for one again. At most one per unit.
    recording_keysets: Vec<(u64, KeysetAnnouncement)>,
    failed_keysets: Vec<(u64, KeysetAnnouncement)>,
    /// Notes for the operator by sequence, written with the housekeeping.
    notes: BTreeMap<u64, AttemptNote>,
    is_housekeeping: bool,
    exchange: StoreExchange,
    /// What the mint has told that was compared with the own store.
    compared: Option<FarStore>,
    /// The own store could not be looked at: not to be tried before this.
    compare_again_at_ms: Option<u64>,
    is_looking: bool,
    backlog: Backlog,
    counts: RequesterCounts,
    rng: Box<dyn RngCore + Send>,
}

impl QuoteRequesterCore {
    /// Holds nothing yet. `rng` is for jitter, and for nonces that nobody may foretell.
    pub fn new(
        identity: &Identity,
        config: QuoteRequesterConfig,
        rng: Box<dyn RngCore + Send>,
    ) -> QuoteRequesterCore {
        let keys = PairKeys::derive(
            identity.secret(),
            &config.mint_key,
            EXT_MINT_QUOTE,
            Side::Requester,
            identity.role(),
            config.mint.role(),
        );
        let window = config.window.max(1);
        let schedule = Schedule {
            window,
            held_max: window.saturating_mul(HELD_WINDOWS),
            timeout_ms: config.timeout_ms,
            timeout_max_ms: config.timeout_max_ms,
            resend_max: RESEND_PER_TIMEOUT_MAX,
            delay_ms: config.delay_ms,
            delay_max_ms: config.delay_max_ms,
            rejects_max: config.rejects_max,
        };
        QuoteRequesterCore {
            mint: Mint {
                name: config.mint.to_string(),
                announcer: format!("{} {}", config.mint, config.mint_key),
            },
            config,
            keys,
            core: RequesterCore::new(schedule),
            held: HeldRequests::default(),
            cursor: 0,
            more_to_load: true,
            look_below_cursor: false,
            loading_rows_max: None,
            settled_meanwhile: BTreeSet::new(),
            settlements: Vec::new(),
            is_recording: false,
            recording_sequences: Vec::new(),
            recording_keysets: Vec::new(),
            failed_keysets: Vec::new(),
            notes: BTreeMap::new(),
            is_housekeeping: false,
            exchange: StoreExchange::new(),
            compared: None,
            compare_again_at_ms: None,
            is_looking: false,
            backlog: Backlog::default(),
            counts: RequesterCounts::default(),
            rng,
        }
    }

    /// The mint's peer name, for the log.
    pub fn mint(&self) -> &str {
        &self.mint.name
    }

    /// New rows were committed to the outbox.
    pub fn nudged(&mut self) {
        self.more_to_load = true;
    }

    /// These requests were given their answers by another way, and that is committed: they are let go of.
    pub fn settled_elsewhere(&mut self, sequences: &[u64]) {
        for &sequence in sequences {
            self.core.forget(sequence);
            self.held.settled_elsewhere(sequence);
            self.notes.remove(&sequence);
        }
        if self.loading_rows_max.is_some() {
            self.settled_meanwhile.extend(sequences);
        }
    }

    /// Nothing comes or goes any longer; what was said is still to be recorded.
    pub fn stopped(&mut self) {
        self.core.lost();
        self.exchange.away();
    }

    /// When [`Self::handle_timeout`] is to be called next.
    pub fn next_timeout_ms(&self) -> Option<u64> {
        let is_to_compare = !self.is_looking && self.is_told_anew();
        let comparison = self.compare_again_at_ms.filter(|_| is_to_compare);
        (self.core.next_timeout_ms().into_iter())
            .chain(self.exchange.next_timeout_ms())
            .chain(comparison)
            .min()
    }

    /// Time has passed: delays end, and what has no answer is sent again.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.core.handle_timeout(now.ms, &mut *self.rng) {
            self.counts.timeouts += 1;
            tracing::warn!(mint = %self.mint.name, "no answer; the oldest requests are sent again");
        }
    }

    // ---- what the operator sees

    /// Where it stands.
    pub fn status(&self, now: Now) -> RequesterStatus {
        RequesterStatus {
            peer_present: self.core.is_peer_present(),
            peer_known: self.is_mint_known(),
            waiting: self.backlog.waiting,
            in_flight: self.core.unanswered() as u64,
            parked: self.backlog.parked,
            oldest_age_ms: self
                .backlog
                .oldest_unix_ms
                .map(|made_unix_ms| now.unix_ms.saturating_sub(made_unix_ms)),
            set_back: self.backlog.set_back,
            peer_set_back: self.backlog.peer_set_back,
            counts: self.counts,
        }
    }

    /// Why a request was put off. At most one note per request is kept, and so no more than
    /// requests.
    fn note(&mut self, request: &HeldRequest, error: String) {
        let note = request.take_note(Some(error));
        self.notes.insert(note.sequence, note);
    }

    fn store_failed(&mut self, doing: &'static str, error: &StoreError) {
        self.counts.store_failures += 1;
        tracing::error!(mint = %self.mint.name, %error, doing, "the store failed");
    }
}
