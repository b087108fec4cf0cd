//! Messages one way: one pair, and many.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::PAYLOAD_BYTES;
use crate::error::BenchError;
use crate::load::{Shape, flow};
use crate::setting::Setting;
use crate::systems;
use crate::workload::{CLIENTS, CPU, Case, Plan, RATE, Sample, Workload, sample};

/// Payloads of a full run, in bytes.
const PAYLOADS: [u64; 4] = [PAYLOAD_BYTES, 64, 1_024, 16_384];
/// Systems, in the order in which they are measured.
const SYSTEMS: [&str; 9] = [
    "hub",
    "hub-1-thread",
    "relay",
    "naive",
    "naive-soft",
    "nats",
    "nats-tls",
    "redis-blmpop",
    "redis-brpop",
];
/// Those of them that say what a part of the hub's cost is; for one payload.
const PARTS: [&str; 2] = ["hub-1-thread", "relay"];
/// Bytes outstanding at most, whatever the window in messages: what large messages are bounded by, at all systems.
const OUTSTANDING_BYTES_MAX: usize = 8 << 20;

/// 32 pairs, 16 messages outstanding each.
pub const PAIRS: Workload = Workload {
    name: "pairs",
    about: "32 pairs, each with 16 messages outstanding",
    parameter: "payload bytes",
    metrics: &[RATE, CPU, CLIENTS],
    cases,
    measure: |setting, case| measure(setting, case, 32, 16),
};

/// One pair, 16,384 messages outstanding.
pub const BULK: Workload = Workload {
    name: "bulk",
    about: "one pair with 16,384 messages outstanding, 8 MiB at most",
    parameter: "payload bytes",
    metrics: &[RATE, CPU, CLIENTS],
    cases,
    measure: |setting, case| measure(setting, case, 1, 16_384),
};

fn cases(plan: &Plan) -> Vec<Case> {
    let payloads = if plan.quick {
        &PAYLOADS[..1]
    } else {
        &PAYLOADS[..]
    };
    let each = |payload: &u64| {
        let parameter = *payload;
        SYSTEMS.map(|system| Case { system, parameter })
    };
    let is_wanted = |case: &Case| case.parameter == PAYLOAD_BYTES || !PARTS.contains(&case.system);
    payloads.iter().flat_map(each).filter(is_wanted).collect()
}

fn measure<'a>(
    setting: &'a Setting,
    case: &'a Case,
    pairs: usize,
    window: usize,
) -> BoxFuture<'a, Result<Sample, BenchError>> {
    async move {
        let payload_bytes = case.parameter as usize;
        let window = window.min(OUTSTANDING_BYTES_MAX / payload_bytes);
        let shape = Shape::pairs(pairs, window, payload_bytes);
        let rig = systems::rig(setting, case.system, shape).await?;
        let cost = flow::measure(rig, shape, setting).await?;
        Ok(sample(&cost))
    }
    .boxed()
}
