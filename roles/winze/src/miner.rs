//! `winze miner`: a miner on the CPU, to try a pool with.

use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use winze_messages::text::header_hash_to_text;
use winze_miner::limits::THREADS_MAX;
use winze_miner::{Miner, MinerConfig, MinerEvent, Share, ShareBudget};
use winze_runtime::repeats::Repeats;
use winze_runtime::{keyfile, logging, shutdown};
use winze_transport::keys::PublicKey;

use crate::print;

/// How long the quotes of the last shares are waited for. They are on the pool's disk all the same.
const QUOTES_WITHIN: Duration = Duration::from_secs(10);
/// Hashes per second that a thread is taken to do; the pool's first target follows from it.
const HASHES_PER_SECOND: f32 = 100_000.0;

/// Mine on the CPU, to try a pool with.
///
/// Finds shares and submits them over an Sv2 mining connection until so many are accepted, or until Ctrl-C. A pool that
/// goes away is dialled again. The ecash of the quotes belongs to whoever has the secret key of the locking key.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example, for the pool of config/pool.toml:\n  \
winze miner --pool 127.0.0.1:34255 --authority winze-data/pool/authority.pub --shares 3 \\\n    \
--key 0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\n\n\
Each share and each quote is a line on standard output. Exit status: 0 when all shares that were asked for are accepted, \
or after Ctrl-C where no number was given.")]
pub(crate) struct Args {
    /// The pool's mining port
    #[arg(long, value_name = "HOST:PORT")]
    pool: String,
    /// The authority that signed the pool's certificate: its public key, or the file that holds it
    #[arg(long, value_name = "KEY|FILE", value_parser = authority)]
    authority: PublicKey,
    /// The compressed public key that the quotes are locked to: 66 hex digits, the first two 02 or 03
    #[arg(long, value_name = "HEX", value_parser = locking_key)]
    key: LockingKey,
    /// A name for this machine among those with the same key
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// Accepted shares after which it ends; without it, it mines until Ctrl-C
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    shares: Option<u64>,
    /// Threads that look for shares
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=THREADS_MAX as i64))]
    threads: u8,
}

#[derive(Clone, Copy, Debug)]
struct LockingKey([u8; 33]);

fn authority(text: &str) -> Result<PublicKey, String> {
    match text.parse() {
        Ok(key) => Ok(key),
        Err(_) if Path::new(text).exists() => {
            keyfile::read_public(text).map_err(|error| error.to_string())
        }
        Err(error) => Err(format!(
            "neither a public key ({error}) nor a file that is there"
        )),
    }
}

fn locking_key(text: &str) -> Result<LockingKey, String> {
    let mut bytes = [0; 33];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| "expected 66 hex digits".to_owned())?;
    match bytes[0] {
        2 | 3 => Ok(LockingKey(bytes)),
        _ => Err("expected a compressed key, which begins with 02 or 03".to_owned()),
    }
}

/// Mines.
pub(crate) fn run(args: &Args) -> ExitCode {
    match try_run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            print::message(format_args!("error: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn try_run(args: &Args) -> Result<(), String> {
    // What there is to know is said on standard output.
    logging::init("error").map_err(|error| error.to_string())?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?
        .block_on(mine(args))
}

async fn mine(args: &Args) -> Result<(), String> {
    let stop = shutdown::signal().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let budget = match args.shares {
        Some(shares) => ShareBudget::exactly(shares),
        None => ShareBudget::unlimited(),
    };
    let config = MinerConfig {
        worker: args.worker.clone(),
        threads: usize::from(args.threads),
        nominal_hash_rate: HASHES_PER_SECOND * f32::from(args.threads),
        ..MinerConfig::new(args.pool.clone(), args.authority, args.key.0)
    };
    let (miner, mut events) =
        Miner::start(config, budget).map_err(|error| format!("cannot start threads: {error}"))?;
    let mut tally = Tally::default();
    let ended = tokio::select! {
        () = stop => None,
        heard = listen(&mut events, args.shares, &mut tally) => Some(heard),
    };
    miner.stop().await;
    if let Some(Err(error)) = ended {
        return Err(format!("cannot write: {error}"));
    }
    let (accepted, quotes) = (tally.accepted, tally.quotes);
    print::message(format_args!(
        "{accepted} shares accepted, {quotes} quotes heard of"
    ));
    match args.shares {
        Some(asked) if accepted < asked => Err(format!("{asked} shares were asked for")),
        _ => Ok(()),
    }
}

/// What came of it.
#[derive(Default)]
struct Tally {
    accepted: u64,
    quotes: u64,
    /// Accepted shares whose quote is still to come.
    unquoted: HashSet<[u8; 32]>,
    /// Those whose quote came before the word that they were accepted.
    early: HashSet<[u8; 32]>,
}

impl Tally {
    fn accepted(&mut self, share: &Share) {
        self.accepted += 1;
        if !self.early.remove(&share.header_hash) {
            self.unquoted.insert(share.header_hash);
        }
    }

    fn settled(&mut self, header_hash: [u8; 32]) {
        if !self.unquoted.remove(&header_hash) {
            self.early.insert(header_hash);
        }
    }
}

/// Tells what happens, until `shares` are accepted and their quotes are there or late.
async fn listen(
    events: &mut Receiver<MinerEvent>,
    shares: Option<u64>,
    tally: &mut Tally,
) -> std::io::Result<()> {
    let mut repeats = Repeats::new();
    let mut late = None;
    loop {
        if late.is_none() && shares.is_some_and(|shares| tally.accepted >= shares) {
            late = Some(tokio::time::Instant::now() + QUOTES_WITHIN);
        }
        let event = match late {
            Some(_) if tally.unquoted.is_empty() => return Ok(()),
            Some(late) => match tokio::time::timeout_at(late, events.recv()).await {
                Ok(event) => event,
                Err(_) => return Ok(()),
            },
            None => events.recv().await,
        };
        match event {
            None => return Ok(()),
            Some(MinerEvent::Disconnected { reason }) => {
                if repeats.is_due(&reason, Instant::now()) {
                    print::message(format_args!("{reason}; dialling again"));
                }
            }
            Some(event) => tell(event, &mut repeats, tally)?,
        }
    }
}

fn tell(event: MinerEvent, repeats: &mut Repeats, tally: &mut Tally) -> std::io::Result<()> {
    match event {
        MinerEvent::Connected { quotes, .. } => {
            repeats.works();
            print::message(match quotes {
                true => "connected",
                false => "connected; this pool tells nothing of quotes here",
            });
            Ok(())
        }
        MinerEvent::Accepted(share) => {
            tally.accepted(&share);
            print::result(format_args!("accepted {}", named(&share)))
        }
        MinerEvent::Refused { share, error_code } => {
            print::result(format_args!("refused  {} {error_code}", named(&share)))
        }
        MinerEvent::InDoubt(share) => print::result(format_args!("in doubt {}", named(&share))),
        MinerEvent::Quote(quote) => {
            tally.quotes += 1;
            tally.settled(quote.header_hash);
            print::result(format_args!(
                "quote    {} {} {} {}",
                header_hash_to_text(&quote.header_hash),
                quote.quote_id,
                quote.amount,
                quote.unit
            ))
        }
        MinerEvent::QuoteFailed(failure) => {
            tally.settled(failure.header_hash);
            print::result(format_args!(
                "no quote {} {}",
                header_hash_to_text(&failure.header_hash),
                failure.error_message
            ))
        }
        // Told by whoever waits for it.
        MinerEvent::Disconnected { .. } => Ok(()),
    }
}

fn named(share: &Share) -> String {
    header_hash_to_text(&share.header_hash)
}
