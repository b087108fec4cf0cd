//! The command: see `--help`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use winze_simulator::campaign::{Report, shortest, try_seeds};
use winze_simulator::coverage::SHELL_ONLY;
use winze_simulator::fault::Fault;
use winze_simulator::sabotage::Sabotage;

/// Tries Winze's promises on a virtual clock, with faults and enemies drawn from seeds.
///
/// Exits with 1 when a promise was broken (the seed and the end of a short story are printed), and
/// when many seeds never exercised a message, a reason to close a connection or a channel, or a
/// reject reason of the specification. With --sabotage it exits with 0 only if the broken rule was noticed.
#[derive(Parser)]
#[command(name = "simulate")]
struct Args {
    /// How many seeds, from --seed on (without that from 1 on).
    #[arg(long)]
    seeds: Option<u64>,
    /// One seed alone, with the end of its story.
    #[arg(long)]
    seed: Option<u64>,
    /// Breaks a rule for every run, to see whether it is noticed: a name, or `all`.
    #[arg(long, value_name = "NAME")]
    sabotage: Option<String>,
}

/// As many seeds show every message and reason.
const SEEDS: u64 = 1_000;

fn main() -> ExitCode {
    let args = Args::parse();
    match (&args.sabotage, args.seed, args.seeds) {
        (Some(name), _, seeds) => sabotage(name, args.seed.unwrap_or(1), seeds.unwrap_or(SEEDS)),
        (None, Some(seed), None) => one(seed),
        (None, first, seeds) => many(first.unwrap_or(1), seeds.unwrap_or(SEEDS)),
    }
}

fn many(first: u64, seeds: u64) -> ExitCode {
    let began = Instant::now();
    let report = try_seeds(first..first + seeds, None, |report| {
        if report.runs % 100 == 0 {
            eprintln!("{} seeds, {} s", report.runs, began.elapsed().as_secs());
        }
    });
    show(&report);
    if report.violation.is_some() {
        return ExitCode::FAILURE;
    }
    let missing = report.coverage.missing();
    for what in &missing {
        println!("never exercised: {what}");
    }
    match missing.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn show(report: &Report) {
    println!(
        "{} runs, {} requests, {} numbered messages, {} messages to members of a group and {} that \
         they did not get",
        report.runs, report.requests, report.chat, report.group[0], report.group[1]
    );
    for (fault, count) in Fault::ALL.iter().zip(&report.faults) {
        println!("{count:>9} x {}", fault.name());
    }
    for (reason, why) in SHELL_ONLY {
        println!("close reason {reason} comes from the shell alone: {why}");
    }
    if let Some((seed, violation)) = &report.violation {
        println!("BROKEN with seed {seed}: {violation}");
        story(*seed, None);
    }
}

fn one(seed: u64) -> ExitCode {
    let report = try_seeds([seed], None, |_| {});
    show(&report);
    match report.violation {
        Some(_) => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    }
}

fn story(seed: u64, sabotage: Option<Sabotage>) {
    let (plan, outcome) = shortest(seed, sabotage);
    println!(
        "a short story of it, with {} steps before the quiet period:",
        plan.steps
    );
    for (fault, count) in Fault::ALL.iter().zip(&outcome.faults) {
        if *count > 0 {
            println!("{count:>9} x {}", fault.name());
        }
    }
    for line in &outcome.story {
        println!("{line}");
    }
    if let Some(violation) = outcome.violation {
        println!("BROKEN: {violation}");
    }
}

fn sabotage(name: &str, first: u64, seeds: u64) -> ExitCode {
    if !cfg!(feature = "sabotage") {
        eprintln!("this build breaks no rules; scripts/simulate makes one that does");
        return ExitCode::FAILURE;
    }
    let wanted: Vec<Sabotage> = Sabotage::ALL
        .iter()
        .copied()
        .filter(|sabotage| name == "all" || sabotage.name() == name)
        .collect();
    if wanted.is_empty() {
        eprintln!("no rule is called {name:?}; there are:");
        for sabotage in Sabotage::ALL {
            eprintln!("  {}", sabotage.name());
        }
        return ExitCode::FAILURE;
    }
    let mut all_noticed = true;
    for sabotage in wanted {
        let report = try_seeds(first..first + seeds, Some(sabotage), |_| {});
        match report.violation {
            Some((seed, violation)) => {
                println!("{}: noticed with seed {seed}: {violation}", sabotage.name());
                if name != "all" {
                    story(seed, Some(sabotage));
                }
            }
            None => {
                println!("{}: NOT NOTICED in {seeds} seeds", sabotage.name());
                all_noticed = false;
            }
        }
    }
    match all_noticed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
