//! Metrics in the OpenMetrics text format, which Prometheus reads.
//!
//! Roles register `prometheus_client` families in a [`Registry`] and hand [`text`] to the operator's HTTP port.

pub use prometheus_client::registry::Registry;

/// Media type of [`text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds, in seconds, of the buckets of a histogram of waiting times: from a message on loopback to a
/// request that outlived a restart.
pub const LATENCY_BUCKETS_S: [f64; 16] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    120.0,
];

/// A registry whose metrics all start with `winze_` and the role: `registry("hub")` names them `winze_hub_...`.
pub fn registry(role: &str) -> Registry {
    Registry::with_prefix(format!("winze_{role}"))
}

/// Everything that is registered, as text.
pub fn text(registry: &Registry) -> String {
    let mut out = String::new();
    // Writing into a String has no error of its own, and a metric that cannot encode itself leaves what came before.
    if prometheus_client::encoding::text::encode(&mut out, registry).is_err() {
        tracing::warn!("a metric could not be encoded; the ones after it are missing");
    }
    out
}
