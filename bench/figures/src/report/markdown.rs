//! BENCHMARKS.md.

use std::fmt::Write as _;

use super::table::header;
use crate::ceilings::{self, Floor};
use crate::outcome::{Outcome, Table};
use crate::profile::{self, Profile};
use crate::ratios;

/// Workloads whose slowest case has to be near the best, with the metric that says so.
const EVEN: [(&str, &str); 2] = [("scale", "k_per_s"), ("backlog", "k_per_s")];
/// How near.
const EVEN_MIN: f64 = 0.7;

const METHOD: &str = "\
Every figure is the median over the rounds, with the smallest and the largest behind it. A round measures all systems one \
after the other, so that what the machine does meanwhile meets all of them. Servers are processes of their own on \
loopback, the load comes from one process beside them, and both share the machine's cores: a rate is bounded by what \
clients and server cost together. *Server CPU* is the user and system time of the server's threads (`/proc`, `schedstat`) \
for each message, delivery or round trip, *clients' CPU* that of the process with the load, with what keeps the windows and \
counts.

- **hub** is `winze hub`. Its clients do what the specification asks: credit both ways, and at 200 bytes a real \
`MintQuoteRequest` or `MintQuoteResponse`, sealed for each message by its sender (HMAC) and verified by its receiver, whose \
payload has 200 bytes with everything. Other sizes go as an extension that the hub does not know. Every message is \
encrypted by itself, and the hub checks that each decodes. What lies together is encrypted, and authenticated, many messages at a time where the processor has \
the lanes for it; elsewhere one by one, which `floor` has beside it. The credit of hub and clients is the window, 1,024 messages \
and 256 KiB at least, and 4 windows in `fanout`; it is raised when half of it is used, as `winze-client` does.
- **What the clients are** differs, and rates and `rtt1` depend on it. Those of the hub and of *naive* read, decrypt and count \
in one task, on our transport, without the reconnecting and the events of `winze-client`: that favours both over NATS and \
Redis, whose clients are the libraries that their users have, with a task for the connection behind a queue. *Clients' CPU* \
shows how much. `durable`, `backlog` and `pipeline` run on `winze-client` as it is. Server CPU is independent of all this but \
for how many messages a client hands over at a time.
- **hub-1-thread** is the same hub with `TOKIO_WORKER_THREADS=1` in its environment. A message then costs less, as nothing goes \
from one core's cache to the other's and nobody is woken across; but the other core is not used, and with many pairs the rate is lower.
- **relay** is no hub: it reads from one end of a pair and writes to the other, without decrypting or looking. The ends \
encrypt for one another as they would for a hub. It is what sockets and system calls cost by themselves, with a thread for each core.
- **naive** is a hub on the Sv2 reference crates as one writes it first, in RustCrypto's default build; **naive-soft** the \
same with `chacha20_force_soft` and `poly1305_force_soft`. It has no credit and no authentication.
- **nats**, **nats-tls**: one `async-nats` connection for each peer. Its messages have no authenticators.
- **redis-blmpop**, **redis-brpop**: over TLS, 64 messages to an RPUSH, taken by BLMPOP with COUNT 64, or by BRPOP. A \
sender waits for the reply to one RPUSH before the next, so it has 64 messages under way at most, whatever the window.
- The window of messages outstanding is kept by the sender, by what its receiver has counted; it is the same for all \
systems. In `fanout` it is that of the slowest receiver, and a delivery is counted.
- The p50 of `rtt1` depends on whether the scheduler has both ends and the server on one core (no wake-up crosses cores) or \
not; p99 and the rate show the mixture.
- `durable` and `backlog`, **hub**: requester and responder of `winze-client`, each a process with its SQLite file on disk, \
`synchronous = FULL`, and windows of 8,192. The requester is handed batches of 64; what answers does so at once, and \
records it. A request counts when its answer is recorded in the requester's file. The requester is in the process with \
the load, and its CPU has both.
- `durable`, **redis-always**: RPUSH of 64, BLMPOP with COUNT 64, over TLS, appendfsync always; one connection asks, one \
answers, one takes answers. **redis-always-wide** has eight connections that answer and eight that take, so that one \
fsync serves many; the bound is against the former, and the latter is what Redis can do at best here. What Redis has popped is on no disk until its answers are pushed: a responder that dies in between has \
lost it, which the hub's does not.
- `durable`, **jetstream-always** and **jetstream-default**: two streams on files, over TLS, `sync_interval: always` and \
what it is by default; 1,024 outstanding, which fills it, and one acknowledgement for all before it.
- `backlog`: what is answered has waited longest, and as much is asked anew. The outbox is filled once for all rounds.
- `pipeline`, **hub**: the pool's ledger, requester and answers, the hub, and the whole mint with cdk's store, all with \
their defaults; 512 miners wait for their shares to be accepted. **legacy**: RPUSH of one JSON object by each of as many \
miners, BRPOP, and one quote to a transaction of the same store; Redis in the clear with appendfsync always, in \
**legacy-everysec** once a second. A share of the legacy flow counts once its quote is in the store: it tells the pool \
nothing, and records nothing there. *Server CPU* is the hub's or Redis's alone, *clients' CPU* that of \
pool and mint together.
- `bridge`, **hub**: the bridge and what answers at once and records it, each a process with its SQLite file on disk, and the hub between them; an entry counts when the key of its quote's id is written. **legacy-mint**: BRPOP, and one quote to a transaction of cdk's store; an entry counts once its quote is in the store, and no key is written. The same list for both, filled by RPUSH of 64; Redis in the clear with appendfsync everysec, in those with **always** with an fsync behind each command.
";

