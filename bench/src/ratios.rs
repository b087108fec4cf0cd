//! What must hold between the medians of one run.

use crate::runner::Medians;

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
    },
    Ratio {
        key: "pairs_cpu_vs_nats_tls",
        what: "hub CPU per message, 32 pairs, against NATS + TLS",
        over: figure("pairs", "hub", 200, "cpu_us"),
        under: Some(figure("pairs", "nats-tls", 200, "cpu_us")),
        bound: Bound::AtMost(0.5),
    },
    Ratio {
        key: "pairs_cpu_vs_reference_soft",
        what: "hub CPU per message, 32 pairs, against the naive hub, force_soft build",
        over: figure("pairs", "hub", 200, "cpu_us"),
        under: Some(figure("pairs", "naive-soft", 200, "cpu_us")),
        bound: Bound::AtMost(0.2),
    },
    Ratio {
        key: "bulk_rate_vs_nats_tls",
        what: "messages/s, one pair, against NATS + TLS",
        over: figure("bulk", "hub", 200, "k_per_s"),
        under: Some(figure("bulk", "nats-tls", 200, "k_per_s")),
        bound: Bound::AtLeast(1.5),
    },
    Ratio {
        key: "fanout_cpu_vs_nats_tls",
        what: "CPU per delivery, one to 64, against NATS + TLS",
        over: figure("fanout", "hub", 200, "cpu_us"),
        under: Some(figure("fanout", "nats-tls", 200, "cpu_us")),
        bound: Bound::AtMost(0.4),
    },
    Ratio {
        key: "rtt1_p50_vs_nats_tls",
        what: "round trip, 1 in flight, against NATS + TLS",
        over: figure("rtt1", "hub", 200, "p50_us"),
        under: Some(figure("rtt1", "nats-tls", 200, "p50_us")),
        bound: Bound::AtMost(0.9),
    },
    Ratio {
        key: "rtt256_cpu_vs_nats_tls",
        what: "CPU per round trip, 256 in flight, against NATS + TLS",
        over: figure("rtt256", "hub", 200, "cpu_us"),
        under: Some(figure("rtt256", "nats-tls", 200, "cpu_us")),
        bound: Bound::AtMost(0.35),
    },
    Ratio {
        key: "durable_rate_vs_redis_always",
        what: "durable requests/s, against two Redis lists, fsync always",
        over: figure("durable", "hub", 0, "k_per_s"),
        under: Some(figure("durable", "redis-always", 0, "k_per_s")),
        bound: Bound::AtLeast(1.5),
    },
    Ratio {
        key: "durable_rate_vs_jetstream_always",
        what: "durable requests/s, against two JetStream streams, sync always",
        over: figure("durable", "hub", 0, "k_per_s"),
        under: Some(figure("durable", "jetstream-always", 0, "k_per_s")),
        bound: Bound::AtLeast(20.0),
    },
    Ratio {
        key: "idle_kib_per_connection",
        what: "hub memory per idle connection, KiB",
        over: figure("idle", "hub", 2_000, "kib"),
        under: None,
        bound: Bound::AtMost(8.0),
    },
    Ratio {
        key: "pipeline_vs_legacy",
        what: "shares/s, pool to answered quote, against the legacy flow",
        over: figure("pipeline", "hub", 0, "k_per_s"),
        under: Some(figure("pipeline", "legacy", 0, "k_per_s")),
        bound: Bound::AtLeast(3.0),
    },
];
