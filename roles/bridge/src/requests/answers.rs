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
    /// Its peer name.
    pub(super) mint: String,
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
        let hash = &request.header_hash;
        store::add_parked(tx, &self.mint, hash, &refusal(request, error))
    }

    fn on_withdrawal(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        error: &MintQuoteError,
    ) -> Result<bool, StoreError> {
        // What the mint has refused became a dead letter then.
        if store::forget_parked(tx, &request.header_hash)? {
            return Ok(false);
        }
        store::add_refusal(tx, &refusal(request, error))?;
        Ok(true)
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

fn refusal(request: &MintQuoteRequest, error: &MintQuoteError) -> Refusal {
    let unit = request.unit.to_ascii_uppercase();
    Refusal {
        entry: as_entry(request).to_json(&unit),
        reason: reason(error),
        unix_ms: now_unix_ms(),
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

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use winze_client::outbox::{self, NewRequest};
    use winze_client::{OUTBOX_SCHEMA, Store};
    use winze_messages::EXT_MINT_QUOTE;

    use super::*;
    use crate::requests::read;
    use crate::store::{REQUESTS_SCHEMA, Untold, let_go, refusals};

    const MINT: &str = "mint/main";

    fn answers() -> Answers {
        Answers {
            mint: MINT.to_owned(),
            unit: "hash".to_owned(),
            keysets: watch::channel(Keysets::default()).0,
            counts: Arc::default(),
            news: Arc::default(),
        }
    }

    fn request(share: u8) -> MintQuoteRequest {
        MintQuoteRequest {
            amount: 8,
            unit: "hash".to_owned(),
            header_hash: [share; 32],
            description: None,
            locking_key: [2; 33],
            keyset_id: vec![1; 8],
        }
    }

    fn error(share: u8, code: QuoteErrorCode) -> MintQuoteError {
        MintQuoteError {
            header_hash: [share; 32],
            error_code: code.to_u32(),
            error_message: String::new(),
            retry_after_ms: 0,
        }
    }

    /// Asks for a share, and parks it: refused by the mint, or else.
    fn park(tx: &Connection, share: u8, is_refused: bool) -> Result<(), StoreError> {
        let request = request(share);
        let new = NewRequest {
            peer: MINT,
            extension: EXT_MINT_QUOTE,
            key: &request.header_hash,
            msg_type: MintQuoteRequest::MSG_TYPE,
            body: &read::body(&request).expect("it fits"),
        };
        outbox::enqueue(tx, &new, 1)?;
        outbox::park(tx, MINT, EXT_MINT_QUOTE, new.key, "no", 2)?;
        if is_refused {
            answers().on_refusal(tx, &request, &error(share, QuoteErrorCode::UnknownKeyset))?;
        }
        Ok(())
    }

    fn parked(connection: &Connection) -> Result<Vec<u8>, StoreError> {
        let page = outbox::parked_page(connection, MINT, EXT_MINT_QUOTE, 0, 100)?;
        Ok(page.iter().map(|row| row.key[0]).collect())
    }

    #[tokio::test]
    async fn what_is_parked_goes_once_its_dead_letter_is_told_and_becomes_no_second_one() {
        let folder = TempDir::new().expect("a temporary folder");
        let schemas = [OUTBOX_SCHEMA, REQUESTS_SCHEMA];
        let store = Store::open(&folder.path().join("bridge.sqlite"), &schemas).expect("a store");
        let story = store.write(|tx| {
            // The hub rejected the first one, the mint the others; Redis knows of the first three of these.
            park(tx, 1, false)?;
            (2..=4).try_for_each(|share| park(tx, share, true))?;
            let told = refusals(tx, 100)?;
            assert_eq!(told.rows.len(), 3);
            told.told(Untold::Refusals)(tx)?;
            park(tx, 5, true)?;
            assert!(let_go(tx, 2)?);
            assert_eq!(parked(tx)?, [1, 4, 5], "the longest refused go first");
            let withdrawn = |share| {
                let error = error(share, QuoteErrorCode::Withdrawn);
                answers().on_withdrawal(tx, &request(share), &error)
            };
            assert!(!withdrawn(2)? && !withdrawn(3)?, "they have dead letters");
            assert!(let_go(tx, 100)?);
            assert!(!let_go(tx, 100)?);
            assert_eq!(parked(tx)?, [1, 5], "Redis does not know of the last one");
            assert_eq!(refusals(tx, 100)?.rows.len(), 1);
            assert!(withdrawn(1)?, "it was never told");
            assert_eq!(refusals(tx, 100)?.rows.len(), 2);
            Ok(())
        });
        story.await.expect("written");
    }
}
