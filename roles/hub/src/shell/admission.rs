//! How many connections there may be, from when they are accepted: handshakes under way count.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::{HubLimits, TURNED_AWAY_MAX};

/// Counts connections, in all and by address.
#[derive(Debug)]
pub(super) struct Admission {
    connections_max: usize,
    per_address_max: usize,
    /// No entry is 0, so there are never more of them than connections.
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// The place of one connection, free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    pub(super) fn new(limits: &HubLimits) -> Admission {
        Admission {
            connections_max: limits.connections_max.saturating_add(TURNED_AWAY_MAX),
            per_address_max: limits.connections_per_address_max,
            by_address: Mutex::default(),
        }
    }

    /// A place for one connection more, if there is one.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut by_address = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let all: usize = by_address.values().sum();
        let own = by_address.get(&address).copied().unwrap_or(0);
        if all >= self.connections_max || own >= self.per_address_max {
            return None;
        }
        by_address.insert(address, own + 1);
        Some(Place {
            admission: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self
            .admission
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match by_address.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_every_place_and_a_place_is_free_again() {
        let admission = Arc::new(Admission::new(&HubLimits {
            connections_max: 4,
            connections_per_address_max: 2,
            ..HubLimits::default()
        }));
        let greedy = IpAddr::from([10, 0, 0, 1]);
        let modest = IpAddr::from([10, 0, 0, 2]);
        let first = admission.admit(greedy).unwrap();
        let _second = admission.admit(greedy).unwrap();
        assert!(admission.admit(greedy).is_none());
        assert!(admission.admit(modest).is_some());
        drop(first);
        assert!(admission.admit(greedy).is_some());
    }
}
