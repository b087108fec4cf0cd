use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::session::Credit;

const SCHEDULE: Schedule = Schedule {
    window: 4,
    held_max: 16,
    timeout_ms: 1_000,
    timeout_max_ms: 8_000,
    resend_max: 2,
    delay_ms: 100,
    delay_max_ms: 60_000,
    rejects_max: 3,
};

const NOTHING: [u64; 0] = [];

const PLENTY: Credit = Credit {
    messages: 1_000,
    bytes: 1_000_000,
};

/// A requester whose mint is there, on a clock of its own.
struct Pool {
    core: RequesterCore,
    rng: StdRng,
    now_ms: u64,
    ordinal: u64,
}

impl Pool {
    fn with_requests(requests: u64) -> Pool {
        let mut pool = Pool {
            core: RequesterCore::new(SCHEDULE),
            rng: StdRng::seed_from_u64(7),
            now_ms: 0,
            ordinal: 0,
        };
        for sequence in 1..=requests {
            assert!(pool.core.hold(sequence, 100));
        }
        pool.core.presence(Some(1));
        pool
    }

    /// Sends all that may be sent.
    fn send(&mut self) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(sequence) = self.core.next_to_send(PLENTY) {
            self.ordinal += 1;
            self.core.sent(sequence, self.ordinal, self.now_ms);
            sent.push(sequence);
        }
        sent
    }

    fn answer(&mut self, sequence: u64) {
        assert!(self.core.answered(sequence, self.now_ms));
        self.core.committed(sequence);
    }

    fn pass(&mut self, ms: u64) -> bool {
        self.now_ms += ms;
        self.core.handle_timeout(self.now_ms, &mut self.rng)
    }

    /// Waits for the next time-out, and says how long that took.
    fn wait(&mut self) -> (u64, bool) {
        let at_ms = self.core.next_timeout_ms().expect("something is awaited");
        let waited_ms = at_ms - self.now_ms;
        (waited_ms, self.pass(waited_ms))
    }
}

#[test]
fn a_mint_that_answers_keeps_the_window_full_and_gets_nothing_twice() {
    let mut pool = Pool::with_requests(10);
    assert_eq!(pool.send(), [1, 2, 3, 4]);
    assert_eq!(pool.send(), NOTHING);
    pool.pass(900);
    pool.answer(3);
    assert_eq!(pool.send(), [5]);
    // 1, 2 and 4 are older than the time-out, but the mint is at work.
    assert!(!pool.pass(900));
    assert_eq!(pool.send(), NOTHING);
}

#[test]
fn a_mint_that_stops_answering_gets_the_oldest_again_ever_more_rarely() {
    let mut pool = Pool::with_requests(10);
    pool.send();
    let (waited_ms, no_progress) = pool.wait();
    assert_eq!((waited_ms, no_progress), (1_000, true));
    assert_eq!(pool.send(), [1, 2]);
    let mut last_ms = 0;
    for _ in 0..6 {
        let (waited_ms, no_progress) = pool.wait();
        assert!(no_progress && (1_000..=8_000).contains(&waited_ms));
        assert_eq!(pool.send(), [1, 2]);
        last_ms = waited_ms;
    }
    assert!(last_ms >= 4_000, "{last_ms}");

    // It is back: patience starts anew, and what it lost comes again in time.
    pool.answer(1);
    assert_eq!(pool.send(), [5]);
    assert_eq!(pool.wait(), (1_000, true));
    assert_eq!(pool.send(), [2, 3]);
}

#[test]
fn what_a_restarted_mint_may_have_lost_is_sent_again_at_once() {
    let mut pool = Pool::with_requests(6);
    pool.send();
    pool.answer(2);
    pool.core.presence(None);
    assert_eq!(pool.send(), NOTHING);
    assert_eq!(pool.core.next_timeout_ms(), None);
    pool.core.presence(Some(2));
    assert_eq!(pool.send(), [1, 3, 4, 5]);
    // The notice of its absence was merged away: the number alone tells.
    pool.core.presence(Some(3));
    assert_eq!(pool.send(), [1, 3, 4, 5]);
    // The same instance again is no news.
    pool.core.presence(Some(3));
    assert_eq!(pool.send(), NOTHING);
}

#[test]
fn a_request_that_is_put_off_waits_as_long_as_was_asked_and_lets_others_pass() {
    let mut pool = Pool::with_requests(6);
    pool.send();
    for sequence in 1..=4 {
        assert!(
            pool.core
                .put_off(sequence, 30_000, pool.now_ms, &mut pool.rng)
        );
    }
    assert_eq!(pool.send(), [5, 6]);
    pool.answer(5);
    pool.answer(6);
    // A restart of the mint does not cut the delay short: it is the mint's own wish.
    pool.core.presence(Some(2));
    assert_eq!(pool.send(), NOTHING);
    pool.pass(29_999);
    assert_eq!(pool.send(), NOTHING);
    pool.pass(8_000);
    assert_eq!(pool.send(), [1, 2, 3, 4]);
}

