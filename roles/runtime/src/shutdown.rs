//! Orderly shutdown on the operator's word.

use std::future::Future;
use std::io::{self, Read};

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

/// A future that resolves at the end of standard input, which a process whose parent holds the other end reads when the
/// parent is gone, however it went. What is read before is thrown away. Must be called at most once.
///
/// # Errors
/// The operating system refused a thread.
pub fn end_of_input() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (ended, end) = tokio::sync::oneshot::channel();
    // Of its own: a read that nothing ends must not hold up the end of the runtime.
    std::thread::Builder::new()
        .name("end of input".to_owned())
        .spawn(move || {
            let mut thrown_away = [0; 256];
            let mut input = io::stdin().lock();
            loop {
                match input.read(&mut thrown_away) {
                    Ok(read) if read > 0 => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    _ => break,
                }
            }
            // Nobody waits for it any more where the process is ending.
            let _ = ended.send(());
        })?;
    Ok(async move {
        if end.await.is_ok() {
            tracing::info!("standard input has ended, shutting down");
        }
    })
}
