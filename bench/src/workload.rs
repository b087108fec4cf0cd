//! What is measured.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;

use crate::error::BenchError;
use crate::setting::{Plan, Setting};
use crate::workloads;

/// One kind of work, measured at several systems.
pub struct Workload {
    /// Its name on the command line and in the JSON.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// What a case's `parameter` is, for instance `payload bytes`; empty where there is none.
    pub parameter: &'static str,
    /// What a sample has, in the order of the table's columns.
    pub metrics: &'static [Metric],
    /// The cases of one round, in the order in which they are measured: all systems beside each other.
    pub cases: fn(&Plan) -> Vec<Case>,
    /// Measures one case once. It starts its server and its clients, warms up, and ends them all; whatever ends the
    /// future ends them too.
    pub measure: for<'a> fn(&'a Setting, &'a Case) -> BoxFuture<'a, Result<Sample, BenchError>>,
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

/// Thousands a second.
pub const RATE: Metric = Metric {
    key: "k_per_s",
    title: "k/s",
    decimals: 1,
};
/// The server's processor time for one of them.
pub const CPU: Metric = Metric {
    key: "cpu_us",
    title: "server CPU, us",
    decimals: 2,
};

/// What is measured at one time: a system under a workload, with one parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// The system's name, for instance `hub`.
    pub system: &'static str,
    /// Payload bytes, connections, or what else the workload varies; 0 where it varies nothing.
    pub parameter: u64,
}

/// What one measurement gave: a value for each metric of its workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample(pub BTreeMap<&'static str, f64>);

impl Sample {
    /// A sample of these values.
    pub fn of<const N: usize>(values: [(&'static str, f64); N]) -> Sample {
        Sample(BTreeMap::from(values))
    }
}

/// Every workload, in the order of the report.
pub fn all() -> Vec<Workload> {
    vec![
        workloads::flow::PAIRS,
        workloads::flow::BULK,
        workloads::round_trip::ONE,
        workloads::round_trip::MANY,
        workloads::fan_out::FAN_OUT,
        workloads::idle::IDLE,
        workloads::floor::FLOOR,
        workloads::scale::SCALE,
        workloads::durable::DURABLE,
        workloads::backlog::BACKLOG,
        workloads::pipeline::PIPELINE,
    ]
}
