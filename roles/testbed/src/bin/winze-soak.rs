//! `scripts/soak`: a hub under thousands of connections, peers that never read, and a flood of strangers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use winze_runtime::shutdown;
use winze_testbed::soak::{self, SoakPlan};
use winze_testbed::tool;

/// How long idle connections are left alone: longer than the hub's default of 15 s before it asks a silent client for a
/// sign of life, so that they give one.
const IDLE_FOR: Duration = Duration::from_secs(20);
/// How long a measurement of latencies takes.
const EACH: Duration = Duration::from_secs(10);
/// Floods of the hub.
const FLOODS: usize = 3;

/// Measure a hub with idle connections, with peers that never read, and under a flood of connection attempts.
///
/// Runs real hub processes on free loopback ports, one after the other, with generated identities, and light peers in
/// this process. Nothing leaves the machine: the peers dial from 127.0.1.1 and the addresses after it, the flood from
/// 127.0.0.2 (1,000 attempts a second at most, for 10 s at a time). The p99 is one of a machine that has nothing else to
/// do. Progress is on standard error.
#[derive(Parser, Debug)]
#[command(
    name = "scripts/soak",
    after_help = "\
Exit status: 0 only if the hub's memory stayed within what its limits add up to in each scenario, no peer lost its \
connection, and the p99 of those that exchange was within twice what it was while the same flood hit a listener that \
only accepts and closes; 1 otherwise; 2 wrong command line.\n\n\
With --json, the last line of standard output is one object:\n  \
idle   {connections, connections_wanted, memory}\n  \
deaf   {never_read, others, connections, fed_bytes, window_bytes, exchanged, exchanged_min, p99_us, memory}\n  \
flood  {others, connections, attempts, attempts_closer, exchanged, exchanged_min, p99_us, p99_closer_us, memory}\n\
memory is {peak_bytes, bound_bytes}: the most that was resident, and what was resident before anyone was connected with \
what the limits add up to."
)]
struct Args {
    /// Idle connections
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    idle: u16,
    /// Pairs of peers that exchange; as many peers as they are together never read
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pairs: u16,
    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    json: bool,
    /// The binary that is measured
    #[arg(long, value_name = "FILE")]
    winze: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    tool::run("error", run(&args))
}

/// The run, and Ctrl-C. Whatever ends this future ends the hub: it belongs to what it owns.
async fn run(args: &Args) -> Result<ExitCode, String> {
    let stop = shutdown::signal().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let plan = SoakPlan {
        executable: args.winze.clone(),
        idle: usize::from(args.idle),
        pairs: usize::from(args.pairs),
        idle_for: IDLE_FOR,
        each: EACH,
        floods: FLOODS,
    };
    let begun = Instant::now();
    let say = |line: &str| eprintln!("[{:>4} s] {line}", begun.elapsed().as_secs());
    let report = tokio::select! {
        () = stop => return Err("interrupted; the hub was stopped".to_owned()),
        report = soak::run(&plan, say) => report.map_err(|error| error.to_string())?,
    };
    let problems = report.problems();
    if !args.json {
        println!("idle: {}", report.idle);
        println!("never read: {}", report.deaf);
        println!("flood: {}", report.flood);
    }
    for problem in &problems {
        eprintln!("NOT as it must be: {problem}");
    }
    if args.json {
        println!("{}", report.json());
    }
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
