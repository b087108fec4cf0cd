//! `winze hub`, `winze pool`, `winze mint`: read the configuration, start the role, stop it in good order.

use std::path::PathBuf;
use std::process::ExitCode;

use winze_runtime::{config, logging, shutdown};

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
        }
    }
}

/// Runs `role` until it is told to stop or fails.
pub(crate) fn run(role: Role, args: &Args) -> ExitCode {
    match start(role, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn start(role: Role, args: &Args) -> Result<(), String> {
    logging::init(&args.log).map_err(text)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(async {
        let stop = shutdown::signal().map_err(text)?;
        match role {
            #[cfg(feature = "hub")]
            Role::Hub => {
                let config = config::load_role(&args.config, role.name()).map_err(text)?;
                let hub = winze_hub::Hub::bind(config).await.map_err(text)?;
                announce(&[("hub", hub.hub_addr), ("http", hub.http_addr)])?;
                hub.run(stop).await.map_err(text)
            }
            #[cfg(feature = "pool")]
            Role::Pool => {
                let config = config::load_role(&args.config, role.name()).map_err(text)?;
                let pool = winze_pool::Pool::bind(config).await.map_err(text)?;
                announce(&[("mining", pool.mining_addr), ("http", pool.http_addr)])?;
                pool.run(stop).await.map_err(text)
            }
            #[cfg(feature = "mint")]
            Role::Mint => {
                let config = config::load_role(&args.config, role.name()).map_err(text)?;
                let mint = winze_mint::Mint::bind(config).await.map_err(text)?;
                announce(&[("api", mint.api_addr), ("http", mint.http_addr)])?;
                mint.run(stop).await.map_err(text)
            }
        }
    })
}

fn announce(ports: &[(&str, std::net::SocketAddr)]) -> Result<(), String> {
    winze_runtime::ready::print(ports)
        .map_err(|error| format!("cannot write the ready line: {error}"))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
