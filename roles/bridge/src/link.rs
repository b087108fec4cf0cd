//! How Redis was last found, for the operator.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use winze_redis::RedisFault;

/// Who talks to Redis, in the direction from the list to the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Takes entries off the list.
    List,
    /// Writes the keys of quote ids, and dead letters.
    Telling,
    /// Keeps the keyset's key.
    Keyset,
}

/// How each part got on last. Clones share it.
#[derive(Clone)]
pub(crate) struct Link(Arc<Mutex<Inner>>);

struct Inner {
    /// By [`Part`].
    parts: [Last; 3],
    faults: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Last {
    /// It has not been tried.
    Untried,
    Well,
    Fault(String),
}

/// What there is to say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkStatus {
    /// Every part got on with Redis when it last tried.
    pub(crate) is_well: bool,
    /// What went wrong last and still does.
    pub(crate) fault: Option<String>,
    /// What went wrong so far, each attempt.
    pub(crate) faults: u64,
}

impl Link {
    /// The list was not tried yet; the others have nothing to do until they do.
    pub(crate) fn new() -> Link {
        Link(Arc::new(Mutex::new(Inner {
            parts: [Last::Untried, Last::Well, Last::Well],
            faults: 0,
        })))
    }

    /// Takes down how it went, and tells the log what is new about that.
    pub(crate) fn note(&self, part: Part, outcome: Result<(), &RedisFault>) {
        let mut inner = self.lock();
        let now = match outcome {
            Ok(()) => Last::Well,
            Err(fault) => {
                inner.faults += 1;
                Last::Fault(fault.to_string())
            }
        };
        let Some(last) = inner.parts.get_mut(part as usize) else {
            return;
        };
        if *last == now {
            return;
        }
        match &now {
            Last::Fault(fault) => tracing::warn!(?part, fault, "trouble with Redis; trying again"),
            _ => tracing::info!(?part, "Redis is there"),
        }
        *last = now;
    }

    pub(crate) fn status(&self) -> LinkStatus {
        let inner = self.lock();
        LinkStatus {
            is_well: inner.parts.iter().all(|last| *last == Last::Well),
            fault: inner.parts.iter().find_map(|last| match last {
                Last::Fault(fault) => Some(fault.clone()),
                Last::Untried | Last::Well => None,
            }),
            faults: inner.faults,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
