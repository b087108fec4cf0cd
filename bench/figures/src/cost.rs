//! What happened between two moments, and what each of it cost.

use std::time::Duration;

/// What was counted between two moments, and what processes used meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Between the two.
    pub took: Duration,
    /// What was done: messages, deliveries, round trips, requests.
    pub count: u64,
    /// Processor time of the server, in nanoseconds.
    pub server_ns: u64,
    /// That of this process, where the load comes from, in nanoseconds.
    pub load_ns: u64,
    /// That of the process which answers, where it is one of its own, in nanoseconds.
    pub responder_ns: Option<u64>,
}

/// The same for each that was done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Thousands a second.
    pub k_per_s: f64,
    /// The server's processor time for each, in microseconds.
    pub server_us: f64,
    /// All clients' together, in microseconds.
    pub clients_us: f64,
    /// Of it that of who asks and that of who answers, in microseconds, where they are processes of their own.
    pub apart_us: Option<(f64, f64)>,
}

impl Span {
    /// `None` where nothing was done, or no time has passed.
    pub fn cost(&self) -> Option<Cost> {
        let seconds = self.took.as_secs_f64();
        if self.count == 0 || seconds <= 0.0 {
            return None;
        }
        let count = self.count as f64;
        let each_us = |ns: u64| ns as f64 / count / 1e3;
        let load_us = each_us(self.load_ns);
        let responder_us = self.responder_ns.map(each_us);
        Some(Cost {
            k_per_s: count / seconds / 1e3,
            server_us: each_us(self.server_ns),
            clients_us: load_us + responder_us.unwrap_or(0.0),
            apart_us: responder_us.map(|responder_us| (load_us, responder_us)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_messages_in_half_a_second_are_two_thousand_a_second_and_cost_a_thousandth_each() {
        let span = Span {
            took: Duration::from_millis(500),
            count: 1_000,
            server_ns: 3_000_000,
            load_ns: 5_000_000,
            responder_ns: Some(2_000_000),
        };
        let cost = span.cost().unwrap();
        assert_eq!((cost.k_per_s, cost.server_us), (2.0, 3.0));
        assert_eq!((cost.clients_us, cost.apart_us), (7.0, Some((5.0, 2.0))));
        let together = Span {
            responder_ns: None,
            ..span
        };
        let cost = together.cost().unwrap();
        assert_eq!((cost.clients_us, cost.apart_us), (5.0, None));
    }

    #[test]
    fn load_that_stood_still_has_no_cost_rather_than_an_infinite_one() {
        let still = Span {
            took: Duration::from_secs(1),
            server_ns: 1,
            ..Span::default()
        };
        assert_eq!(still.cost(), None);
        let at_once = Span {
            count: 1,
            ..Span::default()
        };
        assert_eq!(at_once.cost(), None);
    }
}
