//! `winze config check`: finds what would stop a role from starting, without starting it.

#[cfg(feature = "bridge")]
mod bridge;
mod findings;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "mint")]
mod mint;
#[cfg(feature = "pool")]
mod pool;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use winze_runtime::config::{ConfigError, role};

use crate::print;
use findings::Findings;

/// Check a configuration file.
#[derive(clap::Args, Debug)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Check that a configuration parses, that the files it names are there and fit, and that its addresses are usable
    #[command(after_help = "Example:\n  winze config check config/hub.toml\n\n\
        Every problem is a line on standard error; the exit status is 1 if there is any. A warning is a line as well,\n\
        and changes no status. A mistake in the syntax, in the name of a key or in the kind of its value hides those\n\
        after it. Nothing is started, made or connected to.")]
    Check {
        /// The configuration; its top-level key `role` says whose it is
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// It does not even load.
    #[error(transparent)]
    Load(#[from] ConfigError),
    /// It does not say whose it is.
    #[error("{file}: no top-level key `role`; add role = \"hub\", \"pool\", \"mint\" or \"bridge\"", file = file.display())]
    NoRole {
        /// The file.
        file: PathBuf,
    },
    /// It is for a role that does not exist, or that this binary lacks.
    #[error("{file}: role {role:?} is not one of this binary's: {known}", file = file.display())]
    UnknownRole {
        /// The file.
        file: PathBuf,
        /// What it says.
        role: String,
        /// The roles that there are.
        known: String,
    },
    /// It loads, and has values that cannot be used.
    #[error("{}", .0.join("\nerror: "))]
    Problems(Vec<String>),
    /// Standard output is closed or full.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// A role's check: loads the file and looks at what it names.
type Check = fn(&Path) -> Result<Findings, ConfigError>;

/// The checks of the roles that this binary was built with.
const CHECKS: &[(&str, Check)] = &[
    #[cfg(feature = "hub")]
    ("hub", hub::check),
    #[cfg(feature = "pool")]
    ("pool", pool::check),
    #[cfg(feature = "mint")]
    ("mint", mint::check),
    #[cfg(feature = "bridge")]
    ("bridge", bridge::check),
];

pub(crate) fn run(args: &Args) -> Result<(), CheckError> {
    let What::Check { file } = &args.what;
    let role = role(file)?.ok_or_else(|| CheckError::NoRole { file: file.clone() })?;
    let Some((_, check)) = CHECKS.iter().find(|(name, _)| *name == role) else {
        let known = CHECKS
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ");
        return Err(CheckError::UnknownRole {
            file: file.clone(),
            role,
            known,
        });
    };
    let (problems, warnings) = check(file)?.into_parts();
    for warning in warnings {
        print::message(format_args!("warning: {}: {warning}", file.display()));
    }
    if problems.is_empty() {
        print::result(format_args!(
            "{}: no problem found (role {role})",
            file.display()
        ))?;
        return Ok(());
    }
    Err(CheckError::Problems(
        problems
            .into_iter()
            .map(|problem| format!("{}: {problem}", file.display()))
            .collect(),
    ))
}
