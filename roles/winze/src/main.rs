//! `winze`: the one binary. Each role is a subcommand and a process of its own; beside them are the demonstration, and the
//! tools to make keys, to read frames and to check configuration files.
//!
//! Exit status: 0 when done, 1 when it failed (one line on standard error says why), 2 for a wrong command line.

mod answers;
mod cli;
mod config;
mod decode;
#[cfg(feature = "demo")]
mod demo;
mod keys;
#[cfg(feature = "miner")]
mod miner;
mod outbox;
mod print;
#[cfg(any(
    feature = "hub",
    feature = "pool",
    feature = "mint",
    feature = "bridge"
))]
mod role;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use mimalloc::MiMalloc;

/// A message's payload is allocated by the task that decrypts it and given back by the one that sends it, a row's by one thread and
/// the other, which is dear with the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().command {
        #[cfg(feature = "hub")]
        Command::Hub(args) => role::run(role::Role::Hub, &args),
        #[cfg(feature = "pool")]
        Command::Pool(args) => role::run(role::Role::Pool, &args),
        #[cfg(feature = "mint")]
        Command::Mint(args) => role::run_mint(&args),
        #[cfg(feature = "bridge")]
        Command::Bridge(args) => role::run(role::Role::Bridge, &args),
        #[cfg(feature = "miner")]
        Command::Miner(args) => miner::run(&args),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(&args),
        Command::Keys(args) => exit(keys::run(&args)),
        Command::Decode(args) => exit(decode::run(&args)),
        Command::Outbox(args) => exit(outbox::run(&args)),
        Command::Answers(args) => exit(answers::run(&args)),
        Command::Config(args) => exit(config::run(&args)),
    }
}

/// Status 0, or one line on standard error and status 1.
fn exit<E: std::fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print::message(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
