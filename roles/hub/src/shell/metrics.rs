//! What `GET /metrics` says: the core's counters and load, and what the shell has seen.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use winze_runtime::metrics::{Registry, registry, text as encode};

use super::shared::Shared;
use crate::core::{Counters, EndCause, Flow, Load};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    extension: String,
    message: String,
    direction: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// All metrics as text. They are counted by the core, and copied here at each request: nothing is kept twice.
pub(super) fn text(shared: &Shared) -> String {
    let mut registry = registry("hub");
    register_load(&mut registry, &shared.load());
    let counters = shared.counters();
    register_frames(&mut registry, &counters);
    register_refusals(&mut registry, &counters);
    count(
        &mut registry,
        "handshake_failures",
        "Connections that did not finish the Noise handshake in time, or at all",
        shared.handshakes_failed(),
    );
    count(
        &mut registry,
        "connections_unheard",
        "Connections closed before the handshake because the hub or their address had too many",
        shared.turned_away(),
    );
    count(
        &mut registry,
        "log_lines_suppressed",
        "Lines that the log had no room for",
        shared.log_lines_suppressed(),
    );
    let configuration = shared.configuration.last();
    count(
        &mut registry,
        "config_reloads",
        "Times that the configuration was read again and taken",
        configuration.reloads,
    );
    count(
        &mut registry,
        "config_reloads_refused",
        "Times that the configuration was read again and not taken, because it is faulty",
        configuration.reloads_refused,
    );
    gauge(
        &mut registry,
        "config_stale",
        "1 while the last configuration that was read is faulty, and an older one holds",
        u64::from(configuration.error.is_some()),
    );
    gauge(
        &mut registry,
        "config_read_at_seconds",
        "When the configuration that holds was read, in seconds since 1970",
        configuration.read_at_unix_s,
    );
    gauge(
        &mut registry,
        "certificate_not_valid_after_seconds",
        "When the hub's certificate ends, in seconds since 1970",
        u64::from(shared.identity().certificate().not_valid_after_unix_s),
    );
    encode(&registry)
}

fn register_load(registry: &mut Registry, load: &Load) {
    let connections = Family::<State, Gauge>::default();
    let states = [
        ("authenticated", load.connections_authenticated),
        ("other", load.connections_other),
    ];
    for (state, number) in states {
        set(&connections.get_or_create(&State { state }), number as u64);
    }
    registry.register(
        "connections",
        "Connections that have proven who they are, and others",
        connections,
    );
    gauge(
        registry,
        "channels",
        "Channels with at least one end",
        load.channels as u64,
    );
    gauge(
        registry,
        "queued_messages",
        "Messages that wait for their reader",
        load.queued.messages,
    );
    gauge(
        registry,
        "queued_bytes",
        "Bytes of payload that wait for their reader",
        load.queued.bytes,
    );
}

fn register_frames(registry: &mut Registry, counters: &Counters) {
    let messages = Family::<Kind, Counter>::default();
    let bytes = Family::<Kind, Counter>::default();
    for ((extension, msg_type, flow), totals) in &counters.frames {
        let kind = Kind {
            extension: format!("{extension:#06x}"),
            message: format!("{msg_type:#04x}"),
            direction: match flow {
                Flow::In => "in",
                Flow::Out => "out",
            },
        };
        messages.get_or_create(&kind).inc_by(totals.messages);
        bytes.get_or_create(&kind).inc_by(totals.bytes);
    }
    registry.register("messages", "Messages by extension and type", messages);
    registry.register("payload_bytes", "Payload by extension and type", bytes);
    count(
        registry,
        "messages_ignored",
        "Messages of unknown extensions without the channel bit",
        counters.ignored,
    );
    count(
        registry,
        "messages_purged",
        "Messages that were lost on their way because an end had gone; their senders were told",
        counters.purged.messages,
    );
}

fn register_refusals(registry: &mut Registry, counters: &Counters) {
    let rejects = counters.rejects.iter();
    by_reason(
        registry,
        "rejects",
        "Channel messages that were not delivered, by reason",
        rejects.map(|(reason, number)| (reason.as_str(), *number)),
    );
    let refusals = counters.open_refusals.iter();
    by_reason(
        registry,
        "open_refusals",
        "Channels that were not opened, by reason",
        refusals.map(|(reason, number)| (reason.as_str(), *number)),
    );
    let refused = |(cause, number): (&EndCause, &u64)| match cause {
        EndCause::AuthenticationRefused(refusal) => Some((refusal.as_str(), *number)),
        EndCause::SetupRefused(refusal) => Some((refusal.as_str(), *number)),
        EndCause::ExtensionsRefused => Some((cause.as_str(), *number)),
        EndCause::Closed(_) | EndCause::Left | EndCause::Gone => None,
    };
    by_reason(
        registry,
        "setup_refusals",
        "Connections that were refused on the way to their identity, by reason",
        counters.ends.iter().filter_map(refused),
    );
    let closed = |(cause, number): (&EndCause, &u64)| match cause {
        EndCause::Closed(_) | EndCause::Left | EndCause::Gone => Some((cause.as_str(), *number)),
        _ => None,
    };
    by_reason(
        registry,
        "closes",
        "Connections that ended, by reason; left: the client closed it; gone: it broke",
        counters.ends.iter().filter_map(closed),
    );
    count(
        registry,
        "authentications",
        "Connections that have proven who they are",
        counters.authenticated,
    );
}

fn by_reason(
    registry: &mut Registry,
    name: &str,
    help: &str,
    numbers: impl Iterator<Item = (&'static str, u64)>,
) {
    let family = Family::<Reason, Counter>::default();
    for (reason, number) in numbers {
        family.get_or_create(&Reason { reason }).inc_by(number);
    }
    registry.register(name, help, family);
}

fn count(registry: &mut Registry, name: &str, help: &str, number: u64) {
    let counter: Counter = Counter::default();
    counter.inc_by(number);
    registry.register(name, help, counter);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, number: u64) {
    let gauge: Gauge = Gauge::default();
    set(&gauge, number);
    registry.register(name, help, gauge);
}

fn set(gauge: &Gauge, number: u64) {
    gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
}
