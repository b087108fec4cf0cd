//! Logs go to standard error; standard output carries results (the ready line, `winze decode`, JSON).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Environment variable that overrides the configured filter, in `tracing`'s directive syntax
/// (`info`, `winze_hub=debug,info`).
pub const FILTER_VARIABLE: &str = "WINZE_LOG";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter does not follow the directive syntax.
    #[error("log filter {filter:?} from {origin}: {source}")]
    Filter {
        /// The text that was refused.
        filter: String,
        /// Where it came from: the environment variable, or the configuration.
        origin: &'static str,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something else in this process has set up logging already.
    #[error("logging is set up already")]
    AlreadySet,
}

/// Sends this process's log to standard error, filtered by [`FILTER_VARIABLE`] or, when that is not set or empty,
/// by `filter` (for example `"info"`). Colours are used only on a terminal. A line that cannot be written (the disk is
/// full, the reader of a pipe has gone) is lost, and the process goes on.
///
/// # Errors
/// [`LoggingError::Filter`] for a filter that does not parse; [`LoggingError::AlreadySet`] at a second call.
pub fn init(filter: &str) -> Result<(), LoggingError> {
    let (filter, origin) = match std::env::var(FILTER_VARIABLE) {
        Ok(text) if !text.trim().is_empty() => (text, FILTER_VARIABLE),
        _ => (filter.to_owned(), "the configuration"),
    };
    let parsed = EnvFilter::try_new(&filter).map_err(|source| LoggingError::Filter {
        filter,
        origin,
        source,
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

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::process::{Command, Stdio};

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
