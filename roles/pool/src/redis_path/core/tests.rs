use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const AGAIN_MS: u64 = 60_000;
const AWAY_MS: u64 = 3_000;
/// Rows read at a time.
const PAGE: usize = 4;

/// A pool, its store and a list, on a clock of their own.
struct World {
    now: Now,
    rules: Rules,
    core: RedisPathCore,
    /// On disk: what waits, and when it was pushed.
    waiting: BTreeMap<u64, Option<SeenPush>>,
    settled: BTreeSet<u64>,
    /// Quotes that the mint has written down.
    ids: BTreeSet<u64>,
    hub: bool,
    hub_gone_at_ms: Option<u64>,
    room: usize,
    /// When each was pushed, in order.
    pushes: Vec<(u64, u64)>,
    looks: u64,
    given_up: BTreeSet<u64>,
}

impl World {
    fn new(while_away_for_ms: Option<u64>) -> World {
        let now = Now {
            ms: 0,
            unix_ms: 1_700_000_000_000,
        };
        let rules = Rules {
            while_away_for_ms,
            push_again_after_ms: AGAIN_MS,
        };
        World {
            now,
            rules,
            core: RedisPathCore::new(rules, now),
            waiting: BTreeMap::new(),
            settled: BTreeSet::new(),
            ids: BTreeSet::new(),
            hub: false,
            hub_gone_at_ms: Some(0),
            room: usize::MAX,
            pushes: Vec::new(),
            looks: 0,
            given_up: BTreeSet::new(),
        }
    }

    fn accept(&mut self, sequence: u64) {
        self.waiting.insert(sequence, None);
        self.core.nudged();
    }

    fn set_hub(&mut self, hub: bool) {
        if hub != self.hub {
            self.hub_gone_at_ms = (!hub).then_some(self.now.ms);
        }
        self.hub = hub;
    }

    fn restart(&mut self) {
        self.core = RedisPathCore::new(self.rules, self.now);
        self.hub_gone_at_ms = (!self.hub).then_some(self.now.ms);
    }

    fn pushed(&self) -> Vec<u64> {
        self.pushes.iter().map(|(_, sequence)| *sequence).collect()
    }

    fn run(&mut self, for_ms: u64) {
        let end = self.now.ms + for_ms;
        let mut idle = 0;
        loop {
            self.core.hub(self.hub, self.now);
            match self.core.next(self.now) {
                Next::Push { after } => self.push(after),
                Next::Look { after } => self.look(after),
                Next::Wait { until_ms } if until_ms > end => break,
                Next::Wait { until_ms } => {
                    assert!(until_ms >= self.now.ms);
                    self.now.unix_ms += until_ms - self.now.ms;
                    self.now.ms = until_ms;
                    idle = 0;
                    continue;
                }
            }
            idle += 1;
            assert!(idle < 10_000, "it never comes to rest");
        }
        self.now.unix_ms += end - self.now.ms;
        self.now.ms = end;
    }

    fn push(&mut self, after: u64) {
        let rows = self.waiting.range(after + 1..).take(PAGE);
        let page: Vec<Seen> = rows
            .map(|(sequence, pushed)| Seen {
                sequence: *sequence,
                pushed: *pushed,
                may_go: true,
            })
            .collect();
        let selected = self.core.select(&page, self.now);
        let new = selected.new.len().min(self.room);
        self.room -= new;
        let pushed = selected.new.iter().take(new).chain(&selected.again);
        for place in pushed {
            let Seen {
                sequence, pushed, ..
            } = page[*place];
            let push = SeenPush {
                unix_ms: self.now.unix_ms,
                times: pushed.map_or(0, |last| last.times) + 1,
                is_same_keyset: true,
            };
            self.waiting.insert(sequence, Some(push));
            self.pushes.push((self.now.ms, sequence));
        }
        let over = selected.over.iter().map(|place| page[*place].sequence);
        self.given_up.extend(over);
        let is_last = page.len() < PAGE;
        self.core.pushed(&page, &selected, new, is_last, self.now);
    }

    fn look(&mut self, after: u64) {
        self.looks += 1;
        let rows = self.waiting.range(after + 1..);
        let open = rows.filter(|(_, pushed)| pushed.is_some()).take(PAGE);
        let page: Vec<u64> = open.map(|(sequence, _)| *sequence).collect();
        let mut has_news = false;
        for sequence in &page {
            if self.ids.contains(sequence) {
                self.waiting.remove(sequence);
                assert!(self.settled.insert(*sequence));
                has_news = true;
            }
        }
        let last = page.last().copied();
        let is_last = page.len() < PAGE;
        self.core.looked(last, has_news, is_last, self.now);
    }
}

#[test]
fn what_waits_is_pushed_in_order_and_again_when_no_quote_comes_of_it() {
    let mut pool = World::new(None);
    (1..=10).for_each(|sequence| pool.accept(sequence));
    pool.run(AGAIN_MS - 1_000);
    assert_eq!(pool.pushed(), (1..=10).collect::<Vec<_>>());
    pool.ids.extend([1, 2, 3, 4, 5, 6, 8, 9, 10]);
    pool.restart();
    pool.run(500);
    assert_eq!(pool.settled.len(), 9);
    assert_eq!(pool.pushes.len(), 10, "a restart pushes nothing again");

    pool.run(AGAIN_MS);
    assert_eq!(pool.pushed()[10..], [7]);
    pool.ids.insert(7);
    pool.run(500);
    assert!(pool.waiting.is_empty());
    let looks = pool.looks;
    pool.run(600_000);
    assert!(pool.looks <= looks + 2, "there is nothing to look for");
}

