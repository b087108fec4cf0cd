//! BENCHMARKS.md.

use std::fmt::Write as _;
use std::path::Path;

use super::table::header;
use super::{machine, plot};
use crate::error::BenchError;
use crate::ratios;
use crate::runner::Outcome;
use crate::setting::Setting;
use crate::workload::Workload;

/// Workloads whose slowest case has to be near the best, with the metric that says so.
const EVEN: [(&str, &str); 2] = [("scale", "k_per_s"), ("backlog", "k_per_s")];
/// How near.
const EVEN_MIN: f64 = 0.7;

const METHOD: &str = "\
Every figure is the median over the rounds, with the smallest and the largest behind it. A round measures all systems one \
after the other, so that what the machine does meanwhile meets all of them. Servers are processes of their own on \
loopback, the load comes from one process beside them, and both share the machine's cores: a rate is bounded by what \
clients and server cost together. *Server CPU* is the user and system time of the server's threads (`/proc`, `schedstat`) \
for each message, delivery or round trip.

- **hub** is `winze hub`. Its clients do what the specification asks: credit both ways, and at 200 bytes a real \
`MintQuoteRequest` or `MintQuoteResponse`, sealed for each message by its sender (HMAC) and verified by its receiver, whose \
payload has 200 bytes with everything. Other sizes go as an extension that the hub does not know. Every message is \
encrypted by itself, and the hub checks that each decodes.
- **naive** is a hub on the Sv2 reference crates as one writes it first, in RustCrypto's default build; **naive-soft** the \
same with `chacha20_force_soft` and `poly1305_force_soft`. It has no credit and no authentication.
- **nats**, **nats-tls**: one `async-nats` connection for each peer. Its messages have no authenticators.
- **redis-blmpop**, **redis-brpop**: over TLS, 64 messages to an RPUSH, taken by BLMPOP with COUNT 64, or by BRPOP.
- The window of messages outstanding is kept by the sender, by what its receiver has counted; it is the same for all \
systems. In `fanout` it is that of the slowest receiver, and a delivery is counted.
- The p50 of `rtt1` depends on whether the scheduler has both ends and the server on one core (no wake-up crosses cores) or \
not; p99 and the rate show the mixture.
- `durable` and `backlog`, **hub**: requester and responder of `winze-client`, each a process with its SQLite file on disk, \
`synchronous = FULL`, and windows of 8,192. The requester is handed batches of 64; what answers does so at once, and \
records it. A request counts when its answer is recorded in the requester's file.
- `durable`, **redis-always**: RPUSH of 64, BLMPOP with COUNT 64, over TLS, appendfsync always; one connection asks, one \
answers, one takes answers. **redis-always-wide** has eight connections that answer and eight that take, so that one \
fsync serves many. What Redis has popped is on no disk until its answers are pushed: a responder that dies in between has \
lost it, which the hub's does not.
- `durable`, **jetstream-always** and **jetstream-default**: two streams on files, over TLS, `sync_interval: always` and \
what it is by default; 1,024 outstanding, which fills it, and one acknowledgement for all before it.
- `backlog`: what is answered has waited longest, and as much is asked anew. The outbox is filled once for all rounds.
- `pipeline`, **hub**: the pool's ledger, requester and answers, the hub, and the whole mint with cdk's store, all with \
their defaults; 512 miners wait for their shares to be accepted. **legacy**: RPUSH of one JSON object by each of as many \
miners, BRPOP, and one quote to a transaction of the same store; Redis in the clear with appendfsync always, in \
**legacy-everysec** once a second. A share of the legacy flow counts once its quote is in the store: it tells the pool \
nothing, and records nothing there. *Server CPU* is the hub's or Redis's alone.
";

/// Writes BENCHMARKS.md and BENCHMARKS.svg into `folder`.
///
/// # Errors
/// [`BenchError::Machine`].
pub fn write(outcome: &Outcome, folder: &Path, setting: &Setting) -> Result<(), BenchError> {
    let files = [
        ("BENCHMARKS.md", text(outcome, setting)),
        ("BENCHMARKS.svg", plot::svg(outcome)),
    ];
    for (name, text) in files {
        let file = folder.join(name);
        std::fs::write(&file, text).map_err(|error| BenchError::machine(file.display(), error))?;
        eprintln!("wrote {}", file.display());
    }
    Ok(())
}

fn text(outcome: &Outcome, setting: &Setting) -> String {
    let mut out = String::new();
    // Writing to a String does not fail, here and below.
    let _ = writeln!(
        out,
        "# Benchmarks\n\nWritten by `{}` in {} minutes: {} rounds, {:.1} s for each measurement after {:.1} s of \
         warming up. `scripts/bench --help` says more.\n\n![The comparison as bars](BENCHMARKS.svg)\n",
        command(),
        outcome.took.as_secs().div_ceil(60),
        outcome.plan.rounds,
        outcome.plan.measure.as_secs_f64(),
        outcome.plan.warm_up.as_secs_f64(),
    );
    out.push_str("| measured on | |\n|---|---|\n");
    for (name, value) in machine::facts(setting) {
        let _ = writeln!(out, "| {name} | {value} |");
    }
    bounds(&mut out, outcome);
    let _ = write!(out, "\n## How it is measured\n\n{METHOD}");
    for workload in &outcome.workloads {
        figures(&mut out, outcome, workload);
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

/// The command, without where this machine has the programs.
fn command() -> String {
    let mut command = "scripts/bench".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--winze" | "--naive" | "--naive-soft" | "--nats-server" | "--redis-server"
            | "--folder" => {
                arguments.next();
            }
            "--json" => {
                arguments.next();
                command.push_str(" --json FILE");
            }
            _ => {
                command.push(' ');
                command.push_str(&argument);
            }
        }
    }
    command
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

fn slowest_of_best(outcome: &Outcome, name: &str, metric: &str) -> Option<f64> {
    let workload = outcome
        .workloads
        .iter()
        .find(|workload| workload.name == name)?;
    let cases = (workload.cases)(&outcome.plan);
    let hub = cases.iter().filter(|case| case.system == "hub");
    let values: Option<Vec<f64>> = hub
        .map(|case| {
            let median = outcome.medians.of(workload.name, case, metric)?;
            Some(median.value)
        })
        .collect();
    let values = values?;
    let best = values.iter().copied().reduce(f64::max)?;
    let slowest = values.iter().copied().reduce(f64::min)?;
    Some(slowest / best)
}

fn figures(out: &mut String, outcome: &Outcome, workload: &Workload) {
    let _ = write!(
        out,
        "\n## {}\n\n{}.\n\n",
        workload.name,
        capital(workload.about)
    );
    let header = header(workload);
    let _ = writeln!(
        out,
        "| {} |\n|{}",
        header.join(" | "),
        "---|".repeat(header.len())
    );
    for case in (workload.cases)(&outcome.plan) {
        let cells: Vec<Option<String>> = workload
            .metrics
            .iter()
            .map(|metric| {
                let median = outcome.medians.of(workload.name, &case, metric.key)?;
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
        if !workload.parameter.is_empty() {
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
