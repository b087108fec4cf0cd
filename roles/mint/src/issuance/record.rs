//! Quotes in cdk's store, which is the record of what was issued: one per header hash, paid from the start.

use cdk::Amount;
use cdk::cdk_database::Error as StoreError;
use cdk::cdk_payment::PaymentIdentifier;
use cdk::mint::MintQuote;
use cdk::nuts::{CurrencyUnit, PaymentMethod, PublicKey};
use cdk::util::unix_time;
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_messages::text::header_hash_to_text;

use super::HeaderHash;
use crate::ecash::QuoteStore;
use crate::processor::MINING_SHARE;

/// A quote to be made, its contents checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewQuote {
    /// The idempotency key, as the hash function gives it.
    pub(crate) header_hash: HeaderHash,
    /// In `unit`.
    pub(crate) amount: u64,
    pub(crate) unit: CurrencyUnit,
    /// Only a signature of this key can take the ecash (NUT-20).
    pub(crate) locking_key: PublicKey,
    pub(crate) description: Option<String>,
}

impl NewQuote {
    /// Whether `quote` is what this one would have become: the same amount, unit and key.
    pub(crate) fn is(&self, quote: &MintQuote) -> bool {
        quote.unit == self.unit
            && quote.amount.as_ref().map(Amount::value) == Some(self.amount)
            && quote.pubkey == Some(self.locking_key)
    }

    fn to_cdk(&self) -> Result<MintQuote, StoreError> {
        let key = header_hash_to_text(&self.header_hash);
        let now = unix_time();
        let amount = Amount::new(self.amount, self.unit.clone());
        let nothing = Amount::new(0, self.unit.clone());
        let mut quote = MintQuote::new(
            None,
            key.clone(),
            self.unit.clone(),
            Some(amount.clone()),
            0,
            PaymentIdentifier::CustomId(key.clone()),
            Some(self.locking_key),
            nothing.clone(),
            nothing,
            PaymentMethod::Custom(MINING_SHARE.to_owned()),
            now,
            now,
            Vec::new(),
            Vec::new(),
            self.description
                .as_ref()
                .map(|text| serde_json::json!({ "description": text })),
        );
        // The share is the payment. Payments given to the constructor would not be stored.
        quote
            .add_payment(amount, key, Some(now))
            .map_err(|error| StoreError::Internal(error.to_string()))?;
        Ok(quote)
    }
}

/// Whether `quote` is for the amount, unit and locking key of `request`, whatever the rules say of them today.
pub(super) fn is_what_was_asked(quote: &MintQuote, request: &MintQuoteRequest) -> bool {
    quote.unit.to_string() == request.unit
        && quote.amount.as_ref().map(Amount::value) == Some(request.amount)
        && quote.pubkey.map(|key| key.to_bytes()) == Some(request.locking_key)
}

/// The quote that was made for this header hash, if there is one.
pub(crate) async fn find(
    store: &QuoteStore,
    header_hash: &HeaderHash,
) -> Result<Option<MintQuote>, StoreError> {
    store
        .get_mint_quote_by_request_lookup_id(&PaymentIdentifier::CustomId(header_hash_to_text(
            header_hash,
        )))
        .await
}

/// What became of one quote that was to be made.
pub(crate) struct Made {
    pub(crate) header_hash: HeaderHash,
    /// The quote that the store has now.
    pub(crate) quote: Result<MintQuote, StoreError>,
    /// Whether it was made here; otherwise it was there already.
    pub(crate) new: bool,
}

/// Why quotes were not made.
enum Failed {
    /// One of them cannot be made; the others may be, without it.
    Quote(StoreError),
    /// The store began no transaction, or did not end it well. No quote would fare better.
    Store(StoreError),
}

/// Makes `quotes`, all in one transaction where nothing is wrong with any; else one by one, so that the good ones do not
/// suffer from a bad one. Where the store has one already, that one is the result. Of a quote that is not in what this gives
/// nothing is known.
///
/// A store that fails is not asked again for each of them: cdk waits ten seconds for a lock that others hold, and all pools wait
/// with it. The quotes may exist all the same, where it said at commit that it failed; whoever asks again finds them.
pub(crate) async fn create_all(store: &QuoteStore, quotes: Vec<NewQuote>) -> Vec<Made> {
    let count = quotes.len();
    match create(store, &quotes).await {
        Ok(made) => quotes
            .into_iter()
            .zip(made)
            .map(|(asked, quote)| Made {
                header_hash: asked.header_hash,
                quote: Ok(quote),
                new: true,
            })
            .collect(),
        Err(Failed::Quote(error)) => {
            tracing::warn!(%error, count, "a batch of quotes failed; making them one by one");
            create_one_by_one(store, quotes).await
        }
        Err(Failed::Store(error)) => {
            tracing::error!(%error, count, "the ecash store took none of a batch of quotes");
            Vec::new()
        }
    }
}

async fn create_one_by_one(store: &QuoteStore, quotes: Vec<NewQuote>) -> Vec<Made> {
    let mut made = Vec::with_capacity(quotes.len());
    for asked in quotes {
        let header_hash = asked.header_hash;
        let (quote, new) = match create(store, &[asked]).await {
            Ok(created) => {
                let quote = created.into_iter().next().ok_or(StoreError::UnknownQuote);
                (quote, true)
            }
            Err(Failed::Quote(StoreError::Duplicate)) => {
                let found = find(store, &header_hash).await;
                let quote = found.and_then(|found| found.ok_or(StoreError::UnknownQuote));
                (quote, false)
            }
            Err(Failed::Quote(error)) => (Err(error), false),
            Err(Failed::Store(error)) => {
                tracing::error!(%error, "the ecash store took no more of a batch of quotes");
                break;
            }
        };
        made.push(Made {
            header_hash,
            quote,
            new,
        });
    }
    made
}

/// Makes all of `quotes` in one transaction, or none.
///
/// [`Failed::Quote`] is [`StoreError::Duplicate`] if one of the header hashes has a quote already. After an error at commit the
/// quotes may exist all the same.
async fn create(store: &QuoteStore, quotes: &[NewQuote]) -> Result<Vec<MintQuote>, Failed> {
    let mut transaction = store.begin_transaction().await.map_err(Failed::Store)?;
    let mut made = Vec::with_capacity(quotes.len());
    for quote in quotes {
        match add(&mut *transaction, quote).await {
            Ok(quote) => made.push(quote),
            Err(error) => {
                // Dropping it would roll back too, but only when a spawned task gets round to it.
                transaction.rollback().await.map_err(Failed::Store)?;
                return Err(Failed::Quote(error));
            }
        }
    }
    transaction.commit().await.map_err(Failed::Store)?;
    Ok(made)
}

async fn add(
    transaction: &mut (dyn cdk::cdk_database::MintTransaction<StoreError> + Send + Sync),
    quote: &NewQuote,
) -> Result<MintQuote, StoreError> {
    let mut stored = transaction.add_mint_quote(quote.to_cdk()?).await?;
    transaction.update_mint_quote(&mut stored).await?;
    Ok(stored.inner())
}