/// BENCHMARKS.md. `command` is how the run was asked for, `facts` what it was measured on and with, `profiles` what
/// `scripts/profile` has left.
pub fn text(
    outcome: &Outcome,
    command: &str,
    facts: &[(&str, String)],
    profiles: &[Profile],
) -> String {
    let mut out = String::new();
    // Writing to a String does not fail, here and below.
    let _ = writeln!(
        out,
        "# Benchmarks\n\nWritten by `{}` in {} minutes: {} rounds, {:.1} s for each measurement after {:.1} s of \
         warming up. `scripts/bench --help` says more.\n\n![The comparison as bars](BENCHMARKS.svg)\n",
        command,
        outcome.took.as_secs().div_ceil(60),
        outcome.plan.rounds,
        outcome.plan.measure.as_secs_f64(),
        outcome.plan.warm_up.as_secs_f64(),
    );
    out.push_str("| measured on | |\n|---|---|\n");
    for (name, value) in facts {
        let _ = writeln!(out, "| {name} | {value} |");
    }
    bounds(&mut out, outcome);
    ceilings(&mut out, outcome);
    let _ = write!(out, "\n## How it is measured\n\n{METHOD}");
    for table in &outcome.tables {
        figures(&mut out, outcome, table);
    }
    if !profiles.is_empty() {
        let _ = write!(out, "\n{}", profile::section(profiles));
    }
    if !outcome.missing.is_empty() || !outcome.failed.is_empty() {
        out.push_str("\n## Not measured\n\n");
        for (system, problem) in &outcome.missing {
            let _ = writeln!(out, "- {system} is not on this machine: {problem}");
        }
        for problem in &outcome.failed {
            let _ = writeln!(out, "- {problem}");
        }
    }
    out
}

fn bounds(out: &mut String, outcome: &Outcome) {
    out.push_str("\n## Bounds\n\n| | what | measured | bound | |\n|---|---|---|---|---|\n");
    for ratio in ratios::ALL {
        let (value, said) = match ratio.value(&outcome.medians) {
            None => ("not measured".to_owned(), ""),
            Some(value) if ratio.bound.holds(value) => (format!("{value:.3}"), "met"),
            Some(value) => (format!("{value:.3}"), "**missed**"),
        };
        let (key, what, bound) = (ratio.key, ratio.what, ratio.bound);
        let _ = writeln!(out, "| `{key}` | {what} | {value} | {bound} | {said} |");
    }
    for (name, metric) in EVEN {
        if let Some(share) = slowest_of_best(outcome, name, metric) {
            let said = match share >= EVEN_MIN {
                // A quick run leaves the largest cases out, and they decide.
                _ if outcome.plan.quick => "as far as a quick run goes",
                true => "met",
                false => "**missed**",
            };
            let _ = writeln!(
                out,
                "| `{name}` | hub, the slowest against the best | {share:.3} | >= {EVEN_MIN} | {said} |"
            );
        }
    }
}

/// What is missed, and whether anybody could do better on this machine.
fn ceilings(out: &mut String, outcome: &Outcome) {
    let ceilings = ceilings::of_missed(outcome);
    let Some(floor) = Floor::of(&outcome.medians).filter(|_| !ceilings.is_empty()) else {
        return;
    };
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "\n## What the missed bounds ask\n\nMicroseconds for each message, delivery, round trip or request. *Allowed* \
         is the bound times the other's figure; for a rate, {cores} cores for as long as one takes. *Cipher alone* is \
         `floor` of this run, in whole runs: a hub opens a message ({open:.2} us) and seals it ({seal:.2} us), to many once for each. On \
         its whole way a message is sealed and opened twice and has an authenticator made and verified ({mac:.2} us), \
         {path:.2} us together; a request with its answer is two such messages. *Sockets alone* is what `relay` of the same \
         workload takes, where there is one: a process that passes the same encrypted bytes between the same ends, and neither decrypts \
         nor looks at any; on all cores, as the hub is. Routing, credit, copies and locks are in neither, so what they do not exclude may be out of reach all the same.\n\n\
         | | of | allowed | spent | cipher alone | sockets alone | could any such hub meet it on this machine? |\n|---|---|---|---|---|---|---|",
        cores = outcome.cores,
        open = floor.open_us,
        seal = floor.seal_us,
        mac = floor.mac_us,
        path = floor.path_us(),
    );
    for ceiling in ceilings {
        let of = match ceiling.all_processes {
            true => "all processes",
            false => "hub",
        };
        let sockets = ceiling.sockets_us;
        let sockets = sockets.map_or_else(String::new, |us| format!("{us:.2}"));
        let _ = writeln!(
            out,
            "| `{}` | {of} | {:.2} | {:.2} | {:.2} | {sockets} | {} |",
            ceiling.key,
            ceiling.allowed_us,
            ceiling.spent_us,
            ceiling.cipher_us,
            ceiling.said()
        );
    }
}

