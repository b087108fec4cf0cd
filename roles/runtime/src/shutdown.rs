//! Orderly shutdown on the operator's word.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal as listen};

/// Installs handlers for SIGTERM and SIGINT and returns a future that resolves at the first of either.
///
/// The handlers are in place when this returns, so a signal that arrives before the future is polled counts too.
/// From then on the process no longer dies of these signals by itself. Must be called inside a tokio runtime.
///
/// # Errors
/// The operating system refused a handler.
pub fn signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM received, shutting down"),
            _ = interrupt.recv() => tracing::info!("SIGINT received, shutting down"),
        }
    })
}
