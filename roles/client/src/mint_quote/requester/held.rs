use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use winze_messages::codec::message::{AUTHENTICATOR_BYTES, CHANNEL_ID_BYTES};
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_messages::text::header_hash_to_text;
use winze_messages::{EXT_MINT_QUOTE, request_digest, request_digests};

use crate::limits::LATE_ANSWERS_MAX;
use crate::outbox::{AttemptNote, Checksum, DAMAGED, StoredRequest};

/// The requests that are being worked on, as they lie in the outbox. Bounded by the schedule's
/// `held_max`.
#[derive(Default)]
pub(super) struct HeldRequests {
    by_sequence: BTreeMap<u64, Arc<HeldRequest>>,
    by_header_hash: HashMap<[u8; 32], Arc<HeldRequest>>,
    /// Those that were sent before they were settled elsewhere, and their header hashes in that order: their answers may
    /// come yet. At most [`LATE_ANSWERS_MAX`].
    late: HashMap<[u8; 32], Arc<HeldRequest>>,
    late_order: VecDeque<[u8; 32]>,
}

pub(super) struct HeldRequest {
    pub(super) sequence: u64,
    pub(super) request: MintQuoteRequest,
    /// The bytes that are sent and that answers cover: always these.
    pub(super) body: Vec<u8>,
    pub(super) digest: [u8; 32],
    pub(super) created_unix_ms: u64,
    /// See [`StoredRequest::checksum`].
    pub(super) checksum: Checksum,
    /// See [`StoredRequest::is_asked_again`].
    pub(super) is_asked_again: bool,
    attempts: AtomicU32,
    last_sent_unix_ms: AtomicU64,
    /// It was sent, and nothing on disk says so.
    unnoted: AtomicBool,
}

impl HeldRequest {
    /// Reads a stored request; the error is for the operator.
    pub(super) fn read(stored: StoredRequest) -> Result<HeldRequest, String> {
        let digest = request_digest(EXT_MINT_QUOTE, stored.msg_type, &stored.body);
        HeldRequest::read_with(stored, digest)
    }

    /// [`Self::read`] of many, in their order; each with its number and its key.
    pub(super) fn read_all(
        stored: Vec<StoredRequest>,
    ) -> impl Iterator<Item = (u64, Vec<u8>, Result<HeldRequest, String>)> {
        let bodies = stored.iter().map(|one| (one.msg_type, one.body.as_slice()));
        let digests = request_digests(EXT_MINT_QUOTE, &bodies.collect::<Vec<_>>());
        stored.into_iter().zip(digests).map(|(stored, digest)| {
            let (sequence, key) = (stored.sequence, stored.key.clone());
            (sequence, key, HeldRequest::read_with(stored, digest))
        })
    }

    fn read_with(stored: StoredRequest, digest: [u8; 32]) -> Result<HeldRequest, String> {
        if !stored.is_whole {
            return Err(DAMAGED.to_owned());
        }
        if stored.msg_type != MintQuoteRequest::MSG_TYPE {
            return Err(format!("message {:#04x} is no request", stored.msg_type));
        }
        let request =
            MintQuoteRequest::decode_body(&stored.body).map_err(|error| error.to_string())?;
        if request.header_hash.as_slice() != stored.key {
            return Err("its key is not its header hash".to_owned());
        }
        Ok(HeldRequest {
            sequence: stored.sequence,
            digest,
            request,
            body: stored.body,
            created_unix_ms: stored.created_unix_ms,
            checksum: stored.checksum,
            is_asked_again: stored.is_asked_again,
            attempts: AtomicU32::new(stored.attempts),
            last_sent_unix_ms: AtomicU64::new(0),
            unnoted: AtomicBool::new(false),
        })
    }

    /// What it asks for: copied only where somebody else holds it.
    pub(super) fn into_request(held: Arc<HeldRequest>) -> MintQuoteRequest {
        match Arc::try_unwrap(held) {
            Ok(held) => held.request,
            Err(held) => held.request.clone(),
        }
    }

