//! The command line.

use clap::{Parser, Subcommand};

/// Winze: a message hub for bitcoin infrastructure, with a mining pool and an ecash mint that speak through it.
#[derive(Parser, Debug)]
#[command(
    name = "winze",
    version,
    about = "A message hub for bitcoin infrastructure: pool, mint and others exchange Sv2 messages through it",
    after_help = "Exit status: 0 done, 1 failed (standard error says why), 2 wrong command line.\n\
                  Logs go to standard error; WINZE_LOG overrides their filter (WINZE_LOG=winze_hub=debug,info).",
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run the hub, which pool, mint and others connect to
    #[cfg(feature = "hub")]
    #[command(after_help = HUB_HELP)]
    Hub(crate::role::Args),
    /// Run the mining pool: an Sv2 mining server that asks for a mint quote for each share
    #[cfg(feature = "pool")]
    #[command(after_help = POOL_HELP)]
    Pool(crate::role::Args),
    /// Run the Cashu mint that issues the quotes
    #[cfg(feature = "mint")]
    #[command(after_help = MINT_HELP)]
    Mint(crate::role::MintArgs),
    /// Run the bridge to an older deployment's Redis lists
    #[cfg(feature = "bridge")]
    #[command(after_help = BRIDGE_HELP)]
    Bridge(crate::role::Args),
    /// Mine on the CPU, to try a pool with
    #[cfg(feature = "miner")]
    Miner(crate::miner::Args),
    /// Show it all on this machine: real shares become real ecash
    #[cfg(feature = "demo")]
    Demo(crate::demo::Args),
    /// Make and show keys and certificates
    Keys(crate::keys::Args),
    /// Print a frame or message field by field
    Decode(crate::decode::Args),
    /// Show what waits or is parked in a role's store; retry it or give it up
    Outbox(crate::outbox::Args),
    /// Show whether a role's record of answers was set back; let it go on
    Answers(crate::answers::Args),
    /// Check a configuration file
    Config(crate::config::Args),
}

#[cfg(feature = "pool")]
const POOL_HELP: &str = "When it is ready, one line on standard output names its ports:\n  \
    ready mining=127.0.0.1:34255 http=127.0.0.1:9255\n\
    SIGTERM or SIGINT ends it in good order (status 0).\n\n\
    On the HTTP port: /health and /metrics for the operator, and for miners /v1/quotes/KEY with what the locking key KEY\n\
    (66 hex digits) has earned, a page at a time. ?limit=N is how many quotes a page has, 1 to 1000, by default 100;\n\
    ?after=S begins behind the quote whose `sequence` is S. `more` says whether another page follows.\n\n\
    The files in config/ run as they are, on loopback, after `winze keys init winze-data`.";

#[cfg(feature = "mint")]
const MINT_HELP: &str = "When it is ready, one line on standard output names its ports:\n  \
    ready api=127.0.0.1:3338 http=127.0.0.1:4821\n\
    SIGTERM or SIGINT ends it in good order (status 0).\n\n\
    The files in config/ run as they are, on loopback, after `winze keys init winze-data`.";

#[cfg(feature = "bridge")]
const BRIDGE_HELP: &str = "It takes an older pool's requests off a Redis list and has a mint at the hub answer them, or offers pools at the hub an\n\
    older mint that takes from a list, or both: each is off unless its table is in the configuration.\n\n\
    When it is ready, one line on standard output names its port:\n  \
    ready http=127.0.0.1:9256\n\
    SIGTERM or SIGINT ends it in good order (status 0).\n\n\
    The files in config/ run as they are, on loopback, after `winze keys init winze-data`.";

#[cfg(feature = "hub")]
const HUB_HELP: &str = "When it is ready, one line on standard output names its ports:\n  \
    ready hub=127.0.0.1:34254 http=127.0.0.1:9254\n\
    SIGTERM or SIGINT ends it in good order (status 0).\n\
    SIGHUP has it read its configuration again: the list of peers, the limits that the file says may change, and, for\n\
    connections to come, its static key and certificate. A faulty file changes nothing; the log, /health and /metrics\n\
    say why.\n\n\
    The files in config/ run as they are, on loopback, after `winze keys init winze-data`.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_has_no_contradictions() {
        Cli::command().debug_assert();
    }
}
