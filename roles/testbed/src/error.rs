//! What can go wrong with a deployment, told so that a person sees whose fault it is.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a deployment, a crew or a wallet could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum TestbedError {
    /// The machine refused something: a file, a folder, a process.
    #[error("{what}: {source}")]
    Machine {
        /// What was tried, and on which path.
        what: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A process ended when it should have run on.
    #[error("{name} ended ({status}); the end of its log:\n{log_tail}")]
    Ended {
        /// Which process.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its standard error.
        log_tail: String,
    },
    /// A process did not say in time that it is ready.
    #[error("{name} was not ready after {} s; the end of its log:\n{log_tail}", .within.as_secs())]
    NotReady {
        /// Which process.
        name: String,
        /// How long was waited.
        within: Duration,
        /// The last lines of its standard error.
        log_tail: String,
    },
    /// A ready line lacks a port.
    #[error("{name} printed {line:?}, which has no address for {key:?}")]
    ReadyLine {
        /// Which process.
        name: String,
        /// What it printed.
        line: String,
        /// What was looked for.
        key: &'static str,
    },
    /// A process that was restarted does not listen where it did.
    #[error("{name} came back on {found} instead of {wanted}")]
    Moved {
        /// Which process.
        name: String,
        /// Where it should listen.
        wanted: SocketAddr,
        /// Where it does.
        found: SocketAddr,
    },
    /// The process is not running, so it cannot be asked or ended.
    #[error("{name} is not running")]
    NotRunning {
        /// Which process.
        name: String,
    },
    /// `winze keys init` failed.
    #[error("keys cannot be made: {0}")]
    Keys(String),
    /// A key file that was just made cannot be read.
    #[error(transparent)]
    KeyFile(#[from] winze_runtime::keyfile::KeyFileError),
    /// Something did not come about in time.
    #[error("after {} s there is still no {what}: {state}", .within.as_secs())]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        within: Duration,
        /// How things stood.
        state: String,
    },
    /// An HTTP request failed or was answered with something else than expected.
    #[error("{url}: {problem}")]
    Http {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// A wallet could not be made, or could not redeem.
    #[error("wallet: {0}")]
    Wallet(#[from] cdk::Error),
    /// A wallet redeemed something else than the quote is worth.
    #[error("quote {quote_id} is worth {worth} and gave {redeemed}")]
    Redeemed {
        /// Which quote.
        quote_id: String,
        /// Its amount.
        worth: u64,
        /// What the wallet has got for it.
        redeemed: u64,
    },
    /// The mint went away in the middle of a redemption and has not said yet what came of it.
    #[error("quote {quote_id}: the mint does not say yet whether it was redeemed")]
    Unfinished {
        /// Which quote.
        quote_id: String,
    },
    /// There is no bitcoin node to be had.
    #[error(
        "no bitcoind: set BITCOIND_EXE, put bitcoind on the PATH, or lay one at {}", .looked_at.display()
    )]
    NoNode {
        /// The last place that was looked at.
        looked_at: PathBuf,
    },
    /// A bitcoin node refused a call.
    #[error("bitcoind refuses {method}: {message}")]
    Node {
        /// The call.
        method: String,
        /// What it said.
        message: String,
    },
    /// A stand-in for an old pool or mint failed.
    #[error("{who}: {problem}")]
    Legacy {
        /// Which.
        who: String,
        /// What it ran into.
        problem: String,
    },
    /// What runs as a task of this process failed.
    #[error("{who}: {problem}")]
    InProcess {
        /// Which.
        who: String,
        /// What it ran into.
        problem: String,
    },
    /// A plan that cannot be carried out.
    #[error("{0}")]
    Plan(String),
}

impl TestbedError {
    /// For use with `map_err` on whatever the operating system refuses.
    pub(crate) fn machine(what: impl Into<String>) -> impl FnOnce(io::Error) -> TestbedError {
        let what = what.into();
        move |source| TestbedError::Machine { what, source }
    }
}
