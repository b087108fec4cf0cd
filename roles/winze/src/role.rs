//! `winze hub`, `winze pool`, `winze mint`, `winze bridge`: read the configuration, start the role, stop it in good order.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::de::DeserializeOwned;
#[cfg(feature = "hub")]
use winze_runtime::hangup::Hangups;
use winze_runtime::{config, logging, ready, shutdown};

use crate::print;

/// How every role is started.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Configuration file; relative paths in it start at its folder
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// What to log: error, warn, info, debug, trace, or one per module (winze_hub=debug,info). Goes before the
    /// configuration's `log`; WINZE_LOG goes before both [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Stop in good order when standard input ends, as it does when a parent that holds it is gone
    #[arg(long, hide = true)]
    stop_at_end_of_input: bool,
}

/// The roles that this binary was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `winze hub`
    #[cfg(feature = "hub")]
    Hub,
    /// `winze pool`
    #[cfg(feature = "pool")]
    Pool,
    /// `winze mint`
    #[cfg(feature = "mint")]
    Mint,
    /// `winze bridge`
    #[cfg(feature = "bridge")]
    Bridge,
}

impl Role {
    /// Its name: the subcommand, and the value of `role` in a configuration file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "hub")]
            Role::Hub => "hub",
            #[cfg(feature = "pool")]
            Role::Pool => "pool",
            #[cfg(feature = "mint")]
            Role::Mint => "mint",
            #[cfg(feature = "bridge")]
            Role::Bridge => "bridge",
        }
    }
}

/// Runs `role` until it is told to stop or fails.
pub(crate) fn run(role: Role, args: &Args) -> ExitCode {
    finish(start(role, args))
}

fn start(role: Role, args: &Args) -> Result<(), String> {
    block_on(async {
        let signal = shutdown::signal().map_err(text)?;
        let end_of_input = args
            .stop_at_end_of_input
            .then(shutdown::end_of_input)
            .transpose()
            .map_err(text)?;
        let stop = async move {
            let end_of_input = async {
                match end_of_input {
                    Some(end) => end.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = signal => {}
                () = end_of_input => {}
            }
        };
        let in_file = |error: &dyn std::fmt::Display| in_file(args, error);
        match role {
            #[cfg(feature = "hub")]
            Role::Hub => {
                let mut hangups = Hangups::install().map_err(text)?;
                let config = load(role, args, |config: &winze_hub::HubConfig| &config.log)?;
                let hub = winze_hub::Hub::bind(config).await;
                let hub = hub.map_err(|error| in_file(&error))?;
                let (mut reloader, file) = (hub.reloader(), args.config.clone());
                let reloading = tokio::spawn(async move {
                    while hangups.next().await.is_some() {
                        // The hub has told its operator how it went.
                        let _ = reloader.reload(&file).await;
                    }
                });
                announce(&[("hub", hub.hub_addr), ("http", hub.http_addr)]);
                let ended = hub.run(stop).await;
                reloading.abort();
                ended.map_err(text)
            }
            #[cfg(feature = "pool")]
            Role::Pool => {
                let config = load(role, args, |config: &winze_pool::PoolConfig| &config.log)?;
                let pool = winze_pool::Pool::bind(config).await;
                let pool = pool.map_err(|error| in_file(&error))?;
                announce(&[("mining", pool.mining_addr), ("http", pool.http_addr)]);
                pool.run(stop).await.map_err(text)
            }
            #[cfg(feature = "mint")]
            Role::Mint => {
                let config = load(role, args, |config: &winze_mint::MintConfig| &config.log)?;
                let mint = winze_mint::Mint::bind(config).await;
                let mint = mint.map_err(|error| in_file(&error))?;
                announce(&[("api", mint.api_addr), ("http", mint.http_addr)]);
                mint.run(stop).await.map_err(text)
            }
            #[cfg(feature = "bridge")]
            Role::Bridge => {
                let config = load(role, args, |config: &winze_bridge::BridgeConfig| {
                    &config.log
                })?;
                let bridge = winze_bridge::Bridge::bind(config).await;
                let bridge = bridge.map_err(|error| in_file(&error))?;
                announce(&[("http", bridge.http_addr)]);
                bridge.run(stop).await.map_err(text)
            }
        }
    })
}

/// How the mint is started, or told to do one thing.
#[cfg(feature = "mint")]
#[derive(clap::Args, Debug)]
pub(crate) struct MintArgs {
    #[command(flatten)]
    role: Args,
    /// Instead of running the mint, make a new active keyset for this unit and print its id. A mint that runs on the
    /// same stores announces it within seconds; ecash of the old keyset stays good
    #[arg(long, value_name = "UNIT")]
    rotate_keyset: Option<String>,
}

/// Runs the mint, or makes a new keyset.
#[cfg(feature = "mint")]
pub(crate) fn run_mint(args: &MintArgs) -> ExitCode {
    let Some(unit) = &args.rotate_keyset else {
        return run(Role::Mint, &args.role);
    };
    finish(block_on(async {
        let config = load(Role::Mint, &args.role, |config: &winze_mint::MintConfig| {
            &config.log
        })?;
        let keyset = winze_mint::rotate_keyset(&config, unit)
            .await
            .map_err(|error| in_file(&args.role, &error))?;
        print::result(keyset).map_err(|error| format!("cannot write: {error}"))
    }))
}

/// Reads the configuration and sets up logging as it, or the command line, says.
fn load<T: DeserializeOwned>(
    role: Role,
    args: &Args,
    log: impl FnOnce(&T) -> &str,
) -> Result<T, String> {
    let config: T = config::load_role(&args.config, role.name()).map_err(text)?;
    let from_file = format!("{} (log)", args.config.display());
    let (filter, origin) = match args.log.as_deref() {
        Some(filter) => (filter, "--log"),
        None => (log(&config), from_file.as_str()),
    };
    logging::init_from(filter, origin).map_err(text)?;
    Ok(config)
}

/// What keeps a role from starting is mostly to be put right in its configuration.
fn in_file(args: &Args, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", args.config.display())
}

fn block_on(future: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?
        .block_on(future)
}

/// The role's work does not depend on who reads its standard output.
fn announce(ports: &[(&str, SocketAddr)]) {
    if let Err(error) = ready::print(ports) {
        tracing::warn!(%error, "the ready line was not printed");
    }
}

/// Status 0, or one line on standard error and status 1.
fn finish(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            print::message(format_args!("error: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
