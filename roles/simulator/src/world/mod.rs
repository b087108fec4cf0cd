//! One run: hub, pools, mint and enemies on one clock and one seed.

mod backups;
mod clients;
mod enemies;
mod faults;
mod groups;
mod hub;
mod promises;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use winze_client::delivery::Now;
use winze_hub::core::{ConnId, HubCore};

use crate::cast::{MEMBERS, MEMBERS_USUALLY, POOLS};
use crate::coverage::Coverage;
use crate::evil::Evil;
use crate::fault::{Allowed, Chances};
use crate::ledger::Ledger;
use crate::liar::Liar;
use crate::member::Member;
use crate::mint::Mint;
use crate::net::Link;
use crate::opener::Opener;
use crate::pool::Pool;
use crate::sabotage::Sabotage;
use crate::truth::Truth;
use backups::Backups;

/// When a run begins, as Unix time in milliseconds.
const BEGIN_UNIX_MS: u64 = 1_700_000_000_000;

/// How long a quiet period may last before every request must have its answer, in milliseconds:
/// the longest pauses (an identity that changed hands too often, a channel that was refused, an
/// answer that could not be recorded) one after the other.
const QUIET_MS: u64 = 300_000;

/// How long the last messages take to arrive, in milliseconds.
const SETTLES_MS: u64 = 6_000;

/// Lines of a story's end that are kept.
const STORY_LINES: usize = 60;

/// Hostile connections at a time.
const EVIL_MAX: usize = 18;

/// What a run is made from: the same plan gives the same run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The source of all chance.
    pub seed: u64,
    /// Steps with faults, before the quiet period.
    pub steps: u64,
    /// Which faults happen.
    pub allowed: Allowed,
    /// The rule that is broken.
    pub sabotage: Option<Sabotage>,
    /// Whether to keep the story.
    pub tell: bool,
}

/// What came of it.
pub struct Outcome {
    /// The promise that was broken.
    pub violation: Option<String>,
    /// The end of the story, where it was to be told.
    pub story: Vec<String>,
    /// How often each kind of fault happened.
    pub faults: Vec<u64>,
    /// What was exercised.
    pub coverage: Coverage,
    /// Requests that were promised.
    pub requests: u64,
    /// Messages of the chat that arrived.
    pub chat: u64,
    /// Messages to a group or its members that arrived, and of which the opener was told that they
    /// did not.
    pub group: [u64; 2],
}

/// See the [module](self).
pub struct World {
    plan: Plan,
    rng: ChaCha8Rng,
    chances: Chances,
    now_ms: u64,
    step: u64,
    hub: Option<HubCore>,
    hub_starts_at_ms: u64,
    hub_stops_at_ms: Option<u64>,
    hub_ticked_ms: u64,
    struck_off: Vec<&'static str>,
    relists_at_ms: u64,
    has_more: BTreeSet<ConnId>,
    last_conn: u64,
    links: Vec<Link>,
    pools: Vec<Pool>,
    mint: Mint,
    opener: Opener,
    members: Vec<Member>,
    /// Who is in the group at present, and when that is again as usual.
    group: Vec<&'static str>,
    regroups_at_ms: u64,
    /// When the hub has read its list for the last time.
    listed_at_ms: u64,
    evil: Vec<Evil>,
    truth: Truth,
    ledger: Ledger,
    /// What must be noticed of stores that were set back, for each pool.
    backups: Backups,
    /// When the last fault was over.
    calm_since_ms: Option<u64>,
    /// Which connection each name has, as the hub says, and as which instance.
    present: BTreeMap<String, (ConnId, u64)>,
    /// For each connection, for each channel that has a message: which others were served since.
    passed_over: BTreeMap<ConnId, BTreeMap<u32, BTreeSet<u32>>>,
    liar: Option<Liar>,
    /// Whether this hub never lies. What a liar has sent may have its effects after its last lie.
    is_honest: bool,
    coverage: Coverage,
    story: VecDeque<String>,
}

