//! What must hold between the medians of one run.

use crate::ceilings::Least;
use crate::median::Medians;

/// One bound.
pub struct Ratio {
    /// Its key in the JSON.
    pub key: &'static str,
    /// What is compared, for people.
    pub what: &'static str,
    /// The hub's figure.
    pub over: Figure,
    /// The other's; `None` where the bound is on the hub's figure alone.
    pub under: Option<Figure>,
    /// What must hold.
    pub bound: Bound,
    /// The cipher's part in it, below which nobody gets; `None` where it has none worth speaking of.
    pub least: Option<Least>,
}

/// Where a median is found.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The workload.
    pub workload: &'static str,
    /// The system.
    pub system: &'static str,
    /// The case's parameter.
    pub parameter: u64,
    /// The metric's key.
    pub metric: &'static str,
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// As much or less.
    AtMost(f64),
    /// As much or more.
    AtLeast(f64),
}

impl Bound {
    /// Whether it does.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtMost(most) => value <= most,
            Bound::AtLeast(least) => value >= least,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::AtMost(most) => write!(f, "<= {most}"),
            Bound::AtLeast(least) => write!(f, ">= {least}"),
        }
    }
}

impl Ratio {
    /// Its value; `None` where one of the two was not measured.
    pub fn value(&self, medians: &Medians) -> Option<f64> {
        let over = medians.get(self.over)?;
        match self.under {
            None => Some(over),
            Some(under) => medians
                .get(under)
                .filter(|under| *under > 0.0)
                .map(|under| over / under),
        }
    }
}

const fn figure(
    workload: &'static str,
    system: &'static str,
    parameter: u64,
    metric: &'static str,
) -> Figure {
    Figure {
        workload,
        system,
        parameter,
        metric,
    }
}

