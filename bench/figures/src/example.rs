//! A run for the tests.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ceilings::{CIPHER, MAC_US, OPEN_US, SEAL_US};
use crate::median::{Medians, Samples};
use crate::outcome::{Case, Metric, Outcome, Plan, Sample, Table};

const METRICS: &[Metric] = &[
    Metric {
        key: "k_per_s",
        title: "k/s",
        decimals: 1,
    },
    Metric {
        key: "cpu_us",
        title: "server CPU, us",
        decimals: 2,
    },
];

/// A run of one round on two cores with these medians (workload, system, parameter, metric), and with a cipher that seals
/// and opens in half a microsecond each, and authenticates in another half.
pub fn outcome(figures: &[(&'static str, &'static str, u64, &'static str, f64)]) -> Outcome {
    let floor = [(SEAL_US, 0.5), (OPEN_US, 0.5), (MAC_US, 0.5)]
        .map(|(metric, us)| ("floor", CIPHER, 200, metric, us));
    let mut samples = Samples::new();
    let mut tables: Vec<Table> = Vec::new();
    for (workload, system, parameter, metric, value) in figures.iter().copied().chain(floor) {
        let case = Case { system, parameter };
        let place = tables.iter().position(|table| table.name == workload);
        let place = place.unwrap_or_else(|| {
            tables.push(Table {
                name: workload,
                about: "some work",
                parameter: if parameter == 0 { "" } else { "payload bytes" },
                metrics: METRICS,
                cases: Vec::new(),
            });
            tables.len() - 1
        });
        if !tables[place].cases.contains(&case) {
            tables[place].cases.push(case.clone());
        }
        let of_case = samples.entry((workload, case)).or_default();
        if of_case.is_empty() {
            of_case.push(Sample::default());
        }
        of_case[0].0.insert(metric, value);
    }
    Outcome {
        tables,
        plan: Plan {
            quick: false,
            rounds: 1,
            warm_up: Duration::from_millis(500),
            measure: Duration::from_millis(1_500),
        },
        cores: 2,
        medians: Medians(samples),
        missing: BTreeMap::new(),
        failed: Vec::new(),
        took: Duration::from_secs(61),
    }
}
