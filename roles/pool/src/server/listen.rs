//! Taking miners' connections, and letting go of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use winze_runtime::admission::{Admission, AdmissionLimits};

use super::connection::Served;
use super::{PoolError, PoolState, connection, until};

/// How long connections have to get rid of what is due when the pool stops.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after an accept that failed: a full file table does not empty faster for being asked again at once.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

pub(super) async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, PoolError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| PoolError::Listen {
            key,
            address,
            source,
        })
}

pub(super) fn address(
    key: &'static str,
    listener: &TcpListener,
    address: SocketAddr,
) -> Result<SocketAddr, PoolError> {
    listener.local_addr().map_err(|source| PoolError::Listen {
        key,
        address,
        source,
    })
}

/// Accepts connections until told to stop, then waits for the open ones, for at most [`DRAIN_TIMEOUT`].
///
/// A connection for which [`Admission`] has no place is closed at once and counted.
pub(super) async fn serve(
    listener: TcpListener,
    state: Arc<PoolState>,
    limits: AdmissionLimits,
    stopped: watch::Receiver<bool>,
) {
    let admission = Arc::new(Admission::new(limits));
    let mut connections = JoinSet::new();
    let mut last_connection = 0;
    {
        let mut stop = std::pin::pin!(until(stopped.clone()));
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "the task of a connection ended badly");
                    }
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        let Some(mut place) = admission.admit(address.ip(), Instant::now()) else {
                            state.metrics.connections_turned_away.inc();
                            tracing::debug!(%address, "connection closed unheard: there are too many");
                            continue;
                        };
                        last_connection += 1;
                        let miner = connection::Miner {
                            connection: last_connection,
                            address,
                            state: Arc::clone(&state),
                        };
                        let served = miner.serve(stream, stopped.clone());
                        connections.spawn(async move {
                            if served.await == Served::Stranger {
                                place.keep_a_while();
                            }
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                },
            }
        }
    }
    drop(listener);
    drop(state);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("some miners did not take their last answers in time");
        connections.shutdown().await;
    }
}
