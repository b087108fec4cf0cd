use std::collections::{BTreeMap, HashMap, HashSet};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::legacy_mint::limits::ROUND_MAX;

const PUSH_AGAIN_MS: u64 = 60_000;

fn hash(number: u64) -> HeaderHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_le_bytes());
    hash
}

fn pool() -> Arc<str> {
    "pool/main".into()
}

/// Redis and an old mint that takes the newest entry, makes a quote of each, and may die in between.
#[derive(Default)]
struct OldMint {
    list: Vec<HeaderHash>,
    keys: HashSet<HeaderHash>,
    quotes: HashMap<HeaderHash, u32>,
    lost: u32,
}

impl OldMint {
    fn take(&mut self, rng: &mut ChaCha8Rng) {
        let Some(hash) = self.list.pop() else {
            return;
        };
        if rng.gen_ratio(1, 20) {
            self.lost += 1;
            return;
        }
        *self.quotes.entry(hash).or_default() += 1;
        self.keys.insert(hash);
    }
}

/// The bridge around [`Open`]: what its disk holds, and what it did.
struct Bridge {
    open: Open,
    /// In the order in which they came.
    rows: BTreeMap<u64, HeaderHash>,
    known: HashSet<HeaderHash>,
    looks: u64,
    pushed: HashMap<HeaderHash, Vec<u64>>,
}

impl Bridge {
    fn round(&mut self, mint: &mut OldMint, list_length_max: usize, now_ms: u64) {
        if mint.list.is_empty() {
            self.open.list_was_empty(now_ms);
        }
        for hash in self.open.looks_due(now_ms, ROUND_MAX) {
            self.looks += 1;
            match mint.keys.contains(&hash) {
                true => {
                    self.known.insert(hash);
                    self.open.done(&hash);
                }
                false => self.open.missing(&hash, now_ms),
            }
        }
        let mut due = self.open.pushes_due(ROUND_MAX);
        due.truncate(list_length_max.saturating_sub(mint.list.len()));
        for hash in &due {
            assert!(!mint.list.contains(hash), "it is in the list twice");
        }
        mint.list.extend(&due);
        for hash in &due {
            self.pushed.entry(*hash).or_default().push(now_ms);
        }
        self.open.pushed(&due, now_ms);
        let noted = self.open.notes_due(now_ms, ROUND_MAX);
        self.open.noted(&noted);
    }

    fn crash(&mut self, now_ms: u64) {
        self.open = Open::new(1, PUSH_AGAIN_MS, true);
        for hash in self.rows.values() {
            if !self.known.contains(hash) {
                self.open.resume(*hash, &pool(), now_ms);
            }
        }
    }
}

#[test]
fn whatever_dies_every_request_gets_its_id_and_one_quote_of_a_mint_that_makes_one_of_every_entry() {
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut mint = OldMint::default();
        let mut bridge = Bridge {
            open: Open::new(1, PUSH_AGAIN_MS, true),
            rows: BTreeMap::new(),
            known: HashSet::new(),
            looks: 0,
            pushed: HashMap::new(),
        };
        let (requests, crashes_max) = (300, 3);
        let (mut asked, mut crashes, mut now_ms) = (0, 0, 0);
        while bridge.known.len() < requests as usize {
            now_ms += rng.gen_range(1..50);
            assert!(
                now_ms < 6 * 3_600_000,
                "seed {seed}: {:?}",
                bridge.open.counts()
            );
            if asked < requests && rng.gen_ratio(1, 2) {
                let news = rng.gen_range(1..20).min(requests - asked);
                for number in asked..asked + news {
                    bridge.rows.insert(number, hash(number));
                    bridge.open.add(hash(number), &pool(), now_ms);
                }
                asked += news;
            }
            if crashes < crashes_max && rng.gen_ratio(1, 500) {
                crashes += 1;
                bridge.crash(now_ms);
            }
            bridge.round(&mut mint, 50, now_ms);
            for _ in 0..rng.gen_range(0..4) {
                mint.take(&mut rng);
            }
            // Time passes faster where nothing else happens.
            if asked == requests && mint.list.is_empty() {
                now_ms = now_ms.max(bridge.open.next_due_ms().unwrap_or(now_ms));
            }
        }
        let again: usize = bridge.pushed.values().map(|times| times.len() - 1).sum();
        assert_eq!(again, mint.lost as usize, "seed {seed}");
        for (hash, times) in &bridge.pushed {
            let soon = times
                .windows(2)
                .filter(|two| two[1] - two[0] < PUSH_AGAIN_MS);
            assert_eq!(soon.count(), 0, "seed {seed}: {hash:?} {times:?}");
        }
        assert_eq!(mint.quotes.len() as u64, requests);
        assert!(mint.quotes.values().all(|quotes| *quotes == 1));
        assert_eq!(bridge.open.counts(), OpenCounts::default());
        assert_eq!(
            bridge.open.next_due_ms(),
            None,
            "seed {seed}: nothing is left over"
        );
    }
}

