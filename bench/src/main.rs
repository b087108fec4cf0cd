//! `scripts/bench`: what a message costs through the hub, beside what its users would pick instead, in one run.
//!
//! | start here | what |
//! |---|---|
//! | [`workload`] | what is measured: a [`workload::Workload`] with its cases, and the list of all of them |
//! | [`runner`] | the run: rounds, each of them all cases one after the other, and their medians |
//! | [`load`] | shapes of load that are the same for every system: flow, round trip |
//! | [`durable`] | load that is stored at both ends |
//! | [`pipeline`] | shares on their way to quotes |
//! | [`bridge`] | entries of an old list on theirs |
//! | [`systems`] | the servers that are measured, and clients of them |
//! | [`server`] | a server in a process of its own: its start, its end, its processor time and memory |
//! | [`profiler`] | one workload under `perf`, instead |
//! | [`page`] | the files that a run leaves |
//! | `figures/` | a crate of its own: medians, bounds, tables, and how processor time is counted |
//!
//! To add a workload: a file in `workloads/` with a constant of type [`workload::Workload`], and a line in
//! [`workload::all`].

mod args;
mod bridge;
mod durable;
mod error;
mod limits;
mod load;
mod machine;
mod page;
mod pipeline;
mod profiler;
mod runner;
mod server;
mod setting;
mod systems;
mod workload;
mod workloads;

use std::process::ExitCode;

use bridge::process;
use clap::Parser;
use durable::responder;
use mimalloc::MiMalloc;
use systems::relay;

/// That of the `winze` binary, whose requesters and responders run in this one.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Threads of the load generators: as many as the machine of the published figures has cores.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = match arguments.split_first() {
                Some((first, more)) if first == responder::COMMAND => runtime
                    .block_on(responder::run(more))
                    .map(|()| ExitCode::SUCCESS),
                Some((first, more)) if first == process::COMMAND => runtime
                    .block_on(process::run(more))
                    .map(|()| ExitCode::SUCCESS),
                Some((first, _)) if first == relay::COMMAND => {
                    runtime.block_on(relay::run()).map(|()| ExitCode::SUCCESS)
                }
                _ => runtime.block_on(runner::run_command(args::Args::parse())),
            };
            // A load generator that hangs in a blocking call does not keep the process.
            runtime.shutdown_timeout(limits::SHUTDOWN);
            outcome
        }
        Err(error) => Err(error::BenchError::machine("the runtime", error)),
    };
    match outcome {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(runner::FAILED)
        }
    }
}