#[test]
fn a_mint_that_was_long_unavailable_is_asked_as_soon_as_it_says() {
    let mut pool = Pool::with_requests(1);
    for _ in 0..50 {
        assert_eq!(pool.send(), [1]);
        assert!(pool.core.put_off(1, 1_000, pool.now_ms, &mut pool.rng));
        let (waited_ms, _) = pool.wait();
        assert!((1_000..=1_250).contains(&waited_ms), "{waited_ms}");
    }
}

#[test]
fn a_disk_that_was_long_full_keeps_no_answer_away_for_longer_than_a_silent_mint() {
    let mut pool = Pool::with_requests(1);
    let mut last_ms = 0;
    for _ in 0..50 {
        assert_eq!(pool.send(), [1]);
        assert!(pool.core.answered(1, pool.now_ms));
        pool.core.not_committed(1, pool.now_ms, &mut pool.rng);
        last_ms = pool.wait().0;
        assert!(last_ms <= SCHEDULE.timeout_max_ms, "{last_ms}");
    }
    assert!(last_ms >= SCHEDULE.timeout_max_ms / 2, "{last_ms}");
}

#[test]
fn a_request_that_was_lost_alone_comes_again_although_the_mint_is_at_work() {
    let mut pool = Pool::with_requests(16);
    assert_eq!(pool.send(), [1, 2, 3, 4]);
    // Somebody swallowed the first one; all others are answered.
    for sequence in 2..=10 {
        assert!(!pool.pass(800));
        pool.answer(sequence);
        assert_eq!(pool.send(), [sequence + 3], "at {} ms", pool.now_ms);
    }
    assert!(!pool.pass(800));
    assert_eq!(pool.send(), [1]);
    pool.answer(1);
}

#[test]
fn a_mint_that_was_silent_for_long_is_not_buried_when_it_is_back() {
    let mut pool = Pool::with_requests(4);
    pool.send();
    while pool.now_ms < 10 * SCHEDULE.timeout_max_ms {
        assert!(pool.wait().1);
        assert_eq!(pool.send(), [1, 2]);
    }
    pool.answer(1);
    assert_eq!(pool.wait(), (SCHEDULE.timeout_ms, true));
    assert_eq!(pool.send(), [2, 3]);
}

#[test]
fn a_reject_delays_and_what_the_hub_never_takes_is_to_be_parked() {
    let mut pool = Pool::with_requests(2);
    pool.send();
    let (now_ms, rng) = (pool.now_ms, &mut pool.rng);
    let rejected = pool.core.rejected(1, RejectKind::Passing, now_ms, rng);
    assert_eq!(
        rejected,
        Some(Rejected {
            sequence: 1,
            park: false
        })
    );
    // The mint is there anew, so the delay for its absence is over.
    pool.core.presence(Some(2));
    assert_eq!(pool.send(), [1, 2]);

    for tries in 1..=3 {
        let rejected = pool
            .core
            .rejected(
                pool.ordinal,
                RejectKind::Lasting,
                pool.now_ms,
                &mut pool.rng,
            )
            .unwrap();
        assert_eq!((rejected.sequence, rejected.park), (2, tries == 3));
        if !rejected.park {
            pool.pass(400);
            assert_eq!(pool.send(), [2]);
        }
    }
    pool.core.forget(2);
    // A reject that comes late is about nothing.
    let (now_ms, rng) = (pool.now_ms, &mut pool.rng);
    assert_eq!(
        pool.core.rejected(4, RejectKind::Lasting, now_ms, rng),
        None
    );
}

#[test]
fn an_answer_counts_once_and_one_that_was_not_recorded_is_asked_for_again() {
    let mut pool = Pool::with_requests(1);
    pool.send();
    assert!(pool.core.answered(1, pool.now_ms));
    assert!(!pool.core.answered(1, pool.now_ms));
    // The mint restarts while the answer is being recorded: nothing to send.
    pool.core.presence(Some(2));
    assert_eq!(pool.send(), NOTHING);

    pool.core.not_committed(1, pool.now_ms, &mut pool.rng);
    assert_eq!(pool.send(), NOTHING);
    pool.pass(100);
    assert_eq!(pool.send(), [1]);
    pool.answer(1);
    assert_eq!(pool.core.held(), 0);
    assert_eq!(pool.core.next_timeout_ms(), None);
}

#[test]
fn credit_is_kept_to_in_bytes_as_well() {
    let mut pool = Pool::with_requests(2);
    let credit = |messages, bytes| Credit { messages, bytes };
    assert_eq!(pool.core.next_to_send(credit(1, 99)), None);
    assert_eq!(pool.core.next_to_send(credit(0, 100)), None);
    assert_eq!(pool.core.next_to_send(credit(1, 100)), Some(1));
    pool.core.lost();
    assert_eq!(pool.core.next_to_send(credit(1, 100)), None);
}

