//! A role's metrics, read back from their text.

use std::collections::BTreeMap;

/// One reading of `/metrics` (OpenMetrics text).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads the text; lines that are no samples are passed over.
    pub fn parse(text: &str) -> Metrics {
        let samples = text.lines().filter_map(Sample::parse).collect();
        Metrics { samples }
    }

    /// The sum of all samples of this name that have all of these labels; `None` where there is not one.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut matching = self
            .samples
            .iter()
            .filter(|sample| sample.name == name && sample.has(labels))
            .peekable();
        matching.peek()?;
        Some(matching.map(|sample| sample.value).sum())
    }

    /// The names of all samples.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.samples.iter().map(|sample| sample.name.as_str())
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Sample> {
        if line.starts_with('#') {
            return None;
        }
        let (head, value) = line.rsplit_once(' ')?;
        let (name, labels) = match head.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (head, ""),
        };
        // None of our label values has a comma or a quote in it.
        let labels = labels
            .split(',')
            .filter_map(|label| {
                let (key, value) = label.split_once('=')?;
                Some((key.to_owned(), value.trim_matches('"').to_owned()))
            })
            .collect();
        Some(Sample {
            name: name.to_owned(),
            labels,
            value: value.parse().ok()?,
        })
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels
            .iter()
            .all(|(key, value)| self.labels.get(*key).is_some_and(|found| found == value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_over_the_labels_that_were_not_asked_for() {
        let text = "# HELP x y\n# TYPE x counter\nx_total{extension=\"hub\",type=\"Ping\"} 3\n\
                    x_total{extension=\"hub\",type=\"Pong\"} 4\nx_total{extension=\"mint_quote\"} 7\ny 1.5\n# EOF\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("x_total", &[("extension", "hub")]), Some(7.0));
        assert_eq!(metrics.sum("x_total", &[]), Some(14.0));
        assert_eq!(metrics.sum("y", &[]), Some(1.5));
        assert_eq!(metrics.sum("x_total", &[("type", "Close")]), None);
    }
}
