//! Logs go to standard error; standard output carries results (the ready line, `winze decode`, JSON).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Environment variable that overrides the configured filter, in `tracing`'s directive syntax
/// (`info`, `winze_hub=debug,info`).
pub const FILTER_VARIABLE: &str = "WINZE_LOG";

/// The crates whose modules may be named in a filter without a level, and those of Winze that there are at all.
const CRATES: &[&str] = &[
    "winze",
    "winze_client",
    "winze_hub",
    "winze_messages",
    "winze_miner",
    "winze_mint",
    "winze_pool",
    "winze_runtime",
    "winze_testbed",
    "winze_transport",
    "axum",
    "cdk",
    "cdk_axum",
    "cdk_common",
    "cdk_signatory",
    "cdk_sql_common",
    "cdk_sqlite",
    "hyper",
    "tokio",
];

/// The words for a level, and `tracing`'s numbers for them.
const LEVELS: &[&str] = &[
    "off", "error", "warn", "info", "debug", "trace", "0", "1", "2", "3", "4", "5",
];

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter does not follow the directive syntax, or names what does not exist.
    #[error("log filter {filter:?} from {origin}: {problem}")]
    Filter {
        /// The text that was refused.
        filter: String,
        /// Where it came from: the environment variable, an option, a key of the configuration.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Something else in this process has set up logging already.
    #[error("logging is set up already")]
    AlreadySet,
}

/// As [`init_from`], for a filter that the program brings along.
///
/// # Errors
/// Those of [`init_from`].
pub fn init(filter: &str) -> Result<(), LoggingError> {
    init_from(filter, "the program")
}

/// Sends this process's log to standard error, filtered by [`FILTER_VARIABLE`] or, when that is not set or empty,
/// by `filter` (for example `"info"`), which comes from `origin`, as an error is to name it. Colours are used only on a
/// terminal. A line that cannot be written (the disk is full, the reader of a pipe has gone) is lost, and the process
/// goes on.
///
/// # Errors
/// [`LoggingError::Filter`] for a filter that [`check`] refuses; [`LoggingError::AlreadySet`] at a second call.
pub fn init_from(filter: &str, origin: &str) -> Result<(), LoggingError> {
    let (filter, origin) = match std::env::var(FILTER_VARIABLE) {
        Ok(text) if !text.trim().is_empty() => (text, FILTER_VARIABLE),
        _ => (filter.to_owned(), origin),
    };
    let parsed = parse(&filter).map_err(|problem| LoggingError::Filter {
        filter,
        origin: origin.to_owned(),
        problem,
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // It would report a line that could not be written with `eprintln!`, to the same place, and that panics.
        .log_internal_errors(false)
        .try_init()
        .map_err(|_| LoggingError::AlreadySet)
}

/// Whether `filter` can be used.
///
/// # Errors
/// What is wrong with it: it does not parse; a word alone is neither a level nor a module of a crate that is known here
/// (`tracing` would take a level that was misspelt for a module, and log nothing); or a name that begins with `winze` is
/// none of Winze's crates.
pub fn check(filter: &str) -> Result<(), String> {
    parse(filter).map(drop)
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    let parsed = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    // Only where no span's fields stand in brackets are commas and equal signs what they seem.
    if !filter.contains('[') {
        for directive in filter.split(',').map(str::trim) {
            check_directive(directive)?;
        }
    }
    Ok(parsed)
}

fn check_directive(directive: &str) -> Result<(), String> {
    let (target, has_level) = match directive.split_once('=') {
        Some((target, _)) => (target, true),
        None => (directive, false),
    };
    let is_level = LEVELS
        .iter()
        .any(|level| level.eq_ignore_ascii_case(target));
    if directive.is_empty() || (is_level && !has_level) {
        return Ok(());
    }
    let crate_name = target.split("::").next().unwrap_or(target);
    let must_be_known = !has_level || crate_name.starts_with("winze");
    if must_be_known && !CRATES.contains(&crate_name) {
        return Err(format!(
            "{target:?} is neither a level (error, warn, info, debug, trace) nor a known module (winze_hub, \
             winze_pool, winze_mint, winze_client, ...)"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::process::{Command, Stdio};

    #[test]
    fn a_word_that_is_no_level_and_no_module_is_refused() {
        for good in [
            "info",
            "WARN",
            "winze_hub=debug,info",
            "info,cdk=warn",
            "winze_hub::core",
            "sqlx=off",
            "[request{id=4}]=debug",
            "",
        ] {
            super::check(good).unwrap_or_else(|problem| panic!("{good}: {problem}"));
        }
        for bad in ["inof", "verbose,info", "winze_hubb=debug", "winze_hub=loud"] {
            assert!(super::check(bad).is_err(), "{bad}");
        }
    }

    const CHILD: &str = "WINZE_TEST_LOGS_TO_A_FULL_DISK";

    #[test]
    fn a_process_whose_log_cannot_be_written_goes_on() {
        if std::env::var_os(CHILD).is_some() {
            super::init("info").unwrap();
            tracing::info!("nobody will read this");
            return;
        }
        // A process logs to its own standard error, so this test runs once more in a process whose disk is full.
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let name = "logging::tests::a_process_whose_log_cannot_be_written_goes_on";
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .env_remove(super::FILTER_VARIABLE)
            .stdout(Stdio::null())
            .stderr(full)
            .status()
            .unwrap();
        assert!(status.success(), "{status}");
    }
}
