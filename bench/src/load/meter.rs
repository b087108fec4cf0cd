//! What happens between two moments under load, and what it costs each process.

use std::time::Instant;

use tokio::time::sleep;
use winze_bench_figures::cost::{Cost, Span};
use winze_bench_figures::processor::ProcessorTime;

use crate::error::BenchError;
use crate::server::Server;
use crate::setting::Setting;

/// The processes that take part beside this one, where the load comes from.
#[derive(Clone, Copy)]
pub struct Processes<'a> {
    /// What is measured.
    pub server: &'a Server,
    /// Who answers, where it is a process of its own.
    pub responder: Option<&'a Server>,
}

impl<'a> Processes<'a> {
    /// A server, and all clients in this process.
    pub fn of(server: &'a Server) -> Processes<'a> {
        Processes {
            server,
            responder: None,
        }
    }
}

/// Counts, time and processor time at one moment.
struct Reading {
    at: Instant,
    count: u64,
    server: ProcessorTime,
    load: ProcessorTime,
    responder: Option<ProcessorTime>,
}

/// Lets the load run as long as the plan warms up, then as long as it measures, and gives what the latter has cost for
/// each of what `count` counts.
///
/// # Errors
/// [`BenchError::Stalled`] where nothing was done; [`BenchError::Machine`] where a process has ended.
pub async fn observe(
    setting: &Setting,
    processes: Processes<'_>,
    count: impl Fn() -> u64,
) -> Result<Cost, BenchError> {
    sleep(setting.plan.warm_up).await;
    let looking = match &setting.profiler {
        Some(profiler) => Some(profiler.start(processes).await?),
        None => None,
    };
    let before = Reading::now(processes, count())?;
    sleep(setting.plan.measure).await;
    let cost = Reading::now(processes, count())?.since(&before)?;
    if let Some(looking) = looking {
        looking.end(&cost).await?;
    }
    Ok(cost)
}

impl Reading {
    fn now(processes: Processes<'_>, count: u64) -> Result<Reading, BenchError> {
        let of = |process: u32| {
            ProcessorTime::of(process)
                .map_err(|error| BenchError::machine(format!("process {process}"), error))
        };
        let responder = processes.responder.map(|responder| of(responder.id()));
        Ok(Reading {
            at: Instant::now(),
            count,
            server: of(processes.server.id())?,
            load: of(std::process::id())?,
            responder: responder.transpose()?,
        })
    }

    fn since(&self, earlier: &Reading) -> Result<Cost, BenchError> {
        let responder = self.responder.as_ref().zip(earlier.responder.as_ref());
        let span = Span {
            took: self.at.duration_since(earlier.at),
            count: self.count.saturating_sub(earlier.count),
            server_ns: self.server.since_ns(&earlier.server),
            load_ns: self.load.since_ns(&earlier.load),
            responder_ns: responder.map(|(now, before)| now.since_ns(before)),
        };
        span.cost().ok_or_else(|| BenchError::Stalled {
            what: "the load".to_owned(),
            within_s: span.took.as_secs(),
        })
    }
}
