//! What every measurement is given: how long, how often, and where the programs are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::workloads::backlog::Filled;

/// How the run was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Whether only what the bounds need is measured, and briefly.
    pub quick: bool,
    /// How often each case is measured.
    pub rounds: u32,
    /// How long a case runs before it is measured.
    pub warm_up: Duration,
    /// How long it is measured.
    pub measure: Duration,
}

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
    /// Stores with a backlog, by its length; filled once for all rounds, and gone with the run.
    pub shelf: Mutex<BTreeMap<u64, Filled>>,
}
