//! `--json`: every median with its spread, and the ratios.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::BenchError;
use crate::ratios;
use crate::runner::Outcome;

/// Writes one object: `ratios` (null where one of the two figures is missing), `medians` (workload, system, parameter,
/// metric: median, min, max), `rounds`, `missing` and `failed`.
///
/// # Errors
/// [`BenchError::Machine`].
pub fn write(outcome: &Outcome, file: &Path) -> Result<(), BenchError> {
    let mut text = format!("{:#}", object(outcome));
    text.push('\n');
    std::fs::write(file, text).map_err(|error| BenchError::machine(file.display(), error))
}

fn object(outcome: &Outcome) -> Value {
    let mut ratios = Map::new();
    for ratio in ratios::ALL {
        ratios.insert(ratio.key.to_owned(), json!(ratio.value(&outcome.medians)));
    }
    let mut medians = Vec::new();
    for workload in &outcome.workloads {
        for case in (workload.cases)(&outcome.plan) {
            for metric in workload.metrics {
                let Some(median) = outcome.medians.of(workload.name, &case, metric.key) else {
                    continue;
                };
                medians.push(json!({
                    "workload": workload.name,
                    "system": case.system,
                    "parameter": case.parameter,
                    "metric": metric.key,
                    "median": median.value,
                    "min": median.min,
                    "max": median.max,
                }));
            }
        }
    }
    json!({
        "ratios": ratios,
        "medians": medians,
        "rounds": outcome.plan.rounds,
        "seconds": outcome.plan.measure.as_secs_f64(),
        "quick": outcome.plan.quick,
        "missing": outcome.missing,
        "failed": outcome.failed,
        "took_s": outcome.took.as_secs_f64(),
    })
}
