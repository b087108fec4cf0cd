//! Requests and answers between one pair.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::PAYLOAD_BYTES;
use crate::error::BenchError;
use crate::load::{Shape, round_trip};
use crate::setting::Setting;
use crate::systems;
use crate::workload::{CLIENTS, CPU, Case, Metric, Plan, RATE, Sample, Workload, sample};

/// Systems, in the order in which they are measured.
const SYSTEMS: [&str; 7] = [
    "hub",
    "relay",
    "naive",
    "naive-soft",
    "nats",
    "nats-tls",
    "redis-blmpop",
];
/// Half of the round trips took less.
const P50: Metric = Metric {
    key: "p50_us",
    title: "p50, us",
    decimals: 0,
};

/// 99 in a hundred took less.
const P99: Metric = Metric {
    key: "p99_us",
    title: "p99, us",
    decimals: 0,
};

/// One request in flight.
pub const ONE: Workload = Workload {
    name: "rtt1",
    about: "request and answer, 1 in flight",
    parameter: "payload bytes",
    metrics: &[P50, P99, RATE, CPU, CLIENTS],
    cases,
    measure: |setting, case| measure(setting, case, 1),
};

/// 256 requests in flight.
pub const MANY: Workload = Workload {
    name: "rtt256",
    about: "request and answer, 256 in flight",
    parameter: "payload bytes",
    metrics: &[RATE, CPU, CLIENTS],
    cases,
    measure: |setting, case| measure(setting, case, 256),
};

fn cases(_: &Plan) -> Vec<Case> {
    let parameter = PAYLOAD_BYTES;
    SYSTEMS.map(|system| Case { system, parameter }).to_vec()
}

fn measure<'a>(
    setting: &'a Setting,
    case: &'a Case,
    in_flight: usize,
) -> BoxFuture<'a, Result<Sample, BenchError>> {
    async move {
        let shape = Shape {
            answers: true,
            ..Shape::pairs(1, in_flight, case.parameter as usize)
        };
        let rig = systems::rig(setting, case.system, shape).await?;
        let done = round_trip::measure(rig, shape, setting).await?;
        let mut sample = sample(&done.cost);
        if let Some((p50_us, p99_us)) = done.p50_p99_us {
            sample.0.insert(P50.key, p50_us);
            sample.0.insert(P99.key, p99_us);
        }
        Ok(sample)
    }
    .boxed()
}
