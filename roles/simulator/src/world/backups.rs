//! Stores that are set back: what was forgotten, what must be noticed, and the operator's word.

use rand::Rng;
use winze_client::answers;
use winze_client::mint_quote::StoreNumbers;
use winze_messages::EXT_MINT_QUOTE;

use super::World;
use crate::cast::{MINT, POOLS};
use crate::fault::Fault;
use crate::net::Who;

/// How many steps lie between two backups.
const BACKUP_STEPS: u64 = 30;

/// What the numbers of a pool and the mint allow to notice, as it was when a store was set back:
/// the highest number that the other end knew.
#[derive(Clone, Copy, Default)]
struct Noticeable {
    /// The pool, of itself.
    by_pool: Option<u64>,
    /// The pool, of the mint.
    of_mint: Option<u64>,
    /// The mint, of its record of answers to this pool.
    by_mint: Option<u64>,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Backups {
    noticeable: [Noticeable; POOLS.len()],
    /// When the mint's operator accepts that its record was set back.
    accepts_at_ms: Option<u64>,
}

impl World {
    pub(super) fn make_backup_faults(&mut self) {
        let now_ms = self.now_ms;
        let now_unix_ms = self.now().unix_ms;
        if self.step.is_multiple_of(BACKUP_STEPS) {
            let pools = self.pools.iter_mut().map(|pool| &mut pool.disk);
            let mints = [&mut self.mint.disk, &mut self.mint.quotes.disk];
            for disk in pools.chain(mints) {
                let kept = disk.back_up(self.step);
                debug_assert!(kept.is_ok());
            }
        }
        if let Some(rng) = self.chances.draw(Fault::RestoredPool) {
            let back_ms = now_ms + rng.gen_range(20..2_500);
            let (place, age) = (rng.gen_range(0..self.pools.len()), rng.gen_range(0..8));
            self.pools[place].crash(back_ms);
            self.client_died(Who::Pool(place));
            if let Ok(Some(step)) = self.pools[place].disk.restore(age, now_unix_ms) {
                self.truth.pool_set_back(POOLS[place], step);
                self.pool_was_set_back(place);
                self.tell(|| format!("{} is killed and set back to step {step}", POOLS[place]));
            }
        }
        if let Some(rng) = self.chances.draw(Fault::RestoredMint) {
            let back_ms = now_ms + rng.gen_range(20..2_500);
            let which = rng.gen_range(0..3);
            let ages = [rng.gen_range(0..8), rng.gen_range(0..8)];
            self.mint.crash(back_ms);
            self.client_died(Who::Mint);
            if which != 1
                && let Ok(Some(step)) = self.mint.disk.restore(ages[0], now_unix_ms)
            {
                self.truth.is_mint_set_back = true;
                self.truth.are_answers_set_back = true;
                self.mint_was_set_back();
                self.tell(|| format!("the mint is killed, its answers set back to step {step}"));
            }
            if which != 0
                && let Ok(Some(step)) = self.mint.quotes.disk.restore(ages[1], now_unix_ms)
            {
                self.truth.is_mint_set_back = true;
                self.truth.effects_set_back(step);
                self.tell(|| format!("the mint is killed, its quotes set back to step {step}"));
            }
        }
    }

    fn numbers(&self, place: usize) -> (StoreNumbers, StoreNumbers) {
        let pool = self.pools[place].numbers().map(|(numbers, _)| numbers);
        let mint = &self.mint.disk;
        let mints = mint.read(|db| answers::numbers(db, EXT_MINT_QUOTE, POOLS[place]));
        (pool.unwrap_or_default(), mints.unwrap_or_default())
    }

    fn pool_was_set_back(&mut self, place: usize) {
        let (pool, mint) = self.numbers(place);
        let noticeable = &mut self.backups.noticeable[place];
        noticeable.by_pool = (pool.requests < mint.requests).then_some(mint.requests);
        // It does not know any more what the mint has forgotten.
        noticeable.of_mint = None;
        noticeable.by_mint = noticeable.by_mint.filter(|told| pool.answers >= *told);
        if noticeable.by_mint.is_none() {
            self.truth.stops.remove(POOLS[place]);
        }
    }

