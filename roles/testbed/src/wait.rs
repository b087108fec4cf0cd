//! Waiting for conditions, with a deadline and an account of how things stood when it passed.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::error::TestbedError;
use crate::limits::POLL_INTERVAL;

/// Waits until `holds`.
///
/// # Errors
/// [`TestbedError::Deadline`] once `within` has passed.
pub async fn until_true(
    what: &str,
    within: Duration,
    mut holds: impl AsyncFnMut() -> bool,
) -> Result<(), TestbedError> {
    let waited = timeout(within, async {
        while !holds().await {
            sleep(POLL_INTERVAL).await;
        }
    });
    waited.await.map_err(|_| TestbedError::Deadline {
        what: what.to_owned(),
        within,
        state: "it does not hold".to_owned(),
    })
}

/// Asks `look` until it gives `Ok`; its `Err` says why not yet.
///
/// # Errors
/// [`TestbedError::Deadline`] with the last reason once `within` has passed.
pub async fn until<T, L, F>(what: &str, within: Duration, mut look: L) -> Result<T, TestbedError>
where
    L: FnMut() -> F,
    F: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + within;
    let mut state = "nothing was heard at all".to_owned();
    loop {
        match timeout_at(deadline, look()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(reason)) => state = reason,
            Err(_) => {}
        }
        if Instant::now() >= deadline {
            return Err(TestbedError::Deadline {
                what: what.to_owned(),
                within,
                state,
            });
        }
        sleep(POLL_INTERVAL).await;
    }
}