#[test]
fn a_full_list_holds_up_what_is_new_and_no_quote() {
    let mut pool = World::new(None);
    pool.room = 6;
    (1..=20).for_each(|sequence| pool.accept(sequence));
    pool.run(1_000);
    assert_eq!(pool.pushed(), [1, 2, 3, 4, 5, 6]);
    pool.ids.extend(1..=6);
    pool.run(1_000);
    assert_eq!(pool.settled.len(), 6);
    pool.room = 100;
    pool.run(1_000);
    assert_eq!(pool.pushed(), (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_fallback_is_used_only_after_the_hub_has_been_away_for_a_while() {
    let mut pool = World::new(Some(AWAY_MS));
    pool.set_hub(true);
    pool.run(10);
    (1..=3).for_each(|sequence| pool.accept(sequence));
    pool.run(100_000);
    assert!(pool.pushes.is_empty());

    pool.set_hub(false);
    pool.run(AWAY_MS - 200);
    pool.set_hub(true);
    pool.run(5_000);
    assert!(pool.pushes.is_empty(), "it was back in time");

    pool.set_hub(false);
    pool.run(AWAY_MS + 200);
    assert_eq!(pool.pushed(), [1, 2, 3]);
    pool.set_hub(true);
    pool.accept(4);
    pool.ids.extend([1, 2]);
    pool.run(2 * AGAIN_MS);
    assert_eq!(pool.pushes.len(), 3, "neither 4 nor 3 again");
    assert_eq!(pool.settled.len(), 2, "what was found there counts");
}

#[test]
fn a_request_that_is_refused_each_time_is_pushed_less_and_less_often_and_given_up() {
    let mut pool = World::new(None);
    pool.accept(1);
    pool.run(100 * AGAIN_MS);
    assert!(pool.pushes.len() <= 8, "{:?}", pool.pushes);
    pool.run(7 * 86_400_000);
    assert_eq!(pool.pushes.len(), REDIS_PUSHES_MAX as usize);
    let times: Vec<u64> = pool.pushes.iter().map(|(at_ms, _)| *at_ms).collect();
    let pauses: Vec<u64> = times.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(pauses.is_sorted_by_key(|pause_ms| pause_ms / 1_000));
    assert!(
        pauses
            .iter()
            .all(|pause_ms| *pause_ms < 2 * REDIS_PUSH_AGAIN_MS_MAX)
    );
    assert_eq!(pool.given_up, [1].into());
}

#[test]
fn what_was_pushed_to_a_mint_is_not_pushed_again_to_another() {
    let mut pool = World::new(None);
    (1..=3).for_each(|sequence| pool.accept(sequence));
    pool.run(1_000);
    for pushed in pool.waiting.values_mut().take(2) {
        pushed.as_mut().unwrap().is_same_keyset = false;
    }
    pool.accept(4);
    pool.run(AGAIN_MS - 2_000);
    assert!(pool.given_up.is_empty(), "its quote may be on the way");
    pool.run(2 * AGAIN_MS);
    assert_eq!(pool.given_up, [1, 2].into());
    assert_eq!(pool.pushed()[..5], [1, 2, 3, 4, 3]);
    assert!(pool.pushed()[5..].iter().all(|sequence| *sequence > 2));
}

#[test]
fn a_clock_that_is_set_back_stops_no_repetition() {
    let mut pool = World::new(None);
    pool.accept(1);
    pool.run(100);
    pool.now.unix_ms -= 86_400_000;
    pool.run(2 * AGAIN_MS);
    assert!(pool.pushes.len() >= 2);
}

/// Shares come, the mint answers some and loses others, hub and pool come and go, the list fills and empties.
#[test]
fn whatever_happens_each_is_settled_and_none_is_pushed_too_soon_or_too_often() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut pool = World::new(rng.gen_bool(0.5).then_some(AWAY_MS));
        let mut last = 0;
        for _ in 0..60 {
            match rng.gen_range(0..7) {
                0..=1 => {
                    for _ in 0..rng.gen_range(0..10) {
                        last += 1;
                        pool.accept(last);
                    }
                }
                2 => pool.ids.extend(
                    (pool.pushes.iter().map(|(_, sequence)| *sequence))
                        .filter(|_| rng.gen_bool(0.5)),
                ),
                3 => pool.restart(),
                4 => pool.set_hub(rng.gen_bool(0.5)),
                _ => pool.room = rng.gen_range(0..20),
            }
            let before = pool.pushes.len();
            let gone_at_ms = pool.hub_gone_at_ms;
            let hub = pool.hub;
            pool.run(rng.gen_range(1..20_000));
            for (at_ms, _) in &pool.pushes[before..] {
                let away_ms = gone_at_ms.map(|gone| at_ms - gone);
                let in_time = away_ms.is_some_and(|away_ms| !hub && away_ms >= AWAY_MS);
                assert!(pool.rules.while_away_for_ms.is_none() || in_time, "{seed}");
            }
        }
        let mut pushed: BTreeMap<u64, u64> = BTreeMap::new();
        let mut newest = 0;
        for (at_ms, sequence) in &pool.pushes {
            match pushed.insert(*sequence, *at_ms) {
                Some(before) => assert!(at_ms - before >= AGAIN_MS, "{seed}: {sequence}"),
                None => {
                    assert!(*sequence > newest, "{seed}: {sequence} after {newest}");
                    newest = *sequence;
                }
            }
        }
        pool.set_hub(false);
        pool.room = usize::MAX;
        pool.run(AWAY_MS + 1_000);
        pool.ids.extend(1..=last);
        pool.run(2 * AGAIN_MS);
        assert_eq!(pool.settled.len() as u64, last, "{seed}");
        assert!(pool.waiting.is_empty(), "{seed}");
    }
}
