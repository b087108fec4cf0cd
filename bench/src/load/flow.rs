//! Messages one way, as many as the receivers take: each sender keeps a window outstanding, counted where they arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use winze_bench_figures::cost::Cost;
use winze_bench_figures::window::room;

use super::meter::{Processes, observe};
use super::{AnyEndpoint, Shape};
use crate::error::BenchError;
use crate::limits::SEND_BATCH_MAX;
use crate::setting::Setting;
use crate::systems::Rig;

/// What one receiver has had.
#[derive(Default)]
struct Arrived {
    messages: AtomicU64,
}

/// Sends, warms up, and measures. The cost is for each message that arrived.
///
/// # Errors
/// What an endpoint met, or [`BenchError::Stalled`].
pub async fn measure(rig: Rig, shape: Shape, setting: &Setting) -> Result<Cost, BenchError> {
    let Rig {
        server,
        senders,
        receivers,
        folder: _folder,
    } = rig;
    let all_to_all = senders.len() == 1;
    let mut tasks = JoinSet::new();
    let mut arrived = Vec::new();
    let mut wakers = Vec::new();
    for _ in &senders {
        wakers.push(Arc::new(Notify::new()));
    }
    for (place, receiver) in receivers.into_iter().enumerate() {
        let counter = Arc::new(Arrived::default());
        let waker = Arc::clone(&wakers[if all_to_all { 0 } else { place }]);
        tasks.spawn(receive(receiver, Arc::clone(&counter), waker));
        arrived.push(counter);
    }
    for (place, sender) in senders.into_iter().enumerate() {
        let counted = match all_to_all {
            true => arrived.clone(),
            false => vec![Arc::clone(&arrived[place])],
        };
        tasks.spawn(send(
            sender,
            shape.window as u64,
            counted,
            Arc::clone(&wakers[place]),
        ));
    }
    let total = || {
        let counted = arrived
            .iter()
            .map(|counter| counter.messages.load(Ordering::Relaxed));
        counted.sum()
    };
    let measured = tokio::select! {
        cost = observe(setting, Processes::of(&server), total) => cost,
        Some(ended) = tasks.join_next() => match ended {
            Ok(Err(error)) => Err(error),
            _ => Err(BenchError::peer("the load", "a task has ended")),
        },
    };
    tasks.shutdown().await;
    measured
}

async fn send(
    mut sender: AnyEndpoint,
    window: u64,
    arrived: Vec<Arc<Arrived>>,
    waker: Arc<Notify>,
) -> Result<(), BenchError> {
    let mut sent = 0;
    loop {
        let counted = arrived
            .iter()
            .map(|counter| counter.messages.load(Ordering::Acquire));
        let room = room(window, sent, counted);
        if room == 0 {
            // A permit is kept where the receiver was faster than this.
            waker.notified().await;
            continue;
        }
        let batch = room.min(SEND_BATCH_MAX as u64);
        sender.send(batch as usize).await?;
        sent += batch;
    }
}

async fn receive(
    mut receiver: AnyEndpoint,
    arrived: Arc<Arrived>,
    waker: Arc<Notify>,
) -> Result<(), BenchError> {
    loop {
        let messages = receiver.receive().await?;
        arrived
            .messages
            .fetch_add(messages as u64, Ordering::Release);
        waker.notify_one();
    }
}