    /// Counts one more sending, and says how many there were.
    pub(super) fn count_attempt(&self, now_unix_ms: u64) -> u32 {
        self.last_sent_unix_ms.store(now_unix_ms, Ordering::Relaxed);
        self.unnoted.store(true, Ordering::Relaxed);
        self.attempts
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1)
    }

    /// What is to be noted about it now; `error` is why it was put off.
    pub(super) fn take_note(&self, error: Option<String>) -> AttemptNote {
        self.unnoted.store(false, Ordering::Relaxed);
        self.note(error)
    }

    fn note(&self, error: Option<String>) -> AttemptNote {
        AttemptNote {
            sequence: self.sequence,
            attempts: self.attempts.load(Ordering::Relaxed),
            last_sent_unix_ms: self.last_sent_unix_ms.load(Ordering::Relaxed),
            error,
        }
    }

    /// As [`Self::take_note_of_sending`], for a transaction that may be rolled back: it stays to be noted.
    pub(super) fn note_of_sending(&self) -> Option<AttemptNote> {
        let unnoted = self.unnoted.load(Ordering::Relaxed);
        unnoted.then(|| self.note(None))
    }

    /// What is to be noted where it was sent and nothing has been noted since.
    pub(super) fn take_note_of_sending(&self) -> Option<AttemptNote> {
        let unnoted = self.unnoted.load(Ordering::Relaxed);
        unnoted.then(|| self.take_note(None))
    }

    /// For the simulator: its body under another key, where the rule is broken that it never has one.
    pub(super) fn renamed_when_sent_again(&self) -> Option<Vec<u8>> {
        use crate::sabotage::{Rule, is_broken};
        if !is_broken(Rule::SameKeyAgain) || self.attempts.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut request = self.request.clone();
        request.header_hash[0] ^= 1;
        let mut body = Vec::new();
        request.encode_body(&mut body).ok()?;
        Some(body)
    }

    /// What sending it costs in credit.
    pub(super) fn payload_bytes(&self) -> u64 {
        (CHANNEL_ID_BYTES + self.body.len() + AUTHENTICATOR_BYTES) as u64
    }

    /// As block hashes are written (specification, section 8).
    pub(super) fn header_hash_text(&self) -> String {
        header_hash_to_text(&self.request.header_hash)
    }
}

impl HeldRequests {
    pub(super) fn insert(&mut self, request: HeldRequest) {
        let request = Arc::new(request);
        self.by_header_hash
            .insert(request.request.header_hash, Arc::clone(&request));
        self.by_sequence.insert(request.sequence, request);
    }

    pub(super) fn remove(&mut self, sequence: u64) {
        if let Some(request) = self.by_sequence.remove(&sequence) {
            self.by_header_hash.remove(&request.request.header_hash);
        }
    }

    /// It has its answer by another way. One that was sent here is remembered, for what the mint itself will say.
    pub(super) fn settled_elsewhere(&mut self, sequence: u64) {
        let Some(request) = self.by_sequence.get(&sequence).cloned() else {
            return;
        };
        self.remove(sequence);
        if request.last_sent_unix_ms.load(Ordering::Relaxed) == 0 {
            return;
        }
        let header_hash = request.request.header_hash;
        if self.late.insert(header_hash, request).is_none() {
            self.late_order.push_back(header_hash);
        }
        while self.late_order.len() > LATE_ANSWERS_MAX {
            if let Some(first) = self.late_order.pop_front() {
                self.late.remove(&first);
            }
        }
    }

    /// One that was settled elsewhere. Its answer is listened for once: of `late_order` it goes when it is the oldest.
    pub(super) fn take_late(&mut self, header_hash: &[u8; 32]) -> bool {
        self.late.remove(header_hash).is_some()
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Arc<HeldRequest>> {
        self.by_sequence.get(&sequence)
    }

    /// Also one that was settled elsewhere, while its answer may come.
    pub(super) fn by_header_hash(&self, header_hash: &[u8; 32]) -> Option<&Arc<HeldRequest>> {
        let late = || self.late.get(header_hash);
        self.by_header_hash.get(header_hash).or_else(late)
    }

    /// Notes about those that were sent by `unix_ms`, about which nothing has been noted since. What is answered sooner
    /// needs none.
    pub(super) fn take_notes(&self, unix_ms: u64) -> impl Iterator<Item = AttemptNote> {
        self.by_sequence
            .values()
            .filter(move |request| request.last_sent_unix_ms.load(Ordering::Relaxed) <= unix_ms)
            .filter_map(|request| request.take_note_of_sending())
    }

    /// Those that were made before `unix_ms` and never had an answer.
    pub(super) fn made_before(&self, unix_ms: u64) -> impl Iterator<Item = &Arc<HeldRequest>> {
        self.by_sequence
            .values()
            .filter(move |request| request.created_unix_ms < unix_ms && !request.is_asked_again)
    }
}
