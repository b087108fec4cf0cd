//! How many connections a listener has, from when they are accepted: handshakes under way count.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts connections, in all and by where they come from.
#[derive(Debug)]
pub struct Admission {
    taken: Mutex<Taken>,
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// In all.
    pub connections_max: usize,
    /// From one address; of IPv6 from one network of 64 bits, which is what one host has.
    pub per_address_max: usize,
    /// How long the place of a stranger stays taken at least, from when it was given. A handshake costs the server far
    /// more than its client, so one address gets no more of them than `per_address_max` in this time. Nor does it get
    /// them in bursts: its strangers' places come free one after the other, spread evenly over this time, however many
    /// came or went at once.
    pub stranger_place: Duration,
}

#[derive(Debug)]
struct Taken {
    limits: AdmissionLimits,
    /// None is without places, so there are never more of them than places.
    by_source: HashMap<IpAddr, Source>,
    /// Places whose connections are gone and that are kept until then. Each still counts above, so these are bounded
    /// with them.
    kept: Vec<(Instant, IpAddr)>,
}

/// Where connections come from.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    /// Places that are taken, those that are kept included.
    places: usize,
    /// Before when no further place of a stranger comes free.
    next_free_at: Option<Instant>,
}

/// The place of one connection, free again when dropped.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    source: IpAddr,
    admitted_at: Instant,
    keep_a_while: bool,
}

impl Admission {
    /// All places are free.
    pub fn new(limits: AdmissionLimits) -> Admission {
        Admission {
            taken: Mutex::new(Taken {
                limits,
                by_source: HashMap::new(),
                kept: Vec::new(),
            }),
        }
    }

    /// How many there may be from now on. Those that have a place keep it.
    pub fn set_limits(&self, limits: AdmissionLimits) {
        self.lock().limits = limits;
    }

    /// A place for one connection more, if there is one.
    pub fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Place> {
        let source = source(address);
        let mut taken = self.lock();
        taken.free_kept(now);
        let all: usize = taken.by_source.values().map(|source| source.places).sum();
        let own = taken
            .by_source
            .get(&source)
            .map_or(0, |source| source.places);
        if all >= taken.limits.connections_max || own >= taken.limits.per_address_max {
            return None;
        }
        taken.by_source.entry(source).or_default().places += 1;
        Some(Place {
            admission: Arc::clone(self),
            source,
            admitted_at: now,
            keep_a_while: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // No step leaves the counts in a state that the next one could not work with.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn free(&mut self, source: IpAddr) {
        match self.by_source.get_mut(&source) {
            Some(own) if own.places > 1 => own.places -= 1,
            _ => {
                self.by_source.remove(&source);
            }
        }
    }

    /// A stranger has gone: its place comes free in its turn.
    fn keep(&mut self, source: IpAddr, admitted_at: Instant, now: Instant) {
        let per_address_max = u32::try_from(self.limits.per_address_max).unwrap_or(u32::MAX);
        let gap = self.limits.stranger_place / per_address_max.max(1);
        let own = self.by_source.entry(source).or_default();
        let earliest = now.max(admitted_at + self.limits.stranger_place);
        let until = own.next_free_at.map_or(earliest, |next| next.max(earliest));
        own.next_free_at = Some(until + gap);
        self.kept.push((until, source));
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
    /// It was a stranger's: see [`AdmissionLimits::stranger_place`].
    pub fn keep_a_while(&mut self) {
        self.keep_a_while = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.admission.lock();
        if self.keep_a_while {
            taken.keep(self.source, self.admitted_at, Instant::now());
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

    const WHILE: Duration = Duration::from_secs(1);

    fn admission(connections_max: usize, per_address_max: usize) -> Arc<Admission> {
        Arc::new(Admission::new(AdmissionLimits {
            connections_max,
            per_address_max,
            stranger_place: WHILE,
        }))
    }

    #[test]
    fn one_address_cannot_take_every_place_and_a_place_is_free_again() {
        let admission = admission(3, 2);
        let greedy = IpAddr::from([10, 0, 0, 1]);
        let modest = IpAddr::from([10, 0, 0, 2]);
        let now = Instant::now();
        let first = admission.admit(greedy, now).unwrap();
        let _second = admission.admit(greedy, now).unwrap();
        assert!(admission.admit(greedy, now).is_none());
        let _third = admission.admit(modest, now).unwrap();
        assert!(admission.admit(modest, now).is_none(), "there are three");
        drop(first);
        assert!(admission.admit(greedy, now).is_some());
    }

    #[test]
    fn strangers_of_one_address_get_so_many_handshakes_in_a_while() {
        let admission = admission(100, 2);
        let address = IpAddr::from([10, 0, 0, 1]);
        let now = Instant::now();
        for _ in 0..2 {
            let mut place = admission.admit(address, now).unwrap();
            place.keep_a_while();
        }
        let soon = now + WHILE - Duration::from_millis(1);
        assert!(admission.admit(address, soon).is_none());
        let mut places = Vec::new();
        for (after, free) in [(WHILE, 1), (WHILE + WHILE / 2, 2)] {
            places.extend((0..3).filter_map(|_| admission.admit(address, now + after)));
            assert_eq!(places.len(), free);
        }
    }

    #[test]
    fn a_flood_of_one_address_comes_evenly_and_no_other_waits_for_it() {
        let admission = admission(1_000, 100);
        let (flood, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let start = Instant::now();
        let mut let_in_each_100_ms = [0; 60];
        for ms in 0..6_000 {
            let now = start + Duration::from_millis(ms);
            if let Some(mut place) = admission.admit(flood, now) {
                place.keep_a_while();
                let_in_each_100_ms[ms as usize / 100] += 1;
            }
        }
        // All that fit came at once, as after a restart of whatever is behind one address. From then on they do not.
        assert_eq!(let_in_each_100_ms[..10].iter().sum::<u32>(), 100);
        for let_in in &let_in_each_100_ms[10..] {
            assert!((9..=11).contains(let_in), "{let_in_each_100_ms:?}");
        }
        let now = start + Duration::from_secs(6);
        let others: Vec<_> = (0..100).map(|_| admission.admit(other, now)).collect();
        assert_eq!(others.iter().flatten().count(), 100);
    }

    #[test]
    fn strangers_that_all_leave_at_once_do_not_make_room_for_a_burst() {
        let admission = admission(100, 10);
        let address = IpAddr::from([10, 0, 0, 1]);
        let long_ago = Instant::now().checked_sub(5 * WHILE).unwrap();
        let mut silent: Vec<_> = (0..10)
            .filter_map(|_| admission.admit(address, long_ago))
            .collect();
        silent.iter_mut().for_each(Place::keep_a_while);
        assert_eq!(silent.len(), 10);
        drop(silent);
        let admitted = |now| -> Vec<Place> {
            let attempts = (0..10).filter_map(|_| admission.admit(address, now));
            attempts.collect()
        };
        let now = Instant::now();
        let burst = admitted(now);
        assert!(burst.len() < 5, "{}", burst.len());
        let rest = admitted(now + WHILE);
        assert_eq!(burst.len() + rest.len(), 10);
    }

    #[test]
    fn one_host_is_one_address_whichever_of_its_own_it_uses() {
        let admission = admission(100, 1);
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
