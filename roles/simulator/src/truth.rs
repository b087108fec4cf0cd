//! What was really promised and really done, beside the parties, who cannot see it.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use winze_client::outbox::{RequestState, state_of};
use winze_client::store::StoreError;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::MintQuoteRequest;

use crate::cast::MINT;

/// A quote that was committed in the mint's store.
#[derive(Clone, Debug)]
pub struct Effect {
    /// Its id.
    pub quote_id: String,
    /// Whom the mint takes for its asker.
    pub asker: String,
    /// What it was made for.
    pub request: MintQuoteRequest,
}

/// See the [module](self).
#[derive(Default)]
pub struct Truth {
    /// What each pool has committed to its outbox: by pool and header hash.
    pub promised: BTreeMap<(String, [u8; 32]), MintQuoteRequest>,
    /// What the hostile peer has asked for, under its own key.
    pub asked_by_evil: BTreeSet<[u8; 32]>,
    /// What the mint has committed, by header hash.
    pub effects: BTreeMap<[u8; 32], Vec<Effect>>,
    /// The keysets that the mint has announced.
    pub keysets: BTreeSet<Vec<u8>>,
    /// Requests that have their quote.
    pub answered: u64,
}

impl Truth {
    /// No effect twice, and none that nobody asked for.
    pub fn check_mint(&self) -> Result<(), String> {
        for (hash, effects) in &self.effects {
            if effects.len() > 1 {
                return Err(format!(
                    "effect twice: {} has {effects:?}",
                    hex::encode(hash)
                ));
            }
            for effect in effects {
                let is_evils = effect.asker == crate::cast::EVIL;
                let asked = match is_evils {
                    true => self.asked_by_evil.contains(hash),
                    false => {
                        self.promised.get(&(effect.asker.clone(), *hash)) == Some(&effect.request)
                    }
                };
                if !asked {
                    return Err(format!(
                        "a stranger's message accepted: the mint made a quote for {} that {} never \
                         asked for",
                        hex::encode(hash),
                        effect.asker
                    ));
                }
            }
        }
        Ok(())
    }

    /// Every promise of a pool is waiting, answered with its effect, or parked for a reason.
    /// `rejects_park`: a hub that lies may have had requests parked.
    pub fn check_pool(
        &mut self,
        pool: &str,
        db: &Connection,
        rejects_park: bool,
    ) -> Result<(), String> {
        let sql = |error: StoreError| error.to_string();
        let mut answered = 0;
        for ((_, hash), request) in self
            .promised
            .range(first_of(pool)..)
            .take_while(|((p, _), _)| p == pool)
        {
            let text = hex::encode(hash);
            let state = state_of(db, MINT, EXT_MINT_QUOTE, hash).map_err(sql)?;
            let quotes = quotes_of(db, hash).map_err(sql)?;
            match (state, &quotes[..]) {
                (None, _) => return Err(format!("forgotten: {pool} has lost its request {text}")),
                (Some(RequestState::Answered), []) => {
                    return Err(format!(
                        "forgotten: {text} of {pool} counts as answered and has no quote"
                    ));
                }
                (Some(RequestState::Answered), [(quote_id, amount)]) => {
                    answered += 1;
                    let made = self.effects.get(hash).into_iter().flatten();
                    let Some(effect) = made.clone().find(|e| e.quote_id == *quote_id) else {
                        return Err(format!(
                            "a stranger's message accepted: {pool} holds quote {quote_id} for \
                             {text}, which the mint has not made"
                        ));
                    };
                    if *amount != request.amount
                        || effect.request.locking_key != request.locking_key
                        || effect.request.amount != request.amount
                    {
                        return Err(format!(
                            "{pool} was given a quote for {text} over something else than it asked \
                             for"
                        ));
                    }
                }
                (Some(RequestState::Waiting | RequestState::Parked), []) => {}
                (state, quotes) => {
                    return Err(format!(
                        "effect twice: {text} of {pool} is {state:?} with {quotes:?}"
                    ));
                }
            }
            if state == Some(RequestState::Parked) {
                let reason = parked_reason(db, hash).map_err(sql)?;
                let by_reject = reason.starts_with("the hub rejects it");
                let by_mint = reason.starts_with("conflict") || reason.starts_with("amount-zero");
                if !(by_mint || by_reject && rejects_park) {
                    return Err(format!("{text} of {pool} was parked: {reason}"));
                }
                if by_mint && reason.starts_with("conflict") && !self.has_rival(pool, hash) {
                    return Err(format!("{text} of {pool} is in conflict with nothing"));
                }
            }
        }
        self.answered += answered;
        let mut keysets = db
            .prepare_cached("SELECT body FROM keyset")
            .map_err(|error| error.to_string())?;
        let bodies = keysets
            .query_map([], |row| row.get::<_, Vec<u8>>(0))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| error.to_string())?;
        match bodies.iter().all(|body| self.keysets.contains(body)) {
            true => Ok(()),
            false => Err(format!(
                "a stranger's message accepted: {pool} holds a keyset that the mint has not announced"
            )),
        }
    }

    /// Whether somebody else has asked for this header hash.
    fn has_rival(&self, pool: &str, hash: &[u8; 32]) -> bool {
        self.asked_by_evil.contains(hash)
            || self
                .promised
                .keys()
                .any(|(other, h)| h == hash && other != pool)
    }
}

fn first_of(pool: &str) -> (String, [u8; 32]) {
    (pool.to_owned(), [0; 32])
}

fn quotes_of(db: &Connection, hash: &[u8; 32]) -> Result<Vec<(String, u64)>, StoreError> {
    let mut rows =
        db.prepare_cached("SELECT quote_id, amount FROM quote WHERE header_hash = ?1")?;
    let rows = rows.query_map([&hash[..]], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn parked_reason(db: &Connection, hash: &[u8; 32]) -> Result<String, StoreError> {
    Ok(db
        .prepare_cached("SELECT coalesce(error, '') FROM outbox WHERE key = ?1")?
        .query_row([&hash[..]], |row| row.get(0))?)
}