/// Makes a run.
pub fn run(plan: Plan) -> Outcome {
    let mut world = World::new(plan);
    let violation = world.play().err();
    crate::sabotage::mend();
    Outcome {
        violation,
        story: world.story.into(),
        faults: world.chances.counts,
        coverage: world.coverage,
        requests: world.truth.promised.len() as u64,
        chat: world.mint.chat_received(),
        group: [world.ledger.received, world.ledger.told],
    }
}

impl World {
    fn new(plan: Plan) -> World {
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        // Every third hub lies.
        let liar = rng.gen_ratio(1, 3).then(Liar::default);
        World {
            chances: Chances::new(plan.seed, plan.allowed),
            plan,
            rng,
            now_ms: 1_000,
            step: 0,
            hub: None,
            hub_starts_at_ms: 0,
            hub_stops_at_ms: None,
            hub_ticked_ms: 0,
            struck_off: Vec::new(),
            relists_at_ms: 0,
            has_more: BTreeSet::new(),
            last_conn: 0,
            links: Vec::new(),
            pools: POOLS.map(Pool::new).into(),
            mint: Mint::default(),
            opener: Opener::default(),
            members: (0..MEMBERS.len()).map(Member::new).collect(),
            group: MEMBERS[..MEMBERS_USUALLY].to_vec(),
            regroups_at_ms: u64::MAX,
            listed_at_ms: 0,
            evil: Vec::new(),
            truth: Truth::default(),
            ledger: Ledger::default(),
            backups: Backups::default(),
            calm_since_ms: None,
            present: BTreeMap::new(),
            passed_over: BTreeMap::new(),
            is_honest: liar.is_none(),
            liar,
            coverage: Coverage::default(),
            story: VecDeque::new(),
        }
    }

    fn play(&mut self) -> Result<(), String> {
        if let Some(sabotage) = self.plan.sabotage {
            sabotage.apply();
        }
        while self.step < self.plan.steps {
            self.turn(true)?;
        }
        self.calm_down();
        let until_ms = self.now_ms + QUIET_MS;
        // What was said last arrives, too.
        let mut whole_since_ms = None;
        while self.now_ms < until_ms {
            self.turn(false)?;
            if !self.step.is_multiple_of(20) {
                continue;
            }
            match self.is_group_whole() && self.is_all_answered()? {
                false => whole_since_ms = None,
                true => {
                    let since_ms = *whole_since_ms.get_or_insert(self.now_ms);
                    if self.now_ms >= since_ms + SETTLES_MS {
                        break;
                    }
                }
            }
        }
        if !self.is_all_answered()? {
            let now = self.now();
            let standing: Vec<String> = self.pools.iter().map(|pool| pool.standing(now)).collect();
            return Err(format!(
                "no answer: {QUIET_MS} ms after the last fault a request still waits: {}",
                standing.join("; ")
            ));
        }
        self.check_presence(true)?;
        self.check_notices()?;
        self.check_keysets()?;
        self.check_group_at_the_end()
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.plan.tell {
            if self.story.len() >= STORY_LINES {
                self.story.pop_front();
            }
            let line = line();
            self.story
                .push_back(format!("{:>7} ms  {line}", self.now_ms));
        }
    }

    fn now(&self) -> Now {
        Now {
            ms: self.now_ms,
            unix_ms: BEGIN_UNIX_MS + self.now_ms,
        }
    }

    fn turn(&mut self, with_faults: bool) -> Result<(), String> {
        self.step += 1;
        self.now_ms += self.rng.gen_range(1..=if with_faults { 30 } else { 60 });
        self.start_what_is_due();
        if with_faults {
            self.make_faults();
            self.make_work();
        }
        self.talk_in_group();
        self.operate()?;
        self.carry_up();
        self.tick_hub();
        self.hear_of_hub()?;
        self.carry_down()?;
        self.run_clients()?;
        self.run_evil();
        self.links.retain(|link| link.hub_open || link.client_open);
        self.check()
    }
}
