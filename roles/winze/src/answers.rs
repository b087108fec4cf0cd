//! `winze answers`: how far a role's record of answers has come with each peer, whether it was set back, and the
//! operator's word that it may go on.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use winze_client::StoreError;
use winze_client::StoreFileError;
use winze_client::answers::{AnsweredPeer, AnswersFile};
use winze_runtime::clock::now_unix_ms;

use crate::print;

/// Show how far a role that answers has come with each peer, and whether its store was set back.
///
/// FILE is the role's `store_file`. The role may run meanwhile. Looking changes nothing.
#[derive(clap::Args, Debug)]
#[command(
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    after_help = "A store that was restored from an older backup, or has lost the end of its write-ahead log, has forgotten \
    answers that its peers have. They say so, and for a peer that does the role makes nothing new until it is accepted: it may \
    have made it already. Before that, bring back the newest copies that there are, of the mint's ecash store as well; what \
    ecash was redeemed since the copy was made is known to nobody but that store.\n\n\
    Examples:\n  \
    winze answers winze-data/mint/mint.sqlite\n  \
    winze answers --json winze-data/mint/mint.sqlite\n  \
    winze answers accept winze-data/mint/mint.sqlite pool/main\n  \
    winze answers accept winze-data/mint/mint.sqlite --all"
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
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Have new things made again for a peer that knows more than the store; a role that runs goes on at once
    ///
    /// Answers to it are numbered above the highest that it has told from then on.
    Accept {
        /// The role's store file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The peer, as `winze answers FILE` writes it
        #[arg(value_name = "PEER", required_unless_present = "all")]
        peer: Option<String>,
        /// Every peer that knows more
        #[arg(long, conflicts_with = "peer")]
        all: bool,
    },
}

/// Why nothing was shown or done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswersError {
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
    /// Nothing waits for the operator's word.
    #[error("{file}: nothing was set back that is not accepted yet", file = file.display())]
    NothingToAccept {
        /// The file.
        file: PathBuf,
    },
    /// Standard output is closed or full.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

pub(crate) fn run(args: &Args) -> Result<(), AnswersError> {
    match (&args.action, &args.file) {
        (None, Some(file)) => show(file, args.json),
        (Some(Action::Accept { file, peer, .. }), _) => accept(file, peer.as_deref()),
        // clap asks for one of them.
        (None, None) => Ok(()),
    }
}

fn show(file: &Path, json: bool) -> Result<(), AnswersError> {
    let peers = AnswersFile::open_read_only(file)?
        .peers()
        .map_err(in_file(file))?;
    let view = View::of(peers, now_unix_ms());
    match json {
        // Strings and numbers alone: they always have a JSON form.
        true => print::result(serde_json::to_string(&view).unwrap_or_default())?,
        false => print::result(view)?,
    }
    Ok(())
}

fn accept(file: &Path, peer: Option<&str>) -> Result<(), AnswersError> {
    let accepted = AnswersFile::open(file)?
        .accept(peer, now_unix_ms())
        .map_err(in_file(file))?;
    if accepted.is_empty() {
        let file = file.to_owned();
        return Err(AnswersError::NothingToAccept { file });
    }
    print::result(format_args!("accepted: {}", accepted.join(", ")))?;
    Ok(())
}

fn in_file(file: &Path) -> impl Fn(StoreError) -> AnswersError + '_ {
    |source| AnswersError::Store {
        file: file.to_owned(),
        source,
    }
}

/// All peers of a record.
#[derive(Serialize)]
struct View {
    peers: Vec<PeerView>,
}

#[derive(Serialize)]
struct PeerView {
    peer: String,
    /// As the specification writes it: `0x4802`.
    extension: String,
    requests: u64,
    answers: u64,
    set_back: Option<SetBackView>,
}

#[derive(Serialize)]
struct SetBackView {
    own_answers: u64,
    told_answers: u64,
    noticed_ms_ago: u64,
    accepted_ms_ago: Option<u64>,
}

impl View {
    fn of(peers: Vec<AnsweredPeer>, now_unix_ms: u64) -> View {
        let ago = |unix_ms: u64| now_unix_ms.saturating_sub(unix_ms);
        let peer = |peer: AnsweredPeer| PeerView {
            extension: format!("{:#06x}", peer.extension),
            requests: peer.numbers.requests,
            answers: peer.numbers.answers,
            set_back: peer.set_back.map(|set_back| SetBackView {
                own_answers: set_back.own_answers,
                told_answers: set_back.told_answers,
                noticed_ms_ago: ago(set_back.noticed_unix_ms),
                accepted_ms_ago: set_back.accepted_unix_ms.map(ago),
            }),
            peer: peer.peer,
        };
        View {
            peers: peers.into_iter().map(peer).collect(),
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.peers.is_empty() {
            return f.write_str("nothing was ever answered");
        }
        for (index, peer) in self.peers.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(
                f,
                "{} ({}): requests answered up to {}, answers given up to {}",
                peer.peer, peer.extension, peer.requests, peer.answers
            )?;
            if let Some(set_back) = &peer.set_back {
                write!(
                    f,
                    "\n  set back: it knows of answers up to {}, the store held {}; noticed {} s ago",
                    set_back.told_answers,
                    set_back.own_answers,
                    set_back.noticed_ms_ago / 1_000
                )?;
                match set_back.accepted_ms_ago {
                    Some(ms) => write!(f, ", accepted {} s ago", ms / 1_000)?,
                    None => f.write_str(", NOT accepted: nothing new is made for it")?,
                }
            }
        }
        Ok(())
    }
}
