//! How a tool on the testbed begins and ends.

use std::future::Future;
use std::process::ExitCode;

use winze_runtime::logging;

/// Runs `tool` to its end, on all cores, with what is logged filtered by `log_filter`. An error is one line on standard
/// error and status 1.
pub fn run(log_filter: &str, tool: impl Future<Output = Result<ExitCode, String>>) -> ExitCode {
    match try_run(log_filter, tool) {
        Ok(status) => status,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(
    log_filter: &str,
    tool: impl Future<Output = Result<ExitCode, String>>,
) -> Result<ExitCode, String> {
    logging::init(log_filter).map_err(|error| error.to_string())?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?
        .block_on(tool)
}
