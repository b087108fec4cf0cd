//! Requests and their answers: so many in flight, each answer makes room for the next request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use winze_bench_figures::cost::Cost;

use super::meter::{Processes, observe};
use super::{AnyEndpoint, Shape};
use crate::error::BenchError;
use crate::setting::Setting;
use crate::systems::Rig;

/// Latencies that are kept, at most: of more, the first ones.
const LATENCIES_MAX: usize = 1 << 20;

/// What a round trip costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundTrip {
    /// Rate and the server's processor time, for each round trip.
    pub cost: Cost,
    /// What half of them, and 99 in a hundred, took at most, in microseconds; with more than one in flight `None`.
    pub p50_p99_us: Option<(f64, f64)>,
}

/// Asks and answers between the rig's one pair, warms up, and measures.
///
/// # Errors
/// What an endpoint met, or [`BenchError::Stalled`].
pub async fn measure(rig: Rig, shape: Shape, setting: &Setting) -> Result<RoundTrip, BenchError> {
    let Rig {
        server,
        mut senders,
        mut receivers,
        folder: _folder,
    } = rig;
    let (Some(asking), Some(answering)) = (senders.pop(), receivers.pop()) else {
        return Err(BenchError::peer("the load", "no pair"));
    };
    let answered = Arc::new(AtomicU64::new(0));
    let timed = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let mut answerer = JoinSet::new();
    answerer.spawn(answer(answering));
    let mut asker = JoinSet::new();
    asker.spawn(ask(
        asking,
        shape.window,
        Arc::clone(&answered),
        Arc::clone(&timed),
        Arc::clone(&stop),
    ));
    let between = async {
        // The latencies of the time of warming up are dropped by whoever asks.
        let timing = async {
            tokio::time::sleep(setting.plan.warm_up).await;
            timed.store(true, Ordering::Relaxed);
        };
        let count = || answered.load(Ordering::Relaxed);
        let (cost, ()) = tokio::join!(observe(setting, Processes::of(&server), count), timing);
        stop.store(true, Ordering::Relaxed);
        cost
    };
    let cost = tokio::select! {
        cost = between => cost?,
        Some(Ok(Err(error))) = answerer.join_next() => return Err(error),
        Some(Ok(Err(error))) = asker.join_next() => return Err(error),
    };
    // The asking end stays until the other is gone: its leaving would be that one's error.
    let (mut latencies, _asking) = match asker.join_next().await {
        Some(Ok(asked)) => asked?,
        _ => return Err(BenchError::peer("the load", "the asking task has ended")),
    };
    answerer.shutdown().await;
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = (latencies.len() as f64 * share) as usize;
        latencies
            .get(place)
            .map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    };
    let p50_p99_us = (shape.window == 1 && !latencies.is_empty()).then(|| (at(0.5), at(0.99)));
    Ok(RoundTrip { cost, p50_p99_us })
}

/// Asks until it is told to stop; gives the latencies of what was asked while `timed`, where one is in flight at a time.
async fn ask(
    mut asking: AnyEndpoint,
    in_flight_max: usize,
    answered: Arc<AtomicU64>,
    timed: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
) -> Result<(Vec<Duration>, AnyEndpoint), BenchError> {
    let mut latencies = Vec::new();
    let mut in_flight = 0;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        asking.send(in_flight_max - in_flight).await?;
        in_flight = in_flight_max;
        let came = asking.receive().await?;
        in_flight = in_flight.checked_sub(came).ok_or_else(|| {
            BenchError::peer("the load", "more answers came than requests were sent")
        })?;
        answered.fetch_add(came as u64, Ordering::Relaxed);
        if in_flight_max == 1 && timed.load(Ordering::Relaxed) && latencies.len() < LATENCIES_MAX {
            latencies.push(began.elapsed());
        }
    }
    Ok((latencies, asking))
}

async fn answer(mut answering: AnyEndpoint) -> Result<(), BenchError> {
    loop {
        let requests = answering.receive().await?;
        answering.send(requests).await?;
    }
}
