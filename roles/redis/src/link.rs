//! How Redis was last found, for the operator.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fault::RedisFault;

/// How each part of a role got on with Redis last. Clones share it.
#[derive(Clone)]
pub struct Link(Arc<Mutex<Inner>>);

/// Who in a role talks to Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkPart {
    /// Takes entries off the list, and does what follows from them at once.
    List,
    /// Writes later what somebody else has said: the keys of quote ids, and dead letters.
    Telling,
    /// Keeps the keyset's key.
    Keyset,
}

/// What there is to say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStatus {
    /// Every part got on with Redis when it last tried.
    pub is_well: bool,
    /// What went wrong last and still does.
    pub fault: Option<String>,
    /// What went wrong so far, each attempt.
    pub faults: u64,
}

struct Inner {
    /// By [`LinkPart`].
    parts: [Last; 3],
    faults: u64,
}

/// How it went last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Last {
    /// It has not been tried.
    Untried,
    Well,
    Fault(String),
}

impl Link {
    /// Nothing is well before all of `first` have tried. The others count as well until they say otherwise: those that are
    /// switched off, or have nothing to do until there is something to do.
    pub fn new(first: &[LinkPart]) -> Link {
        let mut inner = Inner {
            parts: [Last::Well, Last::Well, Last::Well],
            faults: 0,
        };
        for part in first {
            *inner.last(*part) = Last::Untried;
        }
        Link(Arc::new(Mutex::new(inner)))
    }

    /// Takes down how it went, and tells the log what is new about that.
    pub fn note(&self, part: LinkPart, outcome: Result<(), &RedisFault>) {
        let mut inner = self.lock();
        let now = match outcome {
            Ok(()) => Last::Well,
            Err(fault) => {
                inner.faults += 1;
                Last::Fault(fault.to_string())
            }
        };
        let last = inner.last(part);
        if *last == now {
            return;
        }
        match &now {
            Last::Fault(fault) => tracing::warn!(?part, fault, "trouble with Redis; trying again"),
            _ => tracing::info!(?part, "Redis is there"),
        }
        *last = now;
    }

    /// How it stands.
    pub fn status(&self) -> LinkStatus {
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

impl Inner {
    fn last(&mut self, part: LinkPart) -> &mut Last {
        let [list, telling, keyset] = &mut self.parts;
        match part {
            LinkPart::List => list,
            LinkPart::Telling => telling,
            LinkPart::Keyset => keyset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(problem: &str) -> RedisFault {
        RedisFault::Away {
            address: "127.0.0.1:6379".to_owned(),
            problem: problem.to_owned(),
        }
    }

    #[test]
    fn a_part_in_trouble_is_not_hidden_by_another_that_gets_on() {
        let link = Link::new(&[LinkPart::List]);
        assert!(!link.status().is_well, "nobody has tried yet");
        link.note(LinkPart::List, Ok(()));
        assert!(link.status().is_well, "the others have had nothing to do");

        link.note(LinkPart::Keyset, Err(&away("refused")));
        link.note(LinkPart::Keyset, Err(&away("refused")));
        link.note(LinkPart::List, Ok(()));
        let status = link.status();
        assert!(!status.is_well);
        assert_eq!(status.fault, Some(away("refused").to_string()));
        assert_eq!(status.faults, 2);

        link.note(LinkPart::Keyset, Ok(()));
        let over = LinkStatus {
            is_well: true,
            fault: None,
            faults: 2,
        };
        assert_eq!(link.status(), over);
    }
}
