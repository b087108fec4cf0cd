//! Threads that look for shares.
//!
//! Each takes a chunk of the current assignment, tries its nonces, and looks whether there is other
//! work before it takes the next. What is found goes through a queue of [`FOUND_QUEUE_MAX`]; when it
//! is full the threads wait. Dropping the [`Finder`] stops and joins them, within a chunk's time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::limits::{CHUNK_NONCES, FOUND_QUEUE_MAX, THREADS_MAX};
use crate::work::{Assignment, Share};

/// A running set of finder threads.
pub struct Finder {
    shared: Arc<Shared>,
    found: mpsc::Receiver<Found>,
    threads: Vec<JoinHandle<()>>,
}

/// A share, and what it was found on.
#[derive(Clone, Debug)]
pub struct Found {
    /// The work at that time, which may be over by now.
    pub work: Arc<Assignment>,
    /// The share.
    pub share: Share,
}

struct Shared {
    order: Mutex<Order>,
    changed: Condvar,
    /// Shortest time a chunk may take, so that a configured hash rate is kept.
    chunk_time_min: Duration,
}

struct Order {
    /// Rises with every change, so that threads notice one.
    version: u64,
    work: Option<(Arc<Assignment>, Instant)>,
    stop: bool,
}

impl Finder {
    /// Starts `threads` threads (1 to [`THREADS_MAX`]; others are brought into that range) that wait
    /// for work. `hash_rate_max` bounds all of them together, in hashes per second.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(threads: usize, hash_rate_max: Option<u32>) -> std::io::Result<Finder> {
        let threads = threads.clamp(1, THREADS_MAX);
        let chunk_time_min = hash_rate_max.map_or(Duration::ZERO, |rate| {
            let per_thread = f64::from(rate.max(1)) / threads as f64;
            Duration::from_secs_f64(f64::from(CHUNK_NONCES) / per_thread)
        });
        let shared = Arc::new(Shared {
            order: Mutex::new(Order {
                version: 0,
                work: None,
                stop: false,
            }),
            changed: Condvar::new(),
            chunk_time_min,
        });
        let (found_tx, found) = mpsc::channel(FOUND_QUEUE_MAX);
        let mut finder = Finder {
            shared,
            found,
            threads: Vec::with_capacity(threads),
        };
        for number in 0..threads {
            let shared = Arc::clone(&finder.shared);
            let found_tx = found_tx.clone();
            let thread = thread::Builder::new()
                .name(format!("finder-{number}"))
                .spawn(move || run(&shared, &found_tx))?;
            finder.threads.push(thread);
        }
        Ok(finder)
    }

    /// Gives the threads something else to do, unless it is what they do already; `None` lets them
    /// wait. Shares of earlier work may still be in the queue.
    pub fn set_work(&self, work: Option<&Arc<Assignment>>) {
        let mut order = self.shared.lock();
        let is_same = match (&order.work, work) {
            (Some((old, _)), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if is_same {
            return;
        }
        let since = match (&order.work, work) {
            // A change of target does not make a job younger.
            (Some((old, since)), Some(new)) if old.is_same_job(new) => *since,
            _ => Instant::now(),
        };
        order.version += 1;
        order.work = work.map(|work| (Arc::clone(work), since));
        drop(order);
        self.shared.changed.notify_all();
    }

    /// The next share found. Cancel-safe. Pending while there is no work.
    pub async fn found(&mut self) -> Found {
        match self.found.recv().await {
            Some(found) => found,
            // All threads are gone: nothing will ever be found.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Finder {
    fn drop(&mut self) {
        // A thread that waits for room in the queue wakes when it closes.
        self.found.close();
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a finder thread panicked");
            }
        }
    }
}

impl Shared {
    /// A poisoned lock is taken all the same: an order is a plain value, whole at any time.
    fn lock(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is work, or gives `None` to end the thread.
    fn await_work(&self) -> Option<(u64, Arc<Assignment>, Instant)> {
        let mut order = self.lock();
        loop {
            if order.stop {
                return None;
            }
            if let Some((work, since)) = &order.work {
                return Some((order.version, Arc::clone(work), *since));
            }
            order = self
                .changed
                .wait(order)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits that long, or until the order is another one than `version`.
    fn pause(&self, version: u64, time: Duration) {
        let order = self.lock();
        // The result says why it returned; the caller looks at the order anyway.
        let _ = self
            .changed
            .wait_timeout_while(order, time, |order| !order.stop && order.version == version);
    }
}

/// Looks for one share on the calling thread: for tests that submit by hand. `None` where the search
/// space is used up before one is found.
pub fn find_one(work: &Assignment) -> Option<Share> {
    loop {
        let chunk = work.take_chunk(0)?;
        let mut searcher = chunk.header.searcher();
        for step in 0..CHUNK_NONCES {
            let nonce = chunk.nonce_start.wrapping_add(step);
            let hash = searcher.hash(nonce);
            if work.target().is_met_by(&hash) {
                return Some(work.share(&chunk, nonce, hash));
            }
        }
    }
}

fn run(shared: &Shared, found: &mpsc::Sender<Found>) {
    while let Some((version, work, since)) = shared.await_work() {
        let begun = Instant::now();
        let elapsed_s = u32::try_from(since.elapsed().as_secs()).unwrap_or(u32::MAX);
        let Some(chunk) = work.take_chunk(elapsed_s) else {
            shared.pause(version, Duration::from_millis(200));
            continue;
        };
        let target = work.target();
        let mut searcher = chunk.header.searcher();
        for step in 0..CHUNK_NONCES {
            // A chunk ends at or below 2^32: see Assignment::take_chunk.
            let nonce = chunk.nonce_start.wrapping_add(step);
            let hash = searcher.hash(nonce);
            if !target.is_met_by(&hash) {
                continue;
            }
            let share = work.share(&chunk, nonce, hash);
            let work = Arc::clone(&work);
            if found.blocking_send(Found { work, share }).is_err() {
                return;
            }
        }
        if let Some(rest) = shared.chunk_time_min.checked_sub(begun.elapsed())
            && !rest.is_zero()
        {
            shared.pause(version, rest);
        }
    }
}
