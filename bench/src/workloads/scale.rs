//! The same work over more and more connections.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::PAYLOAD_BYTES;
use crate::error::BenchError;
use crate::load::{Shape, flow};
use crate::setting::Setting;
use crate::systems;
use crate::workload::{CLIENTS, CPU, Case, Plan, RATE, Sample, Workload, sample};

/// Connections; half of them send, each to its own peer.
pub const CONNECTIONS: [u64; 4] = [2, 20, 200, 2_000];
/// Messages outstanding over all connections together.
const IN_FLIGHT: usize = 64_000;

/// 2 to 2,000 connections.
pub const SCALE: Workload = Workload {
    name: "scale",
    about: "pairs, with 64,000 messages of 200 bytes outstanding together",
    parameter: "connections",
    metrics: &[RATE, CPU, CLIENTS],
    cases,
    measure,
};

fn cases(plan: &Plan) -> Vec<Case> {
    let systems = if plan.quick {
        &["hub"][..]
    } else {
        &["hub", "nats-tls"]
    };
    let each = |parameter: &u64| {
        let parameter = *parameter;
        systems.iter().map(move |system| Case { system, parameter })
    };
    CONNECTIONS.iter().flat_map(each).collect()
}

fn measure<'a>(setting: &'a Setting, case: &'a Case) -> BoxFuture<'a, Result<Sample, BenchError>> {
    async move {
        let pairs = case.parameter as usize / 2;
        let shape = Shape::pairs(pairs, IN_FLIGHT / pairs, PAYLOAD_BYTES as usize);
        let rig = systems::rig(setting, case.system, shape).await?;
        let cost = flow::measure(rig, shape, setting).await?;
        Ok(sample(&cost))
    }
    .boxed()
}
