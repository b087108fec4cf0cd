//! Many runs, and what they show together.

use crate::coverage::Coverage;
use crate::fault::{Allowed, Fault};
use crate::sabotage::Sabotage;
use crate::world::{Outcome, Plan, run};

/// Steps with faults of a run.
pub const STEPS: u64 = 1_200;

/// What many runs have shown.
#[derive(Default)]
pub struct Report {
    /// How many.
    pub runs: u64,
    /// How often each kind of fault happened, in the order of [`Fault::ALL`].
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
    /// The first broken promise, with its seed.
    pub violation: Option<(u64, String)>,
}

/// The plan of a seed's whole run.
pub fn plan(seed: u64, sabotage: Option<Sabotage>) -> Plan {
    Plan {
        seed,
        steps: STEPS,
        allowed: Allowed::all(),
        sabotage,
        tell: false,
    }
}

/// Runs the seeds one after the other, to the first broken promise. `progress` hears after each.
pub fn try_seeds(
    seeds: impl IntoIterator<Item = u64>,
    sabotage: Option<Sabotage>,
    mut progress: impl FnMut(&Report),
) -> Report {
    let mut report = Report {
        faults: vec![0; Fault::ALL.len()],
        ..Report::default()
    };
    for seed in seeds {
        let outcome = run(plan(seed, sabotage));
        report.add(&outcome);
        if let Some(violation) = outcome.violation {
            report.violation = Some((seed, violation));
            return report;
        }
        progress(&report);
    }
    report
}

impl Report {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.requests += outcome.requests;
        self.chat += outcome.chat;
        for (sum, count) in self.group.iter_mut().zip(outcome.group) {
            *sum += count;
        }
        self.coverage.add(&outcome.coverage);
        for (sum, count) in self.faults.iter_mut().zip(&outcome.faults) {
            *sum += count;
        }
    }
}

/// The shortest run of a seed that still breaks a promise: without the kinds of fault that it does
/// without, and with as few steps before the quiet period.
pub fn shortest(seed: u64, sabotage: Option<Sabotage>) -> (Plan, Outcome) {
    let mut best = plan(seed, sabotage);
    let breaks = |plan: Plan| run(plan).violation.is_some();
    for fault in Fault::ALL {
        let fewer = Plan {
            allowed: best.allowed.without(*fault),
            ..best
        };
        if breaks(fewer) {
            best = fewer;
        }
    }
    // Longer runs need not break more, so this finds a short one, not always the shortest.
    let (mut too_few, mut enough) = (0, best.steps);
    while too_few + 1 < enough {
        let steps = too_few.midpoint(enough);
        match breaks(Plan { steps, ..best }) {
            true => enough = steps,
            false => too_few = steps,
        }
    }
    best.steps = enough;
    best.tell = true;
    (best, run(best))
}
