//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Measure what a message costs through the hub, beside what its users would pick instead.
///
/// Everything runs side by side: each round measures one system after the other, and the figures are medians over the
/// rounds. Servers are processes of their own on free loopback ports, with generated keys, in temporary folders; the
/// load comes from this process. Server CPU is the server's user and system time for one message. Progress is on
/// standard error, the table on standard output.
#[derive(Parser, Debug)]
#[command(
    name = "scripts/bench",
    after_help = "\
Exit status: 0 everything was measured; 1 a measurement failed; 2 wrong command line; 3 a system is not on this machine \
(it is named, and its ratios are null). A missed bound is said and is no failure."
)]
pub struct Args {
    /// Only what the bounds need, one round of short measurements
    #[arg(long)]
    pub quick: bool,
    /// Only this workload (see --list); may be given several times
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Only this system (see --list); may be given several times
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub system: Vec<String>,
    /// How often each case is measured; default 5, with --quick 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::limits::ROUNDS_MAX)))]
    pub rounds: Option<u32>,
    /// How long each measurement takes; default 1.5, with --quick 0.5
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub seconds: Option<f64>,
    /// Write all medians and ratios to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write BENCHMARKS.md and its plot though not everything was measured
    #[arg(long)]
    pub write: bool,
    /// Write neither BENCHMARKS.md nor its plot
    #[arg(long, conflicts_with = "write")]
    pub no_write: bool,
    /// The folder of BENCHMARKS.md
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// Show where the time goes instead, by perf: of the one workload of --only, at the hub (see scripts/profile)
    #[arg(long, conflicts_with_all = ["quick", "system", "rounds", "json", "no_write", "list"])]
    pub profile: bool,
    /// List workloads and their systems, and measure nothing
    #[arg(long)]
    pub list: bool,
    /// The binary with the hub; default: beside this one
    #[arg(long, value_name = "FILE")]
    pub winze: Option<PathBuf>,
    /// The naive hub; default: beside this binary
    #[arg(long, value_name = "FILE")]
    pub naive: Option<PathBuf>,
    /// The naive hub in its force_soft build; default: where scripts/bench builds it
    #[arg(long, value_name = "FILE")]
    pub naive_soft: Option<PathBuf>,
    /// The NATS server; default: where scripts/bench puts it
    #[arg(long, value_name = "FILE")]
    pub nats_server: Option<PathBuf>,
    /// The Redis server
    #[arg(long, value_name = "FILE", default_value = "redis-server")]
    pub redis_server: PathBuf,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (0.05..=crate::limits::SECONDS_MAX).contains(&seconds) {
        true => Ok(seconds),
        false => Err(format!("0.05 to {}", crate::limits::SECONDS_MAX)),
    }
}
