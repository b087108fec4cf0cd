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

/// Some roles killed at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blow {
    /// After the last blow's roles are back.
    pub quiet: Duration,
    /// In the order in which they are started again. Not empty.
    pub victims: Vec<Victim>,
}

/// One role's part in a blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Victim {
    pub role: Role,
    /// Before it is started again.
    pub away: Duration,
    /// When the start is cut off by a further kill, unless the role is ready by then.
    pub cut_off: Option<Duration>,
}

/// Blow after blow, without an end: the same ones for the same seed.
pub(super) struct Schedule {
    random: ChaCha8Rng,
}

impl Schedule {
    pub(super) fn new(seed: u64) -> Schedule {
        Schedule {
            random: ChaCha8Rng::seed_from_u64(seed),
        }
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
        let mut roles = Role::ALL;
        roles.shuffle(&mut self.random);
        let victims = roles.into_iter().take(count).map(|role| Victim {
            role,
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
        let blows = |seed| Schedule::new(seed).take(60).collect::<Vec<_>>();
        assert_eq!(blows(7), blows(7));
        assert_ne!(blows(7), blows(8));
        let victims: Vec<Victim> = blows(7).into_iter().flat_map(|blow| blow.victims).collect();
        for role in Role::ALL {
            let of_role = victims.iter().filter(|victim| victim.role == role);
            assert!(of_role.count() >= 10, "{role}: {victims:?}");
        }
        assert!(victims.iter().any(|victim| victim.cut_off.is_some()));
    }
}
