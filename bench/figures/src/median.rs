//! The middle of the samples.

use std::collections::BTreeMap;

use crate::outcome::{Case, Sample};
use crate::ratios::Figure;

/// The samples of each case of each workload, one for each round that gave one.
pub type Samples = BTreeMap<(&'static str, Case), Vec<Sample>>;

/// Samples, and what is in the middle of them.
#[derive(Debug, Default)]
pub struct Medians(pub Samples);

/// The middle of the samples, and how far they were apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    /// The median; of an even number the mean of the two in the middle.
    pub value: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Median {
    /// Of these values, in any order; `None` of none.
    pub fn of(mut values: Vec<f64>) -> Option<Median> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let value = match values.len() % 2 {
            1 => values[middle],
            _ => (values[middle - 1] + values[middle]) / 2.0,
        };
        Some(Median { value, min, max })
    }
}

impl Medians {
    /// The median of one metric of one case; `None` where it was not measured.
    pub fn of(&self, workload: &'static str, case: &Case, metric: &str) -> Option<Median> {
        let samples = self.0.get(&(workload, case.clone()))?;
        let values = samples
            .iter()
            .filter_map(|sample| sample.0.get(metric).copied());
        Median::of(values.collect())
    }

    /// The median of a figure.
    pub fn get(&self, figure: Figure) -> Option<f64> {
        let case = Case {
            system: figure.system,
            parameter: figure.parameter,
        };
        let median = self.of(figure.workload, &case, figure.metric)?;
        Some(median.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_round_in_which_the_machine_was_busy_moves_the_spread_and_not_the_figure() {
        let quiet = Median::of(vec![1.2, 1.0, 1.1]).unwrap();
        let disturbed = Median::of(vec![9.0, 1.0, 1.1]).unwrap();
        assert_eq!(quiet.value, disturbed.value);
        assert_eq!((disturbed.min, disturbed.max), (1.0, 9.0));
    }

    #[test]
    fn of_an_even_number_of_rounds_the_middle_is_between_the_two_in_the_middle() {
        let median = Median::of(vec![10.0, 1.0, 2.0, 4.0]).unwrap();
        assert_eq!((median.value, median.min, median.max), (3.0, 1.0, 10.0));
        assert_eq!(Median::of(Vec::new()), None);
    }

    #[test]
    fn a_round_that_failed_counts_as_no_round_and_not_as_zero() {
        let case = Case {
            system: "hub",
            parameter: 200,
        };
        let samples = vec![Sample::of([("p50_us", 20.0)]), Sample::of([])];
        let medians = Medians(Samples::from([(("rtt1", case.clone()), samples)]));
        assert_eq!(medians.of("rtt1", &case, "p50_us").unwrap().value, 20.0);
        assert_eq!(medians.of("rtt1", &case, "p99_us"), None);
        assert_eq!(medians.of("rtt256", &case, "p50_us"), None);
    }
}
