//! What a run gave.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::median::Medians;

/// One kind of work, as it is reported.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name on the command line and in the JSON.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// What a case's `parameter` is, for instance `payload bytes`; empty where there is none.
    pub parameter: &'static str,
    /// What a sample has, in the order of the table's columns.
    pub metrics: &'static [Metric],
    /// The cases, in the order in which they are measured.
    pub cases: Vec<Case>,
}

/// One figure of a sample.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its key in the sample and in the JSON.
    pub key: &'static str,
    /// Its title in the table, with the unit.
    pub title: &'static str,
    /// Digits behind the point.
    pub decimals: usize,
}

/// What is measured at one time: a system under a workload, with one parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// The system's name, for instance `hub`.
    pub system: &'static str,
    /// Payload bytes, connections, or what else the workload varies; 0 where it varies nothing.
    pub parameter: u64,
}

/// What one measurement gave: values for the metrics of its workload, those that the system has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample(pub BTreeMap<&'static str, f64>);

impl Sample {
    /// A sample of these values.
    pub fn of<const N: usize>(values: [(&'static str, f64); N]) -> Sample {
        Sample(BTreeMap::from(values))
    }
}

/// How a run was asked for.
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

/// What the whole run gave.
pub struct Outcome {
    /// What was measured.
    pub tables: Vec<Table>,
    /// How it was asked for.
    pub plan: Plan,
    /// Processor cores, which servers and clients share.
    pub cores: usize,
    /// Every sample.
    pub medians: Medians,
    /// Systems that are not on this machine, with what was looked for.
    pub missing: BTreeMap<String, String>,
    /// Cases that failed, and how.
    pub failed: Vec<String>,
    /// How long it took.
    pub took: Duration,
}
