//! `--json`: every median with its spread, and the ratios.

use serde_json::{Map, Value, json};

use crate::ceilings;
use crate::outcome::Outcome;
use crate::ratios;

/// One object: `ratios` (null where one of the two figures is missing), `medians` (workload, system, parameter, metric:
/// median, min, max), `ceilings` of the bounds that are missed (microseconds), `rounds`, `missing` and `failed`.
pub fn object(outcome: &Outcome) -> Value {
    let mut ratios = Map::new();
    for ratio in ratios::ALL {
        ratios.insert(ratio.key.to_owned(), json!(ratio.value(&outcome.medians)));
    }
    let mut medians = Vec::new();
    for table in &outcome.tables {
        for case in &table.cases {
            for metric in table.metrics {
                let Some(median) = outcome.medians.of(table.name, case, metric.key) else {
                    continue;
                };
                medians.push(json!({
                    "workload": table.name,
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
    let ceilings: Map<String, Value> = ceilings::of_missed(outcome)
        .iter()
        .map(|ceiling| {
            let figures = json!({
                "allowed_us": ceiling.allowed_us,
                "spent_us": ceiling.spent_us,
                "cipher_us": ceiling.cipher_us,
                "sockets_us": ceiling.sockets_us,
                "in_reach": ceiling.in_reach(),
            });
            (ceiling.key.to_owned(), figures)
        })
        .collect();
    json!({
        "ratios": ratios,
        "medians": medians,
        "ceilings": ceilings,
        "rounds": outcome.plan.rounds,
        "seconds": outcome.plan.measure.as_secs_f64(),
        "quick": outcome.plan.quick,
        "missing": outcome.missing,
        "failed": outcome.failed,
        "took_s": outcome.took.as_secs_f64(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn every_bound_has_its_key_and_what_was_not_measured_is_null() {
        let outcome = example::outcome(&[
            ("pairs", "hub", 200, "cpu_us", 3.0),
            ("pairs", "nats", 200, "cpu_us", 2.0),
        ]);
        let object = object(&outcome);
        assert_eq!(object["ratios"]["pairs_cpu_vs_nats_plain"], 1.5);
        assert!(object["ratios"]["pairs_cpu_vs_nats_tls"].is_null());
        let ratios = object["ratios"].as_object().unwrap();
        assert!(
            ratios::ALL
                .iter()
                .all(|ratio| ratios.contains_key(ratio.key))
        );
        let ceiling = &object["ceilings"]["pairs_cpu_vs_nats_plain"];
        assert_eq!(
            (&ceiling["allowed_us"], &ceiling["cipher_us"]),
            (&json!(2.4), &json!(1.0))
        );
    }

    #[test]
    fn a_median_is_found_by_workload_system_parameter_and_metric() {
        let outcome = example::outcome(&[("idle", "hub", 2_000, "cpu_us", 5.5)]);
        let object = object(&outcome);
        let medians = object["medians"].as_array().unwrap();
        let found: Vec<&Value> = medians
            .iter()
            .filter(|median| median["workload"] == "idle" && median["parameter"] == 2_000)
            .collect();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&found[0]["median"], &found[0]["system"]),
            (&json!(5.5), &json!("hub"))
        );
    }
}