#[derive(Clone, Debug)]
enum Op {
    Hold,
    Send { messages: u64 },
    Answer { pick: usize, recorded: bool },
    PutOff { pick: usize, retry_after_ms: u64 },
    Reject { pick: usize, lasting: bool },
    Overflow,
    Presence(Option<u64>),
    Lost,
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Hold),
        4 => (0..6u64).prop_map(|messages| Op::Send { messages }),
        3 => (any::<usize>(), prop::bool::weighted(0.8))
            .prop_map(|(pick, recorded)| Op::Answer { pick, recorded }),
        2 => (any::<usize>(), 0..50_000u64)
            .prop_map(|(pick, retry_after_ms)| Op::PutOff { pick, retry_after_ms }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(pick, lasting)| Op::Reject { pick, lasting }),
        1 => Just(Op::Overflow),
        2 => prop::option::of(1..4u64).prop_map(Op::Presence),
        1 => Just(Op::Lost),
        3 => (0..5_000u64).prop_map(Op::Pass),
    ]
}

proptest! {
    /// Whatever happens, in whatever order: nothing is sent beyond window and credit, nothing to a
    /// peer that is away, nothing that is being recorded; and as soon as the mint answers, every
    /// request gets its answer.
    #[test]
    fn no_request_is_forgotten(seed in any::<u64>(), ops in prop::collection::vec(op(), 0..150)) {
        let mut core = RequesterCore::new(SCHEDULE);
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut now_ms, mut ordinal, mut next) = (0, 0, 1);
        let mut present = None;
        // Requests that have no recorded answer.
        let mut open: BTreeMap<u64, bool> = BTreeMap::new();
        let mut sent: Vec<(u64, u64)> = Vec::new();

        for op in ops {
            match op {
                Op::Hold => {
                    let room = core.room() > 0;
                    prop_assert_eq!(core.hold(next, 100), room);
                    if room {
                        open.insert(next, false);
                        next += 1;
                    }
                }
                Op::Send { messages } => {
                    let mut credit = Credit { messages, bytes: 450 };
                    while let Some(sequence) = core.next_to_send(credit) {
                        prop_assert!(present.is_some());
                        prop_assert!(credit.messages > 0 && credit.bytes >= 100);
                        prop_assert!(open.contains_key(&sequence));
                        credit.messages -= 1;
                        credit.bytes -= 100;
                        ordinal += 1;
                        core.sent(sequence, ordinal, now_ms);
                        sent.push((sequence, ordinal));
                        prop_assert!(core.unanswered() <= SCHEDULE.window);
                    }
                }
                Op::Answer { pick, recorded } => {
                    if let Some((sequence, _)) = sent.get(pick % sent.len().max(1)).copied() {
                        // A repeated answer of an ended request must have no effect.
                        prop_assert_eq!(core.answered(sequence, now_ms), open.contains_key(&sequence));
                        if open.contains_key(&sequence) {
                            if recorded {
                                core.committed(sequence);
                                open.remove(&sequence);
                            } else {
                                core.not_committed(sequence, now_ms, &mut rng);
                            }
                        }
                    }
                }
                Op::PutOff { pick, retry_after_ms } => {
                    if let Some((sequence, _)) = sent.get(pick % sent.len().max(1)).copied() {
                        core.put_off(sequence, retry_after_ms, now_ms, &mut rng);
                    }
                }
                Op::Reject { pick, lasting } => {
                    if let Some((_, ordinal)) = sent.get(pick % sent.len().max(1)).copied() {
                        let kind = if lasting { RejectKind::Lasting } else { RejectKind::Passing };
                        if let Some(rejected) = core.rejected(ordinal, kind, now_ms, &mut rng)
                            && rejected.park
                        {
                            core.forget(rejected.sequence);
                            open.remove(&rejected.sequence);
                        }
                    }
                }
                Op::Overflow => core.rejects_overflowed(now_ms, &mut rng),
                Op::Presence(instance) => {
                    core.presence(instance);
                    present = instance;
                }
                Op::Lost => {
                    core.lost();
                    present = None;
                    ordinal = 0;
                    sent.clear();
                }
                Op::Pass(ms) => {
                    now_ms += ms;
                    core.handle_timeout(now_ms, &mut rng);
                }
            }
            prop_assert_eq!(core.held(), open.len());
        }

        // From now on the mint answers everything, but everything sent before may be lost.
        core.presence(Some(9));
        let mut turns = 0;
        while !open.is_empty() {
            turns += 1;
            prop_assert!(turns < 1_000, "stuck with {:?}", open);
            while let Some(sequence) = core.next_to_send(PLENTY) {
                ordinal += 1;
                core.sent(sequence, ordinal, now_ms);
                prop_assert!(core.answered(sequence, now_ms));
                core.committed(sequence);
                open.remove(&sequence);
            }
            if let Some(at_ms) = core.next_timeout_ms() {
                now_ms = now_ms.max(at_ms);
                core.handle_timeout(now_ms, &mut rng);
            }
        }
        prop_assert_eq!(core.held(), 0);
        prop_assert_eq!(core.next_timeout_ms(), None);
    }
}