fn slowest_of_best(outcome: &Outcome, name: &str, metric: &str) -> Option<f64> {
    let table = outcome.tables.iter().find(|table| table.name == name)?;
    let hub = table.cases.iter().filter(|case| case.system == "hub");
    let values: Option<Vec<f64>> = hub
        .map(|case| {
            let median = outcome.medians.of(table.name, case, metric)?;
            Some(median.value)
        })
        .collect();
    let values = values?;
    let best = values.iter().copied().reduce(f64::max)?;
    let slowest = values.iter().copied().reduce(f64::min)?;
    Some(slowest / best)
}

fn figures(out: &mut String, outcome: &Outcome, table: &Table) {
    let _ = write!(out, "\n## {}\n\n{}.\n\n", table.name, capital(table.about));
    let header = header(table);
    let _ = writeln!(
        out,
        "| {} |\n|{}",
        header.join(" | "),
        "---|".repeat(header.len())
    );
    for case in &table.cases {
        let cells: Vec<Option<String>> = table
            .metrics
            .iter()
            .map(|metric| {
                let median = outcome.medians.of(table.name, case, metric.key)?;
                let digits = metric.decimals;
                Some(format!(
                    "{:.digits$} ({:.digits$}..{:.digits$})",
                    median.value, median.min, median.max
                ))
            })
            .collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let mut row = vec![case.system.to_owned()];
        if !table.parameter.is_empty() {
            row.push(case.parameter.to_string());
        }
        row.extend(cells.into_iter().map(Option::unwrap_or_default));
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    fn page(figures: &[(&'static str, &'static str, u64, &'static str, f64)]) -> String {
        let facts = [("processor", "some, 2 cores".to_owned())];
        text(&example::outcome(figures), "scripts/bench", &facts, &[])
    }

    #[test]
    fn a_bound_is_said_to_be_met_missed_or_not_measured_as_it_is() {
        let page = page(&[
            ("pairs", "hub", 200, "cpu_us", 2.0),
            ("pairs", "nats", 200, "cpu_us", 2.0),
            ("pairs", "nats-tls", 200, "cpu_us", 2.5),
        ]);
        let row = |key: &str| {
            let start = format!("| `{key}` |");
            let found = page.lines().find(|line| line.starts_with(&start));
            found.unwrap_or_default().to_owned()
        };
        assert!(row("pairs_cpu_vs_nats_plain").ends_with("| 1.000 | <= 1.2 | met |"));
        assert!(row("pairs_cpu_vs_nats_tls").ends_with("| 0.800 | <= 0.5 | **missed** |"));
        assert!(row("bulk_rate_vs_nats_tls").ends_with("| not measured | >= 1.5 |  |"));
        // 0.5 of 2.5 us; the cipher takes 1 of them.
        let asked = "| `pairs_cpu_vs_nats_tls` | hub | 1.25 | 2.00 | 1.00 |  | not excluded: 0.25 us are left";
        assert!(page.contains(asked), "{page}");
        assert!(!page.contains("| `pairs_cpu_vs_nats_plain` | hub |"));
    }

    #[test]
    fn the_slowest_case_is_held_against_the_best_and_not_against_the_first() {
        let page = page(&[
            ("scale", "hub", 2, "k_per_s", 80.0),
            ("scale", "hub", 20, "k_per_s", 100.0),
            ("scale", "hub", 2_000, "k_per_s", 60.0),
            ("scale", "nats-tls", 2_000, "k_per_s", 1.0),
        ]);
        let row = "| `scale` | hub, the slowest against the best | 0.600 | >= 0.7 | **missed** |";
        assert!(page.contains(row), "{page}");
    }

    #[test]
    fn a_figure_that_a_system_does_not_have_is_an_empty_cell_under_its_own_title() {
        let page = page(&[
            ("durable", "hub", 0, "k_per_s", 50.0),
            ("durable", "redis-always", 0, "cpu_us", 5.5),
        ]);
        assert!(page.contains("| system | k/s | server CPU, us |\n|---|---|---|\n"));
        assert!(page.contains("| hub | 50.0 (50.0..50.0) |  |\n"), "{page}");
        assert!(page.contains("| redis-always |  | 5.50 (5.50..5.50) |\n"));
    }
}
