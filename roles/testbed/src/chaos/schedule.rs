//! Who is killed when: drawn from a seed.

use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::deployment::Role;

/// From when all roles are back to the next kill, in milliseconds: from the middle of finding their feet to long after.
const QUIET_MS: (u64, u64) = (50, 5_000);
/// How long a killed role stays away, in milliseconds: from less than anyone's patience to several attempts to reconnect.
const AWAY_MS: (u64, u64) = (0, 1_500);
/// How soon a role that starts is killed once more, in milliseconds after its start. Most are ready before the end of it.
const TOO_EARLY_MS: (u64, u64) = (10, 800);
/// One in so many starts is cut off like that.
const CUT_OFF_ONE_IN: u32 = 5;

/// How often each is drawn where requests go over Redis: mostly those that are on that way alone, and the hub.
const WEIGHTS: [(Target, u32); 5] = [
    (Target::Redis, 4),
    (Target::Role(Role::Bridge), 4),
    (Target::Role(Role::Hub), 4),
    (Target::Role(Role::Mint), 1),
    (Target::Role(Role::Pool), 1),
];

/// Whom a blow can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Role(Role),
    Redis,
}

impl Target {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Target::Role(role) => role.name(),
            Target::Redis => "Redis",
        }
    }
}

/// Some processes killed at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blow {
    /// After the last blow's victims are back.
    pub quiet: Duration,
    /// In the order in which they are started again. Not empty.
    pub victims: Vec<Victim>,
}

/// One process's part in a blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Victim {
    pub target: Target,
    /// Before it is started again.
    pub away: Duration,
    /// When the start is cut off by a further kill, unless it is ready by then. Redis is spared.
    pub cut_off: Option<Duration>,
}

/// Blow after blow, without an end: the same ones for the same seed.
pub(super) struct Schedule {
    random: ChaCha8Rng,
    redis: bool,
}

impl Schedule {
    /// `redis`: with Redis and the bridge among the victims.
    pub(super) fn new(seed: u64, redis: bool) -> Schedule {
        Schedule {
            random: ChaCha8Rng::seed_from_u64(seed),
            redis,
        }
    }

    /// So many, each once.
    fn targets(&mut self, count: usize) -> Vec<Target> {
        if self.redis {
            let weight = |(_, weight): &(Target, u32)| *weight;
            let drawn = WEIGHTS.choose_multiple_weighted(&mut self.random, count, weight);
            // It fails for weights that are no weights.
            return drawn
                .map(|drawn| drawn.map(|(target, _)| *target).collect())
                .unwrap_or_default();
        }
        let mut roles = Role::ALL;
        roles.shuffle(&mut self.random);
        roles.into_iter().take(count).map(Target::Role).collect()
    }

    fn between(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_millis(self.random.gen_range(least..=most))
    }
}

impl Iterator for Schedule {
    type Item = Blow;

    fn next(&mut self) -> Option<Blow> {
        let quiet = self.between(QUIET_MS);
        // Mostly one alone: with two gone at once there is less that the third can do wrong.
        let count = *[1, 1, 1, 1, 2, 2, 3].choose(&mut self.random)?;
        let targets = self.targets(count);
        let victims = targets.into_iter().map(|target| Victim {
            target,
            away: self.between(AWAY_MS),
            cut_off: self
                .random
                .gen_ratio(1, CUT_OFF_ONE_IN)
                .then(|| self.between(TOO_EARLY_MS)),
        });
        let victims = victims.collect();
        Some(Blow { quiet, victims })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_blows_again_and_every_role_has_its_share_of_them() {
        let blows = |seed| Schedule::new(seed, false).take(60).collect::<Vec<_>>();
        assert_eq!(blows(7), blows(7));
        assert_ne!(blows(7), blows(8));
        let victims: Vec<Victim> = blows(7).into_iter().flat_map(|blow| blow.victims).collect();
        for role in Role::ALL {
            let of_role = victims
                .iter()
                .filter(|victim| victim.target == Target::Role(role));
            assert!(of_role.count() >= 10, "{role}: {victims:?}");
        }
        assert!(victims.iter().any(|victim| victim.cut_off.is_some()));
    }

    #[test]
    fn over_redis_its_way_is_hit_most_and_nobody_is_spared() {
        let blows: Vec<Blow> = Schedule::new(7, true).take(60).collect();
        let hits = |target| {
            let victims = blows.iter().flat_map(|blow| &blow.victims);
            victims.filter(|victim| victim.target == target).count()
        };
        for target in [
            Target::Redis,
            Target::Role(Role::Bridge),
            Target::Role(Role::Hub),
        ] {
            assert!(hits(target) >= 12, "{target:?}: {blows:?}");
        }
        for role in [Role::Mint, Role::Pool] {
            assert!(
                (1..=15).contains(&hits(Target::Role(role))),
                "{role}: {blows:?}"
            );
        }
        for blow in &blows {
            let mut names: Vec<&str> = blow.victims.iter().map(|it| it.target.name()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(
                names.len(),
                blow.victims.len(),
                "nobody dies twice: {blow:?}"
            );
        }
    }
}
