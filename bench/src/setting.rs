//! What every measurement is given: how long, how often, and where the programs are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::sync::Mutex;
use winze_bench_figures::outcome::Plan;

use crate::profiler::Profiler;
use crate::workloads::backlog::Filled;

/// Where the programs under measurement are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// Our own binary, with the hub in it.
    pub winze: PathBuf,
    /// The naive hub, built as its crates build by default.
    pub naive: PathBuf,
    /// The naive hub, its ciphers built with `force_soft`.
    pub naive_soft: PathBuf,
    /// `nats-server`.
    pub nats: PathBuf,
    /// `redis-server`.
    pub redis: PathBuf,
}

/// Everything that a measurement may look at.
pub struct Setting {
    /// How long and how often.
    pub plan: Plan,
    /// With what.
    pub programs: Programs,
    /// Looks on while there is load; in a run for figures there is none.
    pub profiler: Option<Profiler>,
    /// Stores with a backlog, by its length; filled once for all rounds, and gone with the run.
    pub shelf: Mutex<BTreeMap<u64, Filled>>,
}
