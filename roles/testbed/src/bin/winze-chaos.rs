//! `scripts/chaos`: kills hub, pool and mint (with `--redis` the bridge and Redis, too) at random moments under load, and
//! counts what came of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use winze_runtime::shutdown;
use winze_testbed::chaos::{self, ChaosPlan, ChaosReport};
use winze_testbed::tool;

/// One kill at least in so many seconds: 30 in two minutes.
const SECONDS_PER_KILL: u64 = 4;
/// Problems that are told one by one. What went wrong once often did so a thousand times.
const PROBLEMS_SHOWN_MAX: usize = 20;

/// Kill hub, pool and mint with SIGKILL at random moments while miners mine, and count what came of it.
///
/// Runs real processes on free loopback ports, with keys and files in a temporary folder, and miners with wallets. One,
/// two or three processes are killed at moments that a seed chooses, some in the middle of starting, and started
/// again after up to 1.5 s. At the end everything comes to rest, and miners and wallets count: no table of the pool's
/// or the mint's is read. Progress is on standard error.
#[derive(Parser, Debug)]
#[command(
    name = "scripts/chaos",
    after_help = "\
Exit status: 0 only if `lost` and `duplicates` are 0, the amounts agree, and there was a kill for every 4 seconds at \
least (the run lasts until there was); 1 otherwise, and files and logs are left in place; 2 wrong command line.\n\n\
With --json, the last line of standard output is one object:\n  \
shares_accepted  what miners were told\n  \
shares_refused   shares that the pool did not take: of jobs that a restart has ended\n  \
quotes_redeemed  quotes that wallets turned into ecash\n  \
ecash_redeemed   what the wallets hold, in hash\n  \
ecash_expected   computed from the hashes of the accepted shares, and of those in doubt that have a quote\n  \
lost             accepted shares without a redeemed quote\n  \
duplicates       quotes beyond one for a share, quotes for nobody's share, shares that were accepted again\n  \
in_doubt         shares whose reply was lost with a killed pool: each has one quote or none\n  \
kills            {hub, pool, mint}: SIGKILLs\n  \
seed             repeats the moments and victims with --seed"
)]
struct Args {
    /// How long processes are killed; what follows until all is settled comes on top
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// What moments and victims are drawn from; without it, a new one, which is printed
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Miners, each with a key, a wallet and a thread of its own
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    miners: u8,
    /// Send every share's request over a list in Redis and a bridge, and kill these, too: Redis (append-only file, an fsync
    /// behind every command), bridge and hub mostly, pool and mint seldom
    #[arg(long)]
    redis: bool,
    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    json: bool,
    /// The binary that is tried
    #[arg(long, value_name = "FILE")]
    winze: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // Lost connections are what this is about; the processes' own logs are files.
    tool::run("off", run(&args))
}

/// The run, and Ctrl-C. Whatever ends this future ends the children: they belong to what it owns.
async fn run(args: &Args) -> Result<ExitCode, String> {
    let stop = shutdown::signal().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let plan = ChaosPlan {
        executable: args.winze.clone(),
        lasts: Duration::from_secs(args.seconds),
        kills_min: args.seconds.div_ceil(SECONDS_PER_KILL),
        seed: args.seed.unwrap_or_else(rand::random),
        miners: usize::from(args.miners),
        redis: args.redis,
    };
    let begun = Instant::now();
    let say = |line: &str| eprintln!("[{:>4} s] {line}", begun.elapsed().as_secs());
    say(&format!("seed {}", plan.seed));
    let report = tokio::select! {
        () = stop => return Err("interrupted; all processes were stopped".to_owned()),
        report = chaos::run(&plan, say) => report.map_err(|error| error.to_string())?,
    };
    if args.json {
        eprint!("{}", summary(&report));
        println!("{}", report.json());
    } else {
        print!("{}", summary(&report));
    }
    Ok(if report.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// For people, several lines.
fn summary(report: &ChaosReport) -> String {
    let mut lines = vec![
        format!(
            "{} kills ({}): {} shares accepted, {} in doubt, {} refused; {} quotes redeemed, {} lost, {} duplicates.",
            report.kills.all(),
            report.kills,
            report.shares_accepted,
            report.in_doubt,
            report.shares_refused,
            report.quotes_redeemed,
            report.lost,
            report.duplicates
        ),
        format!(
            "The shares are worth {} hash; the wallets hold {} hash.",
            report.ecash_expected, report.ecash_redeemed
        ),
    ];
    if report.problems.is_empty() {
        lines.push("Every accepted share became exactly one redeemed quote.".to_owned());
    } else {
        lines.push(format!("NOT as it must be (seed {}):", report.seed));
        let shown = report.problems.iter().take(PROBLEMS_SHOWN_MAX);
        lines.extend(shown.map(|problem| format!("- {problem}")));
        let more = report.problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
        if more > 0 {
            lines.push(format!("- and {more} more"));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}
