use rand::{Rng, RngCore};

/// A pause that doubles with each failed attempt, with jitter so that many peers of a hub that
/// comes back do not come back in step: between half of `min_ms << attempts`, bounded by `max_ms`,
/// and all of it.
pub(crate) fn backoff_ms(attempts: u32, min_ms: u64, max_ms: u64, rng: &mut dyn RngCore) -> u64 {
    let top_ms = min_ms.saturating_mul(1 << attempts.min(32)).min(max_ms);
    rng.gen_range(top_ms / 2..=top_ms)
}

/// `delay_ms` and up to a quarter more, for a delay that somebody else has asked for.
pub(crate) fn with_jitter_ms(delay_ms: u64, rng: &mut dyn RngCore) -> u64 {
    delay_ms.saturating_add(rng.gen_range(0..=delay_ms / 4))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_are_not_in_step() {
        let mut rng = StdRng::seed_from_u64(1);
        for (attempts, top_ms) in [(0, 200), (1, 400), (4, 3_200), (7, 15_000), (4_000, 15_000)] {
            let pauses: Vec<u64> = (0..50)
                .map(|_| backoff_ms(attempts, 200, 15_000, &mut rng))
                .collect();
            assert!(pauses.iter().all(|p| (top_ms / 2..=top_ms).contains(p)));
            assert!(pauses.iter().any(|p| *p != pauses[0]));
        }
    }
}
