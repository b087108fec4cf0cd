use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use winze_messages::codec::message::{AUTHENTICATOR_BYTES, CHANNEL_ID_BYTES};
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_messages::{EXT_MINT_QUOTE, request_digest};

use crate::outbox::StoredRequest;

/// The requests that are being worked on, as they lie in the outbox. Bounded by the schedule's
/// `held_max`.
#[derive(Default)]
pub(super) struct HeldRequests {
    by_sequence: BTreeMap<u64, Arc<HeldRequest>>,
    by_header_hash: HashMap<[u8; 32], u64>,
}

pub(super) struct HeldRequest {
    pub(super) sequence: u64,
    pub(super) request: MintQuoteRequest,
    /// The bytes that are sent and that answers cover: always these.
    pub(super) body: Vec<u8>,
    pub(super) digest: [u8; 32],
    pub(super) created_unix_ms: u64,
    attempts: AtomicU32,
}

impl HeldRequest {
    /// Reads a stored request; the error is for the operator.
    pub(super) fn read(stored: StoredRequest) -> Result<HeldRequest, String> {
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
            digest: request_digest(EXT_MINT_QUOTE, stored.msg_type, &stored.body),
            request,
            body: stored.body,
            created_unix_ms: stored.created_unix_ms,
            attempts: AtomicU32::new(0),
        })
    }

    /// Counts one more sending, and says how many there were in this process's life.
    pub(super) fn count_attempt(&self) -> u32 {
        self.attempts
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1)
    }

    /// How often it was sent in this process's life.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
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
        let mut bytes = self.request.header_hash;
        bytes.reverse();
        hex::encode(bytes)
    }
}

impl HeldRequests {
    pub(super) fn insert(&mut self, request: HeldRequest) {
        let sequence = request.sequence;
        self.by_header_hash
            .insert(request.request.header_hash, sequence);
        self.by_sequence.insert(sequence, Arc::new(request));
    }

    pub(super) fn remove(&mut self, sequence: u64) {
        if let Some(request) = self.by_sequence.remove(&sequence) {
            self.by_header_hash.remove(&request.request.header_hash);
        }
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Arc<HeldRequest>> {
        self.by_sequence.get(&sequence)
    }

    pub(super) fn by_header_hash(&self, header_hash: &[u8; 32]) -> Option<&Arc<HeldRequest>> {
        self.by_sequence.get(self.by_header_hash.get(header_hash)?)
    }

    /// The oldest ones, for as long as they were made before `unix_ms`.
    pub(super) fn made_before(&self, unix_ms: u64) -> impl Iterator<Item = &Arc<HeldRequest>> {
        self.by_sequence
            .values()
            .filter(move |request| request.created_unix_ms < unix_ms)
    }
}
