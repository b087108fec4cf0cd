//! A flood of connection attempts from one loopback address, bounded in number and time; and a listener that only
//! accepts and closes, to compare with.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::OsRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};
use winze_transport::Initiator;

use super::error::SoakError;
use crate::error::TestbedError;

/// Where the flood comes from.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Attempts in a second.
const ATTEMPTS_PER_SECOND: u64 = 1_000;
/// Time between two handfuls of attempts.
const TURN: Duration = Duration::from_millis(10);
/// Attempts under way; further ones wait.
const UNDER_WAY_MAX: usize = 400;
/// How long an attempt goes on that is not closed.
const PATIENCE: Duration = Duration::from_millis(400);

/// Floods `target` for `time`, from a thread of its own, and gives the number of attempts that came to a connection. Each
/// sends a good first act, the same each time, and never says who it is.
pub(super) async fn flood(target: SocketAddr, time: Duration) -> Result<u64, SoakError> {
    let (done, counted) = oneshot::channel();
    let thread = on_own_thread("flood", async move {
        // Nobody waits any more where this fails.
        let _ = done.send(attempts(target, time).await);
    })?;
    let count = counted.await.map_err(SoakError::peer("flood"))?;
    // It has nothing left to do.
    let _ = thread.join();
    Ok(count)
}

async fn attempts(target: SocketAddr, time: Duration) -> u64 {
    let (_, act_1) = Initiator::start(None, &mut OsRng);
    let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut tasks = tokio::task::JoinSet::new();
    let turns = time.as_millis() / TURN.as_millis();
    let per_turn = u128::from(ATTEMPTS_PER_SECOND) * TURN.as_millis() / 1_000;
    let mut ticks = interval(TURN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut connected = 0;
    for _ in 0..turns {
        ticks.tick().await;
        for _ in 0..per_turn {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                continue;
            };
            tasks.spawn(async move {
                let _place = place;
                timeout(PATIENCE, attempt(target, &act_1))
                    .await
                    .is_ok_and(|it| it)
            });
        }
        while let Some(ended) = tasks.try_join_next() {
            connected += u64::from(ended.unwrap_or(false));
        }
    }
    while let Some(ended) = tasks.join_next().await {
        connected += u64::from(ended.unwrap_or(false));
    }
    connected
}

/// One attempt; whether it was connected at all.
async fn attempt(target: SocketAddr, act_1: &[u8]) -> bool {
    let Ok(socket) = TcpSocket::new_v4() else {
        return false;
    };
    if socket.bind(SocketAddr::from((SOURCE, 0))).is_err() {
        return false;
    }
    let Ok(mut stream) = socket.connect(target).await else {
        return false;
    };
    let _ = stream.write_all(act_1).await;
    let mut scratch = [0; 512];
    // Until it is closed: holding on is part of the nuisance.
    let held = async { while matches!(stream.read(&mut scratch).await, Ok(bytes) if bytes > 0) {} };
    let _ = timeout(PATIENCE / 2, held).await;
    true
}

/// A listener that accepts and closes.
pub(super) struct Closer {
    pub address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Closer {
    /// Starts one on a thread of its own, which ends with it.
    pub(super) async fn start() -> Result<Closer, SoakError> {
        let (started, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        on_own_thread("closer", async move {
            let Ok(listener) = TcpListener::bind("127.0.0.1:0").await else {
                return;
            };
            let Ok(address) = listener.local_addr() else {
                return;
            };
            // Whoever started this has gone where this fails.
            let _ = started.send(address);
            let close = async {
                loop {
                    drop(listener.accept().await);
                }
            };
            tokio::select! {
                () = close => {}
                _ = stopped => {}
            }
        })?;
        Ok(Closer {
            address: address.await.map_err(SoakError::peer("closer"))?,
            _stop: stop,
        })
    }
}

fn on_own_thread(
    name: &str,
    work: impl Future<Output = ()> + Send + 'static,
) -> Result<JoinHandle<()>, SoakError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(TestbedError::machine("cannot start a runtime"))?;
    let thread = std::thread::Builder::new().name(name.to_owned());
    let thread = thread.spawn(move || runtime.block_on(work));
    Ok(thread.map_err(TestbedError::machine("cannot start a thread"))?)
}