#[test]
fn what_is_missing_for_long_is_looked_for_seldom_and_pushed_ever_more_seldom() {
    let mut open = Open::new(1, PUSH_AGAIN_MS, true);
    open.add(hash(1), &pool(), 0);
    let (mut now_ms, mut looks, mut pushes) = (0, 0, Vec::new());
    let day_ms = 86_400_000;
    while now_ms < day_ms {
        for hash in open.looks_due(now_ms, 10) {
            looks += 1;
            open.missing(&hash, now_ms);
        }
        open.list_was_empty(now_ms);
        let due = open.pushes_due(10);
        pushes.extend(due.iter().map(|_| now_ms));
        open.pushed(&due, now_ms);
        let notes = open.notes_due(now_ms, 10);
        open.noted(&notes);
        now_ms = open.next_due_ms().unwrap().max(now_ms + 1);
    }
    let pauses: Vec<u64> = pushes
        .windows(2)
        .map(|two| (two[1] - two[0]) / 60_000)
        .collect();
    assert_eq!(pauses[..7], [1, 2, 4, 8, 16, 32, 32]);
    assert!((17_000..19_000).contains(&looks), "{looks}");
}

#[test]
fn one_pool_whose_requests_get_no_id_leaves_the_others_their_part() {
    let mut open = Open::new(2, PUSH_AGAIN_MS, true);
    let (bad, good): (Arc<str>, Arc<str>) = ("pool/bad".into(), "pool/good".into());
    let part = open.room(&bad);
    for number in 0..part as u64 {
        open.add(hash(number), &bad, 0);
    }
    assert_eq!(open.room(&bad), 0);
    assert_eq!(open.room(&good), OPEN_MAX / 2);
    open.done(&hash(0));
    assert_eq!(open.room(&bad), 1);
}

#[test]
fn first_sent_is_first_pushed() {
    let mut open = Open::new(1, PUSH_AGAIN_MS, false);
    for number in [7, 3, 9, 1] {
        open.add(hash(number), &pool(), 5);
    }
    assert_eq!(open.pushes_due(3), [hash(7), hash(3), hash(9)]);
    open.pushed(&[hash(7), hash(3)], 6);
    assert_eq!(open.pushes_due(3), [hash(9), hash(1)]);
    assert_eq!(
        open.counts().open,
        2,
        "a mint that tells no ids has had the others"
    );
}

#[test]
fn what_may_be_in_the_list_still_is_not_pushed_again_however_long_it_has_no_id() {
    let mut open = Open::new(1, PUSH_AGAIN_MS, true);
    open.add(hash(1), &pool(), 0);
    // Left by an earlier process, and perhaps pushed by it.
    open.resume(hash(2), &pool(), 0);
    let none = Vec::<HeaderHash>::new();
    assert_eq!(open.pushes_due(10), none, "not before it was looked for");
    for due in open.looks_due(0, 10) {
        open.missing(&due, 0);
    }
    assert_eq!(open.pushes_due(10), [hash(1)]);
    open.pushed(&[hash(1)], 1);
    let look = |open: &mut Open, now_ms| {
        for due in open.looks_due(now_ms, 10) {
            open.missing(&due, now_ms);
        }
        open.pushes_due(10)
    };
    let day_ms = 86_400_000;
    assert_eq!(look(&mut open, day_ms), none);
    open.list_was_empty(day_ms);
    assert_eq!(look(&mut open, day_ms + PUSH_AGAIN_MS - 1), none);
    assert_eq!(open.unanswered(day_ms + 4_999, 5_000), 0);
    assert_eq!(open.unanswered(day_ms + 5_000, 5_000), 2);
    let again = look(&mut open, day_ms + 2 * PUSH_AGAIN_MS);
    assert_eq!(again, [hash(1), hash(2)]);
}
