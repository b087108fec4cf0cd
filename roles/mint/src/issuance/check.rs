//! Which requests become quotes: the checks that need no store, each with its final refusal.

use std::collections::{HashMap, HashSet};

use cdk::nuts::{CurrencyUnit, Id, PublicKey as LockingKey};
use winze_messages::PeerName;
use winze_messages::families::mint_quote::{MintQuoteRequest, QuoteErrorCode};
use winze_transport::PublicKey;

use super::record::NewQuote;
use crate::allowance::Caps;

/// What this mint issues, and for whom.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The largest amount of one quote.
    pub(crate) amount_max: u64,
    /// The longest description, in bytes.
    pub(crate) description_bytes_max: usize,
    pub(crate) units: Vec<CurrencyUnit>,
    /// By the pool's key: names are the hub's word.
    pub(crate) pools: HashMap<PublicKey, PoolRules>,
    /// The list in Redis, where one is read.
    pub(crate) list: Option<PoolRules>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Whoever has this key.
    Key(PublicKey),
    /// Whoever can push to the list in Redis.
    List,
}

impl Rules {
    /// What whoever asks may have issued; nothing where it is not in the configuration.
    pub(crate) fn of(&self, asker: &Asker) -> Option<&PoolRules> {
        match asker {
            Asker::Key(key) => self.pools.get(key),
            Asker::List => self.list.as_ref(),
        }
    }
}

/// What one pool, or the list, may have issued.
#[derive(Debug, Clone)]
pub(crate) struct PoolRules {
    /// Its peer name in this mint's configuration, under which its allowance is kept.
    pub(crate) name: PeerName,
    /// By the unit's canonical name.
    pub(crate) caps: HashMap<String, Caps>,
}

/// Every keyset that the mint has or had, with its unit.
pub(crate) type Keysets = HashSet<(CurrencyUnit, Id)>;

/// Why a request will never become a quote. The text goes to the pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("this header hash was used with another amount, unit or locking key")]
    Conflict,
    #[error("the amount is 0")]
    AmountZero,
    #[error("amount {amount} is over this mint's cap of {max}")]
    AmountTooLarge { amount: u64, max: u64 },
    #[error("this mint does not issue this unit; it issues: {known}")]
    UnknownUnit { known: String },
    #[error("this mint never had this keyset for unit {unit}")]
    UnknownKeyset { unit: String },
    #[error("the locking key is not a compressed point on secp256k1")]
    BadLockingKey,
    #[error("the description has {bytes} bytes, more than this mint's limit of {max}")]
    DescriptionTooLong { bytes: usize, max: usize },
    #[error("this pool may not issue unit {unit}")]
    UnitNotAllowed { unit: String },
}

impl Refusal {
    pub(crate) fn code(&self) -> QuoteErrorCode {
        match self {
            Refusal::Conflict => QuoteErrorCode::Conflict,
            Refusal::AmountZero => QuoteErrorCode::AmountZero,
            Refusal::AmountTooLarge { .. } => QuoteErrorCode::AmountTooLarge,
            Refusal::UnknownUnit { .. } => QuoteErrorCode::UnknownUnit,
            Refusal::UnknownKeyset { .. } => QuoteErrorCode::UnknownKeyset,
            Refusal::BadLockingKey => QuoteErrorCode::BadLockingKey,
            Refusal::DescriptionTooLong { .. } => QuoteErrorCode::DescriptionTooLong,
            Refusal::UnitNotAllowed { .. } => QuoteErrorCode::UnitNotAllowed,
        }
    }
}

/// Turns a request of `pool` (`None`: a key that is not in the configuration) into the quote that it asks for.
pub(crate) fn check(
    rules: &Rules,
    pool: Option<&PoolRules>,
    keysets: &Keysets,
    request: &MintQuoteRequest,
) -> Result<NewQuote, Refusal> {
    // Units are compared as they are written: their canonical form is lower case, and only that is on the wire.
    let unit = rules
        .units
        .iter()
        .find(|unit| unit.to_string() == request.unit)
        .ok_or_else(|| Refusal::UnknownUnit {
            known: names(&rules.units),
        })?;
    if !pool.is_some_and(|pool| pool.caps.contains_key(&request.unit)) {
        return Err(Refusal::UnitNotAllowed {
            unit: request.unit.clone(),
        });
    }
    if request.amount == 0 {
        return Err(Refusal::AmountZero);
    }
    if request.amount > rules.amount_max {
        return Err(Refusal::AmountTooLarge {
            amount: request.amount,
            max: rules.amount_max,
        });
    }
    let known = Id::from_bytes(&request.keyset_id)
        .is_ok_and(|keyset| keysets.contains(&(unit.clone(), keyset)));
    if !known {
        return Err(Refusal::UnknownKeyset {
            unit: request.unit.clone(),
        });
    }
    let locking_key =
        LockingKey::from_slice(&request.locking_key).map_err(|_| Refusal::BadLockingKey)?;
    if let Some(description) = &request.description
        && description.len() > rules.description_bytes_max
    {
        return Err(Refusal::DescriptionTooLong {
            bytes: description.len(),
            max: rules.description_bytes_max,
        });
    }
    Ok(NewQuote {
        header_hash: request.header_hash,
        amount: request.amount,
        unit: unit.clone(),
        locking_key,
        description: request.description.clone(),
    })
}

fn names(units: &[CurrencyUnit]) -> String {
    let names: Vec<String> = units.iter().map(CurrencyUnit::to_string).collect();
    names.join(", ")
}
