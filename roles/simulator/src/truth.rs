//! What was really promised and really done, beside the parties, who cannot see it.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use winze_client::outbox::{RequestState, set_backs, state_of};
use winze_client::store::StoreError;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::MintQuoteRequest;

use crate::cast::MINT;

/// A quote that was committed in the mint's store.
#[derive(Clone, Debug)]
pub struct Effect {
    /// The step in which.
    pub step: u64,
    /// Its id.
    pub quote_id: String,
    /// Whom the mint takes for its asker.
    pub asker: String,
    /// What it was made for.
    pub request: MintQuoteRequest,
}

/// How the reason of a request begins that the mint has answered in two ways.
const OTHERWISE: &str = "the mint gave it a quote before";

/// See the [module](self).
#[derive(Default)]
pub struct Truth {
    /// What each pool has committed to its outbox: by pool and header hash, with the step in which.
    pub promised: BTreeMap<(String, [u8; 32]), (MintQuoteRequest, u64)>,
    /// What was promised since the backup to which a pool was set back.
    pub forgotten_promises: BTreeMap<(String, [u8; 32]), Vec<MintQuoteRequest>>,
    /// Quotes since the backup to which the mint's quotes were set back.
    pub forgotten_effects: BTreeMap<[u8; 32], Vec<Effect>>,
    /// The pools that can tell the mint that its record was set back, and for which its operator has
    /// not accepted that.
    pub stops: BTreeSet<String>,
    /// The pools whose store was set back.
    pub pools_set_back: BTreeSet<String>,
    /// Whether the mint's record of answers, or its quotes, were.
    pub is_mint_set_back: bool,
    /// Whether its record of answers was.
    pub are_answers_set_back: bool,
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
    /// The mint has committed a quote.
    pub fn made(
        &mut self,
        asker: &str,
        request: &MintQuoteRequest,
        quote_id: String,
        step: u64,
    ) -> Result<(), String> {
        let hash = request.header_hash;
        if self.stops.contains(asker) {
            return Err(format!(
                "not noticed: the mint makes a quote for {} although its record was set back, {asker} \
                 knows, and nobody has accepted that",
                hex::encode(hash)
            ));
        }
        self.effects.entry(hash).or_default().push(Effect {
            step,
            quote_id,
            asker: asker.to_owned(),
            request: request.clone(),
        });
        Ok(())
    }

    /// The mint's quotes are those from before a step.
    pub fn effects_set_back(&mut self, step: u64) {
        for (hash, effects) in &mut self.effects {
            let forgotten = effects.extract_if(.., |effect| effect.step >= step);
            self.forgotten_effects
                .entry(*hash)
                .or_default()
                .extend(forgotten);
        }
        self.effects.retain(|_, effects| !effects.is_empty());
        self.forgotten_effects
            .retain(|_, effects| !effects.is_empty());
    }

    /// A pool's promises are those from before a step; the others are excused.
    pub fn pool_set_back(&mut self, pool: &str, step: u64) {
        self.pools_set_back.insert(pool.to_owned());
        let forgotten = &mut self.forgotten_promises;
        self.promised.retain(|key, (request, made)| {
            let stays = key.0 != pool || *made < step;
            if !stays {
                forgotten
                    .entry(key.clone())
                    .or_default()
                    .push(request.clone());
            }
            stays
        });
    }

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
                        let key = (effect.asker.clone(), *hash);
                        let promised = self.promised.get(&key).map(|(request, _)| request);
                        let forgotten = self.forgotten_promises.get(&key).into_iter().flatten();
                        forgotten.chain(promised).any(|r| *r == effect.request)
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
        for ((_, hash), (request, _)) in self
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
                (Some(state), [(quote_id, amount)])
                    if state == RequestState::Answered || self.is_mint_set_back =>
                {
                    answered += 1;
                    let forgotten = self.forgotten_effects.get(hash).into_iter().flatten();
                    let mut made = self
                        .effects
                        .get(hash)
                        .into_iter()
                        .flatten()
                        .chain(forgotten);
                    let Some(effect) = made.find(|e| e.quote_id == *quote_id) else {
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
                // A mint that has forgotten an answer may give another one.
                let otherwise = reason.starts_with(OTHERWISE) && self.is_mint_set_back;
                if !(by_mint || otherwise || by_reject && rejects_park) {
                    return Err(format!("{text} of {pool} was parked: {reason}"));
                }
                if by_mint && reason.starts_with("conflict") && !self.has_rival(pool, hash) {
                    return Err(format!("{text} of {pool} is in conflict with nothing"));
                }
            }
        }
        self.answered += answered;
        self.check_notices(pool, db)?;
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

    /// Nobody is said to have been set back who was not.
    fn check_notices(&self, pool: &str, db: &Connection) -> Result<(), String> {
        let [own, mints] =
            set_backs(db, MINT, EXT_MINT_QUOTE).map_err(|error| error.to_string())?;
        if own.is_some() && !self.pools_set_back.contains(pool) {
            return Err(format!(
                "not set back: {pool} believes that it was: {own:?}"
            ));
        }
        if mints.is_some() && !self.are_answers_set_back {
            return Err(format!(
                "not set back: {pool} believes that the mint was: {mints:?}"
            ));
        }
        Ok(())
    }

    /// Whether somebody else has asked for this header hash, or this pool has and does not know any
    /// more.
    fn has_rival(&self, pool: &str, hash: &[u8; 32]) -> bool {
        self.asked_by_evil.contains(hash)
            || self.forgotten_promises.keys().any(|(_, h)| h == hash)
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
