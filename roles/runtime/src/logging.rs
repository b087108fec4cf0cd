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
/// by `filter` (for example `"info"`). Colours are used only on a terminal.
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
        .try_init()
        .map_err(|_| LoggingError::AlreadySet)
}
