//! What the mint says, written down in the transaction that ends the request.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{Notify, watch};
use winze_client::{QuoteAnswers, QuoteEvent, StoreError};
use winze_legacy::{Keyset, QuoteRequest};
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse, QuoteErrorCode,
    QuoteState,
};
use winze_messages::text::header_hash_to_text;
use winze_runtime::clock::now_unix_ms;

use super::status::Counts;
use crate::limits::KEYSETS_KEPT_MAX;
use crate::store::{self, KnownKeyset, Refusal};

/// The mint's keysets that are known, the active one last; empty before the first announcement.
pub(super) type Keysets = Arc<Vec<KnownKeyset>>;

/// The bridge's side of the mint's answers.
pub(super) struct Answers {
    pub(super) unit: String,
    /// Hears of every new keyset.
    pub(super) keysets: watch::Sender<Keysets>,
    pub(super) counts: Arc<Counts>,
    /// Somebody has something to tell Redis.
    pub(super) news: Arc<Notify>,
}

impl QuoteAnswers for Answers {
    fn on_response(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        response: &MintQuoteResponse,
    ) -> Result<(), StoreError> {
        match response.state {
            // Another bridge's word, whose mint tells no ids: there is nothing to write under the key.
            QuoteState::Unknown => Ok(()),
            _ => store::add_quote_id(
                tx,
                &header_hash_to_text(&request.header_hash),
                &response.quote_id,
            ),
        }
    }

    fn on_refusal(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        error: &MintQuoteError,
    ) -> Result<(), StoreError> {
        let unit = request.unit.to_ascii_uppercase();
        let refusal = Refusal {
            entry: as_entry(request).to_json(&unit),
            reason: reason(error),
            unix_ms: now_unix_ms(),
        };
        store::add_refusal(tx, &refusal)
    }

    fn on_keyset(&self, tx: &Connection, keyset: &KeysetAnnouncement) -> Result<(), StoreError> {
        if keyset.unit != self.unit || self.is_active(&keyset.keyset_id) {
            return Ok(());
        }
        store::keyset_announced(tx, &known(keyset))
    }

    fn committed(&self, events: &[QuoteEvent]) {
        for event in events {
            match event {
                QuoteEvent::Issued { response, .. } if response.state == QuoteState::Unknown => {
                    self.counts.unknown();
                }
                QuoteEvent::Issued { .. } => self.counts.issued(),
                QuoteEvent::Refused { request, error }
                | QuoteEvent::Withdrawn { request, error } => {
                    self.counts.refused();
                    let share = header_hash_to_text(&request.header_hash);
                    tracing::warn!(share, reason = reason(error), "there will be no quote");
                }
                QuoteEvent::Keyset(keyset) => self.keyset(keyset),
            }
        }
        self.news.notify_one();
    }
}

impl Answers {
    fn is_active(&self, id: &[u8]) -> bool {
        let keysets = self.keysets.borrow();
        keysets.last().is_some_and(|active| active.id == id)
    }

    fn keyset(&self, keyset: &KeysetAnnouncement) {
        if keyset.unit != self.unit || self.is_active(&keyset.keyset_id) {
            return;
        }
        self.keysets.send_modify(|keysets| {
            let mut all: Vec<KnownKeyset> = keysets.to_vec();
            all.retain(|known| known.id != keyset.keyset_id);
            all.push(known(keyset));
            let over = all.len().saturating_sub(KEYSETS_KEPT_MAX);
            all.drain(..over);
            *keysets = Arc::new(all);
        });
        let keyset_id = hex::encode(&keyset.keyset_id);
        tracing::info!(keyset_id, unit = keyset.unit, "the mint's active keyset");
    }
}

/// Old mints write the unit in upper case.
fn known(keyset: &KeysetAnnouncement) -> KnownKeyset {
    KnownKeyset {
        id: keyset.keyset_id.clone(),
        json: Keyset::from(keyset).to_json(&keyset.unit.to_ascii_uppercase()),
    }
}

fn as_entry(request: &MintQuoteRequest) -> QuoteRequest {
    QuoteRequest {
        unit: request.unit.clone(),
        amount: request.amount,
        header_hash: request.header_hash,
        description: request.description.clone(),
        locking_key: Some(request.locking_key),
        keyset_id: Some(request.keyset_id.clone()),
    }
}

fn reason(error: &MintQuoteError) -> String {
    match QuoteErrorCode::from_u32(error.error_code) {
        Some(code) => format!("{code}: {}", error.error_message),
        None => format!("code {}: {}", error.error_code, error.error_message),
    }
}
