//! One sender, and everything to all of many receivers.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::PAYLOAD_BYTES;
use crate::error::BenchError;
use crate::load::{Shape, flow};
use crate::setting::Setting;
use crate::systems;
use crate::workload::{CLIENTS, CPU, Case, Plan, RATE, Sample, Workload, sample};

/// Systems, in the order in which they are measured.
const SYSTEMS: [&str; 5] = ["hub", "naive", "naive-soft", "nats", "nats-tls"];
/// Receivers.
const RECEIVERS: usize = 64;
/// Messages that the slowest receiver may be behind.
const WINDOW: usize = 256;

/// One to 64. What is counted is each delivery.
pub const FAN_OUT: Workload = Workload {
    name: "fanout",
    about: "one to 64 (deliveries), 256 messages outstanding at the slowest",
    parameter: "payload bytes",
    metrics: &[RATE, CPU, CLIENTS],
    cases,
    measure,
};

fn cases(_: &Plan) -> Vec<Case> {
    let parameter = PAYLOAD_BYTES;
    SYSTEMS.map(|system| Case { system, parameter }).to_vec()
}

fn measure<'a>(setting: &'a Setting, case: &'a Case) -> BoxFuture<'a, Result<Sample, BenchError>> {
    async move {
        let shape = Shape {
            senders: 1,
            receivers: RECEIVERS,
            window: WINDOW,
            payload_bytes: case.parameter as usize,
            answers: false,
        };
        let rig = systems::rig(setting, case.system, shape).await?;
        let cost = flow::measure(rig, shape, setting).await?;
        Ok(sample(&cost))
    }
    .boxed()
}
