//! What is measured.

use futures_util::future::BoxFuture;
use winze_bench_figures::cost::Cost;
pub use winze_bench_figures::outcome::{Case, Metric, Plan, Sample, Table};

use crate::error::BenchError;
use crate::setting::Setting;
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

/// The clients' processor time for one of them, all together.
pub const CLIENTS: Metric = Metric {
    key: "clients_cpu_us",
    title: "clients' CPU, us",
    decimals: 2,
};
/// Of it that of who asks, where it is a process of its own.
pub const REQUESTER: Metric = Metric {
    key: "requester_cpu_us",
    title: "of it requester",
    decimals: 2,
};
/// Of it that of who answers, where it is a process of its own.
pub const RESPONDER: Metric = Metric {
    key: "responder_cpu_us",
    title: "of it responder",
    decimals: 2,
};

/// A cost as a sample.
pub fn sample(cost: &Cost) -> Sample {
    let mut sample = Sample::of([
        (RATE.key, cost.k_per_s),
        (CPU.key, cost.server_us),
        (CLIENTS.key, cost.clients_us),
    ]);
    if let Some((requester_us, responder_us)) = cost.apart_us {
        sample.0.insert(REQUESTER.key, requester_us);
        sample.0.insert(RESPONDER.key, responder_us);
    }
    sample
}

impl Workload {
    /// What of it is reported.
    pub fn table(&self, plan: &Plan) -> Table {
        Table {
            name: self.name,
            about: self.about,
            parameter: self.parameter,
            metrics: self.metrics,
            cases: (self.cases)(plan),
        }
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
        workloads::bridge::BRIDGE,
    ]
}