/// Every bound, in the order of the report.
pub const ALL: &[Ratio] = &[
    Ratio {
        key: "pairs_cpu_vs_nats_plain",
        what: "hub CPU per message, 32 pairs, against NATS in the clear",
        over: figure("pairs", "hub", 200, "cpu_us"),
        under: Some(figure("pairs", "nats", 200, "cpu_us")),
        bound: Bound::AtMost(1.2),
        least: Some(Least::Hub { messages: 1.0 }),
    },
    Ratio {
        key: "pairs_cpu_vs_nats_tls",
        what: "hub CPU per message, 32 pairs, against NATS + TLS",
        over: figure("pairs", "hub", 200, "cpu_us"),
        under: Some(figure("pairs", "nats-tls", 200, "cpu_us")),
        bound: Bound::AtMost(0.5),
        least: Some(Least::Hub { messages: 1.0 }),
    },
    Ratio {
        key: "pairs_cpu_vs_reference_soft",
        what: "hub CPU per message, 32 pairs, against the naive hub, force_soft build",
        over: figure("pairs", "hub", 200, "cpu_us"),
        under: Some(figure("pairs", "naive-soft", 200, "cpu_us")),
        bound: Bound::AtMost(0.2),
        least: Some(Least::Hub { messages: 1.0 }),
    },
    Ratio {
        key: "bulk_rate_vs_nats_tls",
        what: "messages/s, one pair, against NATS + TLS",
        over: figure("bulk", "hub", 200, "k_per_s"),
        under: Some(figure("bulk", "nats-tls", 200, "k_per_s")),
        bound: Bound::AtLeast(1.5),
        least: Some(Least::Path { messages: 1.0 }),
    },
    Ratio {
        key: "fanout_cpu_vs_nats_tls",
        what: "CPU per delivery, one to 64, against NATS + TLS",
        over: figure("fanout", "hub", 200, "cpu_us"),
        under: Some(figure("fanout", "nats-tls", 200, "cpu_us")),
        bound: Bound::AtMost(0.4),
        least: Some(Least::FanOut { receivers: 64.0 }),
    },
    Ratio {
        key: "rtt1_p50_vs_nats_tls",
        what: "round trip, 1 in flight, against NATS + TLS",
        over: figure("rtt1", "hub", 200, "p50_us"),
        under: Some(figure("rtt1", "nats-tls", 200, "p50_us")),
        bound: Bound::AtMost(0.9),
        least: None,
    },
    Ratio {
        key: "rtt256_cpu_vs_nats_tls",
        what: "CPU per round trip, 256 in flight, against NATS + TLS",
        over: figure("rtt256", "hub", 200, "cpu_us"),
        under: Some(figure("rtt256", "nats-tls", 200, "cpu_us")),
        bound: Bound::AtMost(0.35),
        least: Some(Least::Hub { messages: 2.0 }),
    },
    Ratio {
        key: "durable_rate_vs_redis_always",
        what: "durable requests/s, against two Redis lists, fsync always",
        over: figure("durable", "hub", 0, "k_per_s"),
        under: Some(figure("durable", "redis-always", 0, "k_per_s")),
        bound: Bound::AtLeast(1.5),
        least: Some(Least::Path { messages: 2.0 }),
    },
    Ratio {
        key: "durable_rate_vs_jetstream_always",
        what: "durable requests/s, against two JetStream streams, sync always",
        over: figure("durable", "hub", 0, "k_per_s"),
        under: Some(figure("durable", "jetstream-always", 0, "k_per_s")),
        bound: Bound::AtLeast(20.0),
        least: Some(Least::Path { messages: 2.0 }),
    },
    Ratio {
        key: "idle_kib_per_connection",
        what: "hub memory per idle connection, KiB",
        over: figure("idle", "hub", 2_000, "kib"),
        under: None,
        bound: Bound::AtMost(8.0),
        least: None,
    },
    Ratio {
        key: "pipeline_vs_legacy",
        what: "shares/s, pool to answered quote, against the legacy flow",
        over: figure("pipeline", "hub", 0, "k_per_s"),
        under: Some(figure("pipeline", "legacy", 0, "k_per_s")),
        bound: Bound::AtLeast(3.0),
        least: None,
    },
    Ratio {
        key: "bridge_vs_legacy_mint",
        what: "entries/s off a legacy pool's list, against the legacy mint",
        over: figure("bridge", "hub", 0, "k_per_s"),
        under: Some(figure("bridge", "legacy-mint", 0, "k_per_s")),
        bound: Bound::AtLeast(10.0),
        least: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::median::Samples;
    use crate::outcome::{Case, Sample};

    /// Medians in which ours is `ours` at every figure, and every other's `others`.
    fn all(ours: f64, others: f64) -> Medians {
        let mut samples = Samples::new();
        for ratio in ALL {
            for (figure, value) in [(Some(ratio.over), ours), (ratio.under, others)] {
                let Some(figure) = figure else { continue };
                let case = Case {
                    system: figure.system,
                    parameter: figure.parameter,
                };
                let of_case = samples.entry((figure.workload, case)).or_default();
                if of_case.is_empty() {
                    of_case.push(Sample::default());
                }
                of_case[0].0.insert(figure.metric, value);
            }
        }
        Medians(samples)
    }

    #[test]
    fn every_ratio_is_ours_over_theirs_and_its_bound_looks_to_the_better_side() {
        for ratio in ALL {
            assert_eq!(ratio.over.system, "hub", "{}", ratio.key);
            let others = ratio.under.map(|under| under.system);
            assert_ne!(others, Some("hub"), "{}", ratio.key);
            let under = ratio.under.map_or(1.0, |_| 8.0);
            assert_eq!(
                ratio.value(&all(2.0, 8.0)),
                Some(2.0 / under),
                "{}",
                ratio.key
            );
            // More a second is better; microseconds and KiB are better where they are fewer.
            let more_is_better = ratio.over.metric == "k_per_s";
            let far_better = if more_is_better { 1e6 } else { 1e-6 };
            let value = ratio.value(&all(far_better, 1.0)).unwrap();
            assert!(ratio.bound.holds(value), "{}", ratio.key);
            let value = ratio.value(&all(1.0 / far_better, 1.0)).unwrap();
            assert!(!ratio.bound.holds(value), "{}", ratio.key);
        }
    }

    #[test]
    fn the_two_sides_of_a_ratio_are_the_same_figure_of_the_same_work() {
        for ratio in ALL {
            let Some(under) = ratio.under else { continue };
            let same = (ratio.over.workload, ratio.over.parameter, ratio.over.metric);
            assert_eq!(same, (under.workload, under.parameter, under.metric));
        }
    }

    #[test]
    fn without_the_others_figure_there_is_no_ratio() {
        let ratio = &ALL[0];
        assert_eq!(ratio.value(&Medians::default()), None);
        assert_eq!(ratio.value(&all(1.0, 0.0)), None);
    }

    #[test]
    fn a_bound_holds_where_it_is_met_exactly() {
        assert!(Bound::AtMost(1.2).holds(1.2) && !Bound::AtMost(1.2).holds(1.2001));
        assert!(Bound::AtLeast(1.5).holds(1.5) && !Bound::AtLeast(1.5).holds(1.4999));
    }
}
