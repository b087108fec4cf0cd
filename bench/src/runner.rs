//! The run: rounds, each of them all cases one after the other, and their medians.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::args::Args;
use crate::error::BenchError;
use crate::limits::CASE;
use crate::ratios::Figure;
use crate::report;
use crate::setting::{Plan, Programs, Setting};
use crate::workload::{self, Case, Sample, Workload};
use crate::workloads::backlog;

/// Exit status: a measurement failed.
pub const FAILED: u8 = 1;
/// Exit status: a system is not on this machine.
const MISSING: u8 = 3;

/// The samples of one case, one for each round that gave one.
pub type Samples = BTreeMap<(&'static str, Case), Vec<Sample>>;

/// What the whole run gave.
pub struct Outcome {
    /// The workloads that were measured.
    pub workloads: Vec<Workload>,
    /// How it was asked for.
    pub plan: Plan,
    /// Every sample.
    pub medians: Medians,
    /// Systems that are not on this machine, with what was looked for.
    pub missing: BTreeMap<String, String>,
    /// Cases that failed, and how.
    pub failed: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Samples, and what is in the middle of them.
#[derive(Debug, Default)]
pub struct Medians(pub Samples);

/// The middle of the samples, and how far they were apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    /// The median; of an even number the mean of the two in the middle.
    pub value: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Medians {
    /// The median of one metric of one case; `None` where it was not measured.
    pub fn of(&self, workload: &'static str, case: &Case, metric: &str) -> Option<Median> {
        let samples = self.0.get(&(workload, case.clone()))?;
        let mut values: Vec<f64> = samples
            .iter()
            .filter_map(|sample| sample.0.get(metric).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let value = match values.len() % 2 {
            1 => values[middle],
            _ => (values[middle - 1] + values[middle]) / 2.0,
        };
        Some(Median { value, min, max })
    }

    /// The median of a figure.
    pub fn get(&self, figure: Figure) -> Option<f64> {
        let case = Case {
            system: figure.system,
            parameter: figure.parameter,
        };
        let median = self.of(figure.workload, &case, figure.metric)?;
        Some(median.value)
    }
}

/// Does what the command line says.
///
/// # Errors
/// [`BenchError`] where nothing could be measured, or a report could not be written.
pub async fn run_command(args: Args) -> Result<ExitCode, BenchError> {
    let plan = plan(&args);
    let workloads = chosen(&args, &plan)?;
    if args.list {
        report::table::list(&workloads, &plan);
        return Ok(ExitCode::SUCCESS);
    }
    let setting = Setting {
        plan,
        programs: programs(&args)?,
        shelf: Mutex::default(),
    };
    let mut terminated =
        signal(SignalKind::terminate()).map_err(|error| BenchError::machine("the run", error))?;
    let interrupted = || Err(BenchError::machine("the run", "interrupted"));
    let outcome = tokio::select! {
        outcome = run(&setting, workloads, &args.system) => outcome,
        // The future is dropped, and with it every server.
        _ = tokio::signal::ctrl_c() => return interrupted(),
        _ = terminated.recv() => return interrupted(),
    };
    report::table::print(&outcome);
    if let Some(file) = &args.json {
        report::json::write(&outcome, file)?;
    }
    let whole = !args.quick && args.only.is_empty() && args.system.is_empty();
    if args.write || (whole && !args.no_write) {
        report::markdown::write(&outcome, &args.folder, &setting)?;
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
                let title = report::table::title(workload, &key.1);
                match measured {
                    Ok(sample) => {
                        let shown = report::table::sample(workload, &sample);
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
        workloads,
        plan: setting.plan,
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
