//! How many connections there may be, from when they are accepted: handshakes under way count.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::{HubLimits, STRANGER_PLACE_MS, TURNED_AWAY_MAX};

/// Counts connections, in all and by where they come from.
#[derive(Debug)]
pub(super) struct Admission {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    connections_max: usize,
    per_address_max: usize,
    /// No entry is 0, so there are never more of them than places.
    by_source: HashMap<IpAddr, usize>,
    /// Places whose connections are gone and that are kept until then. Each still counts above, so these are bounded
    /// with them.
    kept: Vec<(Instant, IpAddr)>,
}

/// The place of one connection, free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    source: IpAddr,
    admitted_at: Instant,
    keep_a_while: bool,
}

impl Admission {
    pub(super) fn new(limits: &HubLimits) -> Admission {
        let admission = Admission {
            taken: Mutex::default(),
        };
        admission.set_limits(limits);
        admission
    }

    /// How many there may be from now on. Those that have a place keep it.
    pub(super) fn set_limits(&self, limits: &HubLimits) {
        let mut taken = self.lock();
        taken.connections_max = limits.connections_max.saturating_add(TURNED_AWAY_MAX);
        taken.per_address_max = limits.connections_per_address_max;
    }

    /// A place for one connection more, if there is one.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Place> {
        let source = source(address);
        let mut taken = self.lock();
        taken.free_kept(now);
        let all: usize = taken.by_source.values().sum();
        let own = taken.by_source.get(&source).copied().unwrap_or(0);
        if all >= taken.connections_max || own >= taken.per_address_max {
            return None;
        }
        taken.by_source.insert(source, own + 1);
        Some(Place {
            admission: Arc::clone(self),
            source,
            admitted_at: now,
            keep_a_while: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn free(&mut self, source: IpAddr) {
        match self.by_source.get_mut(&source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.by_source.remove(&source);
            }
        }
    }

    fn free_kept(&mut self, now: Instant) {
        let mut over = Vec::new();
        self.kept.retain(|(until, source)| {
            let stays = *until > now;
            if !stays {
                over.push(*source);
            }
            stays
        });
        for source in over {
            self.free(source);
        }
    }
}

impl Place {
    /// The place stays taken for [`STRANGER_PLACE_MS`] from when it was given.
    pub(super) fn keep_a_while(&mut self) {
        self.keep_a_while = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.admission.lock();
        if self.keep_a_while {
            let until = self.admitted_at + Duration::from_millis(STRANGER_PLACE_MS);
            taken.kept.push((until, self.source));
        } else {
            taken.free(self.source);
        }
    }
}

/// What counts as one address. Whoever has one of IPv6 has a network of 64 bits, and could use as many as it likes.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address => address,
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
        let now = Instant::now();
        let first = admission.admit(greedy, now).unwrap();
        let _second = admission.admit(greedy, now).unwrap();
        assert!(admission.admit(greedy, now).is_none());
        assert!(admission.admit(modest, now).is_some());
        drop(first);
        assert!(admission.admit(greedy, now).is_some());
    }

    #[test]
    fn strangers_of_one_address_get_so_many_handshakes_in_a_while() {
        let admission = Arc::new(Admission::new(&HubLimits {
            connections_per_address_max: 2,
            ..HubLimits::default()
        }));
        let address = IpAddr::from([10, 0, 0, 1]);
        let now = Instant::now();
        for _ in 0..2 {
            let mut place = admission.admit(address, now).unwrap();
            place.keep_a_while();
        }
        let soon = now + Duration::from_millis(STRANGER_PLACE_MS - 1);
        assert!(admission.admit(address, soon).is_none());
        let later = now + Duration::from_millis(STRANGER_PLACE_MS);
        let places: Vec<_> = (0..3).map(|_| admission.admit(address, later)).collect();
        assert_eq!(places.iter().flatten().count(), 2);
    }

    #[test]
    fn one_host_is_one_address_whichever_of_its_own_it_uses() {
        let admission = Arc::new(Admission::new(&HubLimits {
            connections_per_address_max: 1,
            ..HubLimits::default()
        }));
        let now = Instant::now();
        let admit = |address: &str| admission.admit(address.parse().unwrap(), now);
        let _host = admit("2001:db8:0:1::1").unwrap();
        assert!(admit("2001:db8:0:1:ffff::2").is_none());
        assert!(admit("2001:db8:0:2::1").is_some());
        // Two of IPv4, as a listener for both sees them.
        let _first = admit("::ffff:10.0.0.1").unwrap();
        assert!(admit("10.0.0.1").is_none());
        assert!(admit("::ffff:10.0.0.2").is_some());
    }
}
