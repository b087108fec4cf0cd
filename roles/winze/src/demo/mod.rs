//! `winze demo`: a whole deployment on this machine that turns real shares into real ecash, shown as it happens and
//! counted by the miners and wallets alone.
//!
//! What runs is `winze-testbed`'s; here are the command line ([`Args`]), the course of a run ([`course`]), the view
//! while it lasts ([`view`]) and what is said at the end ([`report`]). [`legacy`] is the other demonstration, of moving over
//! from Redis lists.

mod bound;
mod course;
mod error;
mod legacy;
mod report;
mod view;

use std::ffi::OsString;
use std::process::ExitCode;

use course::Course;
use error::DemoError;
use report::Asked;
use view::View;
use winze_runtime::hangup::Hangups;
use winze_runtime::{logging, shutdown};

use crate::print;

/// Show it: real shares become real ecash, on this machine.
///
/// Starts a hub, a pool and a mint as processes of their own on free loopback ports, with keys and files in a temporary
/// folder. Miners find shares on the CPU and submit them over Sv2 mining connections, each with its own key; a Cashu
/// wallet for each redeems its quotes over the mint's HTTP API. Ends by itself when everything is redeemed.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit status: 0 only if every accepted share has exactly one quote, every quote was redeemed, and the wallets hold what \
the shares are worth by their own hashes (with --bitcoind: and a block of the pool is on the node's chain).\n\n\
With --json, the last line of standard output is one object:\n  \
shares_accepted    counted by the miners\n  \
quotes_issued      heard of by the miners\n  \
quotes_redeemed    turned into ecash by the wallets\n  \
ecash_redeemed     what the wallets hold, in hash\n  \
ecash_expected     computed from the hashes of the miners' shares\n  \
blocks_found       shares that met the network's target; with --bitcoind, blocks on the node's chain\n  \
quote_latency_ms   {p50, p99}: from an accepted share to its miner knowing the quote; null without quotes\n\n\
With --legacy, status 0 stands for that and for exactly one quote, among the old mint and the new one, for every request \
that the old pool pushed. The object is:\n  \
requests_pushed    by the old pool, counted by itself\n  \
quotes_old_mint    in the old mint's store\n  \
quotes_new_mint    in the new mint's store, for the old pool's requests\n  \
lost               requests and shares without a quote at either\n  \
duplicates         header hashes with more than one quote, or with one that nobody asked for\n  \
dead_letters       requests that were put aside\n  \
seconds            how long it took\n  \
miners             the object above, for the miners' shares")]
pub(crate) struct Args {
    /// Accepted shares of all miners together after which it ends
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    shares: u64,
    /// Miners, each with a key, a wallet and a thread of its own
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    miners: u8,
    /// Leave hub, pool and mint running afterwards, until Ctrl-C, and say how to connect
    #[arg(long)]
    keep: bool,
    /// Take templates from a bitcoin node on regtest and give it the blocks. It is looked for at BITCOIND_EXE, on the
    /// PATH, and at ../shared/bin/bitcoind
    #[arg(long)]
    bitcoind: bool,
    /// Show how an older deployment moves over: an old pool and an old mint, which talk through a list in Redis, are
    /// replaced under load, one after the other, with the hub and a bridge between. Needs redis-server (version 7) on the
    /// PATH; the old pool and mint are stand-ins that speak the historical formats
    #[arg(long, conflicts_with_all = ["bitcoind", "keep"])]
    legacy: bool,
    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    json: bool,
    /// Become the program that follows, which ends with this process, its parent
    #[arg(long, value_name = "PID", hide = true, requires = "program")]
    bound_to: Option<u32>,
    #[arg(last = true, hide = true, requires = "bound_to")]
    program: Vec<OsString>,
}

/// Runs the demonstration.
pub(crate) fn run(args: &Args) -> ExitCode {
    match try_run(args) {
        Ok(status) => status,
        Err(message) => {
            print::message(format_args!("error: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn try_run(args: &Args) -> Result<ExitCode, String> {
    if let Some(parent) = args.bound_to {
        let never = bound::become_bound(parent, &args.program);
        return never
            .map(|never| match never {})
            .map_err(|error| error.to_string());
    }
    // The view is on standard error as well; what is wrong ends the run with an error of its own.
    logging::init("error").map_err(|error| error.to_string())?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?
        .block_on(show(args))
}

/// Ctrl-C, SIGTERM, or a terminal that was closed.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let signal = shutdown::signal()?;
    let mut hangups = Hangups::install()?;
    Ok(async move {
        tokio::select! {
            () = signal => {}
            _ = hangups.next() => {}
        }
    })
}

/// The run, and what interrupts it. Whatever ends this future ends the children: they belong to what it owns.
async fn show(args: &Args) -> Result<ExitCode, String> {
    let stop = stopped().map_err(|error| format!("cannot listen for signals: {error}"))?;
    if args.legacy {
        let asked = Asked {
            shares: args.shares,
            miners: args.miners,
            node: false,
        };
        return legacy::show(asked, args.json, stop).await;
    }
    tokio::pin!(stop);
    let mut view = View::new(args.shares);
    let interrupted = || Err("interrupted; all processes were stopped".to_owned());

    let started = tokio::select! {
        () = &mut stop => return interrupted(),
        started = Course::start(args, &mut view) => started,
    };
    let mut course = started.map_err(text)?;
    let outcome = tokio::select! {
        () = &mut stop => {
            view.erase();
            return interrupted();
        }
        outcome = course.run(&mut view) => outcome,
    };
    view.erase();

    let summary = outcome.summary(course.plan());
    let summary = summary.trim_end();
    let said = if args.json {
        print::message(summary);
        print::result(outcome.report.json())
    } else {
        print::result(summary)
    };
    if !outcome.problems.is_empty() {
        course.keep_folder();
        print::message(format_args!(
            "configuration, stores and logs are left in {}",
            course.folder()
        ));
    }
    if args.keep {
        print::message(course.how_to_connect().trim_end());
        stop.await;
    }
    course.end().await.map_err(text)?;
    said.map_err(|error| format!("cannot write: {error}"))?;
    if outcome.problems.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

fn text(error: DemoError) -> String {
    error.to_string()
}