    fn mint_was_set_back(&mut self) {
        for (place, name) in POOLS.into_iter().enumerate() {
            let (pool, mint) = self.numbers(place);
            // What its operator had accepted before the backup is no news.
            let mark = self
                .mint
                .disk
                .read(|db| answers::set_back(db, EXT_MINT_QUOTE, name));
            let accepted = mark.ok().flatten().filter(|mark| !mark.is_open());
            let accounted_for = accepted.map_or(0, |mark| mark.told_answers);
            let known = mint.answers.max(accounted_for);
            let told = (known < pool.answers).then_some(pool.answers);
            let noticeable = &mut self.backups.noticeable[place];
            match told {
                Some(_) => self.truth.stops.insert(name.to_owned()),
                None => self.truth.stops.remove(name),
            };
            noticeable.of_mint = told;
            noticeable.by_mint = told;
            let knows = noticeable.by_pool.is_some() && pool.requests < mint.requests;
            noticeable.by_pool = knows.then_some(mint.requests);
        }
    }

    /// The mint's operator looks now and then, and accepts.
    pub(super) fn operate(&mut self) -> Result<(), String> {
        let text = |error: winze_client::StoreError| error.to_string();
        if self.backups.accepts_at_ms.is_none() && self.step.is_multiple_of(50) {
            let open = self
                .mint
                .disk
                .read(|db| answers::set_backs(db, EXT_MINT_QUOTE));
            if !open.map_err(text)?.is_empty() {
                self.backups.accepts_at_ms = Some(self.now_ms + self.rng.gen_range(500..4_000));
            }
        }
        if self
            .backups
            .accepts_at_ms
            .is_some_and(|at_ms| at_ms <= self.now_ms)
        {
            self.backups.accepts_at_ms = None;
            let now = self.now();
            let mut accepted = Vec::new();
            let written = self.mint.disk.write(now.ms, |db| {
                for set_back in answers::set_backs(db, EXT_MINT_QUOTE)? {
                    answers::accept(db, EXT_MINT_QUOTE, &set_back.peer, now.unix_ms)?;
                    accepted.push(set_back.peer);
                }
                Ok(())
            });
            if written.is_ok() {
                self.tell(|| format!("the operator accepts what {accepted:?} have said"));
                self.truth.stops.retain(|pool| !accepted.contains(pool));
            }
        }
        Ok(())
    }

    /// The mint does not believe to be set back where it was not: no pool that keeps the rules says
    /// so.
    pub(super) fn check_mints_notices(&self) -> Result<(), String> {
        if self.truth.are_answers_set_back {
            return Ok(());
        }
        for pool in POOLS {
            let mark = self
                .mint
                .disk
                .read(|db| answers::set_back(db, EXT_MINT_QUOTE, pool))
                .map_err(|error| error.to_string())?;
            if let Some(mark) = mark {
                return Err(format!(
                    "not set back: the mint believes that it was: {mark:?}"
                ));
            }
        }
        Ok(())
    }

    /// After the quiet period each end has noticed what the numbers allowed it to.
    pub(super) fn check_notices(&self) -> Result<(), String> {
        let text = |error: winze_client::StoreError| error.to_string();
        for (place, noticeable) in self.backups.noticeable.iter().enumerate() {
            let pool = POOLS[place];
            let (_, [own, mints]) = self.pools[place].numbers().map_err(text)?;
            let mark = self
                .mint
                .disk
                .read(|db| answers::set_back(db, EXT_MINT_QUOTE, pool));
            let mark = mark.map_err(text)?;
            let of = |notice: Option<winze_client::outbox::SetBack>| notice.map(|n| n.known);
            let all = [
                (pool, pool, noticeable.by_pool, of(own)),
                (pool, MINT, noticeable.of_mint, of(mints)),
                (MINT, MINT, noticeable.by_mint, mark.map(|m| m.told_answers)),
            ];
            for (who, whom, noticeable, noticed) in all {
                if let Some(number) = noticeable
                    && noticed.is_none_or(|noticed| noticed < number)
                {
                    return Err(format!(
                        "not noticed: {who} did not find out that {whom} was set back, although \
                         number {number} was known between {pool} and {MINT}: {noticed:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}
