//! `winze outbox`: what waits in a role's store and what is parked there, and what the operator does about it.

mod view;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use winze_client::StoreError;
use winze_client::StoreFileError;
use winze_client::outbox::OutboxFile;
use winze_runtime::clock::now_unix_ms;

use crate::print;

/// Requests shown for each peer and state when nothing is said.
const ROWS_SHOWN: usize = 20;

/// Show what waits in a role's store file, how old it is and how often it was tried; what is parked, and why.
///
/// FILE is the role's `store_file`. The role may run meanwhile. Looking changes nothing.
#[derive(clap::Args, Debug)]
#[command(
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    after_help = "What waits is sent again by itself until it has its answer. What is parked is not: its peer refused it \
    for good, or the hub keeps rejecting it. The reason stands beside it. Header hashes are written as block hashes \
    are, and so they are in the logs.\n\n\
    Examples:\n  \
    winze outbox winze-data/pool/pool.sqlite\n  \
    winze outbox --json --rows 1000 winze-data/pool/pool.sqlite\n  \
    winze outbox retry winze-data/pool/pool.sqlite --all\n  \
    winze outbox discard winze-data/pool/pool.sqlite --yes 00000000a1...\n  \
    winze outbox acknowledge winze-data/pool/pool.sqlite"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// The role's store file
    #[arg(value_name = "FILE", required = true)]
    file: Option<PathBuf>,
    /// One line of JSON instead of a table
    #[arg(long)]
    json: bool,
    /// How many requests to show for each peer, waiting and parked, the oldest first
    #[arg(long, value_name = "N", default_value_t = ROWS_SHOWN)]
    rows: usize,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Have parked requests sent again; a role that runs finds them within seconds
    ///
    /// Whoever has refused a request for good gives the same answer again, and it is parked again.
    Retry {
        /// The role's store file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The request, as `winze outbox FILE` writes it
        #[arg(value_name = "KEY", required_unless_present = "all")]
        key: Option<String>,
        /// Everything that is parked
        #[arg(long, conflicts_with = "key")]
        all: bool,
    },
    /// Say that you have seen that a store was set back; nothing else changes
    ///
    /// A store is set back when an older copy of it is restored, or its write-ahead log loses its end. Role and peer
    /// compare numbers when they meet, and go on; the notice stays in `/health` and the metrics until this is said.
    Acknowledge {
        /// The role's store file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Give parked requests up for good. A share whose request is given up has no quote
    ///
    /// One that was asked again after its peer's store was set back keeps the answer that it had. Else the role takes
    /// note within seconds, or once it is started: a pool then lists the share as refused, with the code
    /// `withdrawn` where its mint had said nothing, and tells the miner if it is connected.
    Discard {
        /// The role's store file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The request, as `winze outbox FILE` writes it
        #[arg(value_name = "KEY", required_unless_present = "all_parked")]
        key: Option<String>,
        /// Everything that is parked
        #[arg(long, conflicts_with = "key")]
        all_parked: bool,
        /// Yes, for good
        #[arg(long)]
        yes: bool,
    },
}

/// Why nothing was shown or done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboxError {
    /// The file is not to be opened.
    #[error(transparent)]
    File(#[from] StoreFileError),
    /// It cannot be read or written.
    #[error("{file}: {source}", file = file.display())]
    Store {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: StoreError,
    },
    /// The key names nothing that is parked.
    #[error("{file}: nothing with the key {key} is parked", file = file.display())]
    NotParked {
        /// The file.
        file: PathBuf,
        /// What was asked for.
        key: String,
    },
    /// It takes a yes.
    #[error("what is discarded never gets an answer; say --yes to do it")]
    NoYes,
    /// Standard output is closed or full.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

pub(crate) fn run(args: &Args) -> Result<(), OutboxError> {
    match (&args.action, &args.file) {
        (None, Some(file)) => show(file, args.rows, args.json),
        (Some(Action::Retry { file, key, .. }), _) => {
            let retried = act(
                file,
                key.as_deref(),
                OutboxFile::retry,
                OutboxFile::retry_all,
            )?;
            say(format_args!("{retried} to be sent again"))
        }
        (Some(Action::Acknowledge { file }), _) => {
            let mut outbox = OutboxFile::open(file)?;
            let seen = outbox.acknowledge().map_err(in_file(file))?;
            say(format_args!("{seen} acknowledged"))
        }
        (Some(Action::Discard { yes: false, .. }), _) => Err(OutboxError::NoYes),
        (Some(Action::Discard { file, key, .. }), _) => {
            let (one, all) = (OutboxFile::discard, OutboxFile::discard_all);
            let discarded = act(file, key.as_deref(), one, all)?;
            say(format_args!("{discarded} given up"))
        }
        // clap asks for one of them.
        (None, None) => Ok(()),
    }
}

fn act(
    file: &Path,
    key: Option<&str>,
    one: impl FnOnce(&mut OutboxFile, &str) -> Result<u64, StoreError>,
    all: impl FnOnce(&mut OutboxFile) -> Result<u64, StoreError>,
) -> Result<u64, OutboxError> {
    let mut outbox = OutboxFile::open(file)?;
    let Some(key) = key else {
        return all(&mut outbox).map_err(in_file(file));
    };
    match one(&mut outbox, key).map_err(in_file(file))? {
        0 => Err(OutboxError::NotParked {
            file: file.to_owned(),
            key: key.to_owned(),
        }),
        acted => Ok(acted),
    }
}

fn show(file: &Path, rows: usize, json: bool) -> Result<(), OutboxError> {
    let outbox = OutboxFile::open_read_only(file)?;
    let view = view::read(&outbox, rows, now_unix_ms()).map_err(in_file(file))?;
    match json {
        true => say(view.to_json()),
        false => say(view),
    }
}

fn in_file(file: &Path) -> impl Fn(StoreError) -> OutboxError + '_ {
    |source| OutboxError::Store {
        file: file.to_owned(),
        source,
    }
}

fn say(text: impl std::fmt::Display) -> Result<(), OutboxError> {
    Ok(print::result(text)?)
}
