//! The run: rounds, each of them all cases one after the other, and their medians.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::time::timeout;
use winze_bench_figures::median::{Medians, Samples};
use winze_bench_figures::outcome::Outcome;
use winze_bench_figures::report::table;

use crate::args::Args;
use crate::error::BenchError;
use crate::limits::CASE;
use crate::page;
use crate::profiler;
use crate::setting::{Programs, Setting};
use crate::workload::{self, Case, Plan, Workload};
use crate::workloads::backlog;

/// Exit status: a measurement failed.
pub const FAILED: u8 = 1;
/// Exit status: a system is not on this machine.
const MISSING: u8 = 3;

/// Does what the command line says.
///
/// # Errors
/// [`BenchError`] where nothing could be measured, or a report could not be written.
pub async fn run_command(args: Args) -> Result<ExitCode, BenchError> {
    let plan = plan(&args);
    let workloads = chosen(&args, &plan)?;
    if args.list {
        let tables: Vec<_> = workloads.iter().map(|it| it.table(&plan)).collect();
        table::list(&tables);
        return Ok(ExitCode::SUCCESS);
    }
    let setting = Setting {
        plan,
        programs: programs(&args)?,
        profiler: None,
        shelf: Mutex::default(),
    };
    let mut terminated =
        signal(SignalKind::terminate()).map_err(|error| BenchError::machine("the run", error))?;
    let interrupted = || Err(BenchError::machine("the run", "interrupted"));
    if args.profile {
        let [workload] = &workloads[..] else {
            return Err(BenchError::machine(
                "--profile",
                "needs --only with one workload",
            ));
        };
        return tokio::select! {
            done = profiler::run(setting, workload, args.write, &args.folder) => done.map(|()| ExitCode::SUCCESS),
            _ = tokio::signal::ctrl_c() => interrupted(),
            _ = terminated.recv() => interrupted(),
        };
    }
    let outcome = tokio::select! {
        outcome = run(&setting, workloads, &args.system) => outcome,
        // The future is dropped, and with it every server.
        _ = tokio::signal::ctrl_c() => return interrupted(),
        _ = terminated.recv() => return interrupted(),
    };
    table::print(&outcome);
    if let Some(file) = &args.json {
        page::write_json(&outcome, file)?;
    }
    let whole = !args.quick && args.only.is_empty() && args.system.is_empty();
    if args.write || (whole && !args.no_write) {
        page::write_page(&outcome, &args.folder, &setting)?;
    }
    Ok(
        match (outcome.failed.is_empty(), outcome.missing.is_empty()) {
            (false, _) => ExitCode::from(FAILED),
            (true, false) => ExitCode::from(MISSING),
            (true, true) => ExitCode::SUCCESS,
        },
    )
}

async fn run(setting: &Setting, workloads: Vec<Workload>, systems: &[String]) -> Outcome {
    let began = Instant::now();
    let mut samples = Samples::new();
    let mut missing = BTreeMap::new();
    let mut broken = BTreeSet::new();
    let mut failed = Vec::new();
    for round in 1..=setting.plan.rounds {
        for workload in &workloads {
            for case in (workload.cases)(&setting.plan) {
                if !systems.is_empty() && !systems.iter().any(|wanted| *wanted == case.system) {
                    continue;
                }
                let key = (workload.name, case);
                if missing.contains_key(key.1.system) || broken.contains(&key) {
                    continue;
                }
                let within = CASE + preparation_max(workload, &key.1);
                let measured = timeout(within, (workload.measure)(setting, &key.1)).await;
                let measured = measured.unwrap_or_else(|_| {
                    Err(BenchError::Stalled {
                        what: format!("{} at {}", workload.name, key.1.system),
                        within_s: within.as_secs(),
                    })
                });
                let elapsed_s = began.elapsed().as_secs();
                let table = workload.table(&setting.plan);
                let title = table::title(&table, &key.1);
                match measured {
                    Ok(sample) => {
                        let shown = table::sample(&table, &sample);
                        eprintln!(
                            "[{elapsed_s:>4}s] {round}/{} {title}: {shown}",
                            setting.plan.rounds
                        );
                        samples.entry(key).or_default().push(sample);
                    }
                    Err(BenchError::Missing { system, problem }) => {
                        eprintln!(
                            "[{elapsed_s:>4}s] {system} is skipped, it is not there: {problem}"
                        );
                        missing.insert(key.1.system.to_owned(), problem);
                    }
                    Err(error) => {
                        eprintln!(
                            "[{elapsed_s:>4}s] {round}/{} {title}: FAILED: {error}",
                            setting.plan.rounds
                        );
                        failed.push(format!("{title}: {error}"));
                        broken.insert(key);
                    }
                }
            }
        }
    }
    Outcome {
        tables: workloads.iter().map(|it| it.table(&setting.plan)).collect(),
        plan: setting.plan,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        medians: Medians(samples),
        missing,
        failed,
        took: began.elapsed(),
    }
}

/// How long a case may take before it is measured, beside what every case may.
fn preparation_max(workload: &Workload, case: &Case) -> Duration {
    match workload.name == backlog::BACKLOG.name {
        true => backlog::fill_time_max(case),
        false => Duration::ZERO,
    }
}

fn plan(args: &Args) -> Plan {
    if args.profile {
        return profiler::plan(args.seconds);
    }
    let (rounds, warm_up_s, measure_s) = match args.quick {
        true => (1, 0.3, 0.5),
        false => (5, 0.5, 1.5),
    };
    Plan {
        quick: args.quick,
        rounds: args.rounds.unwrap_or(rounds),
        warm_up: Duration::from_secs_f64(warm_up_s),
        measure: Duration::from_secs_f64(args.seconds.unwrap_or(measure_s)),
    }
}

/// The workloads that were asked for; all where none was named.
fn chosen(args: &Args, plan: &Plan) -> Result<Vec<Workload>, BenchError> {
    let all = workload::all();
    for name in &args.only {
        if !all.iter().any(|workload| workload.name == name) {
            let known: Vec<&str> = all.iter().map(|workload| workload.name).collect();
            let problem = format!("there is no such workload; there are {}", known.join(", "));
            return Err(BenchError::machine(name, problem));
        }
    }
    for name in &args.system {
        let mut cases = all.iter().flat_map(|workload| (workload.cases)(plan));
        if !cases.any(|case| case.system == name) {
            return Err(BenchError::machine(
                name,
                "there is no such system; see --list",
            ));
        }
    }
    Ok(all
        .into_iter()
        .filter(|workload| {
            args.only.is_empty() || args.only.iter().any(|name| workload.name == name)
        })
        .collect())
}

/// Where the programs are: where the options say, else where `scripts/bench` puts them.
fn programs(args: &Args) -> Result<Programs, BenchError> {
    let own =
        std::env::current_exe().map_err(|error| BenchError::machine("this program", error))?;
    let release = own.parent().unwrap_or(&own).to_owned();
    let target = release.parent().unwrap_or(&release).to_owned();
    let or = |given: &Option<PathBuf>, default: PathBuf| given.clone().unwrap_or(default);
    Ok(Programs {
        winze: or(&args.winze, release.join("winze")),
        naive: or(&args.naive, release.join("winze-bench-naive")),
        naive_soft: or(
            &args.naive_soft,
            target.join("bench-soft/release/winze-bench-naive"),
        ),
        nats: or(
            &args.nats_server,
            target.join("tools/nats-2.15.1/nats-server"),
        ),
        redis: args.redis_server.clone(),
    })
}
