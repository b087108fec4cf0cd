//! What a bound asks of a hub on this machine, beside what the cipher and the sockets take there by themselves: whether any hub
//! that encrypts each message by itself could meet it.

use crate::median::Medians;
use crate::outcome::{Case, Outcome};
use crate::ratios::{ALL, Bound, Figure, Ratio};

/// The workload in which the cipher is measured.
const FLOOR: &str = "floor";
/// The system in it that encrypts as the hub does: whole runs.
pub const CIPHER: &str = "runs";
/// The system that passes on what it does not decrypt: the sockets' part.
pub const RELAY: &str = "relay";
/// What the floor is measured with, in payload bytes.
const PAYLOAD_BYTES: u64 = 200;

/// Metrics of the floor, in microseconds: header and payload sealed; both opened.
pub const SEAL_US: &str = "seal_us";
/// See [`SEAL_US`].
pub const OPEN_US: &str = "open_us";
/// An authenticator made and verified: two HMACs.
pub const MAC_US: &str = "mac_us";

/// What nobody gets below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Least {
    /// A hub opens and seals each of so many messages.
    Hub {
        /// Messages for each that is counted.
        messages: f64,
    },
    /// A hub opens each message once for so many receivers, and seals it for each.
    FanOut {
        /// Receivers.
        receivers: f64,
    },
    /// So many messages on their whole way: authenticated and sealed by who sends, opened and sealed by the hub, opened and
    /// verified by who receives; on the cores that they share.
    Path {
        /// Messages for each that is counted.
        messages: f64,
    },
}

/// The cipher's cost for one message, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floor {
    /// Header and payload sealed.
    pub seal_us: f64,
    /// Header and payload opened.
    pub open_us: f64,
    /// An authenticator made and verified.
    pub mac_us: f64,
}

impl Floor {
    /// As it was measured in this run; `None` where it was not.
    pub fn of(medians: &Medians) -> Option<Floor> {
        let case = Case {
            system: CIPHER,
            parameter: PAYLOAD_BYTES,
        };
        let metric = |key| Some(medians.of(FLOOR, &case, key)?.value);
        Some(Floor {
            seal_us: metric(SEAL_US)?,
            open_us: metric(OPEN_US)?,
            mac_us: metric(MAC_US)?,
        })
    }

    /// What a hub does for one message.
    pub fn hub_us(&self) -> f64 {
        self.seal_us + self.open_us
    }

    /// What a message costs from its sender to its receiver.
    pub fn path_us(&self) -> f64 {
        2.0 * self.hub_us() + self.mac_us
    }

    /// The least of one that is counted.
    pub fn us(&self, least: Least) -> f64 {
        match least {
            Least::Hub { messages } => messages * self.hub_us(),
            Least::FanOut { receivers } => self.seal_us + self.open_us / receivers,
            Least::Path { messages } => messages * self.path_us(),
        }
    }
}

/// What one bound asks, in microseconds of processor time for each that is counted: of the hub, or where it is a rate of
/// all processes together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceiling {
    /// The bound's key.
    pub key: &'static str,
    /// Whether it is about all processes, and not the hub's alone.
    pub all_processes: bool,
    /// What may be spent at most: bound times the other's figure; for a rate, all cores for as long as one takes.
    pub allowed_us: f64,
    /// What is spent.
    pub spent_us: f64,
    /// What the cipher alone takes.
    pub cipher_us: f64,
    /// What a process with a thread for each core takes that passes the same bytes on and does nothing else; `None` where that was not measured.
    pub sockets_us: Option<f64>,
}

impl Ceiling {
    /// What nobody gets below.
    pub fn least_us(&self) -> f64 {
        self.cipher_us + self.sockets_us.unwrap_or(0.0)
    }

    /// Whether that leaves a hub that costs nothing else room to meet the bound.
    pub fn in_reach(&self) -> bool {
        self.least_us() <= self.allowed_us
    }

    /// In words, with its figures.
    pub fn said(&self) -> String {
        let rest_us = self.spent_us - self.least_us();
        let (least, least_us) = match self.sockets_us {
            Some(_) if self.cipher_us <= self.allowed_us => (
                "on all cores cipher and sockets alone take",
                self.least_us(),
            ),
            _ => ("the cipher alone takes", self.cipher_us),
        };
        match self.in_reach() {
            false => format!(
                "no: {least} {:.2} times what is allowed; all else here {rest_us:.2} us",
                least_us / self.allowed_us
            ),
            true if self.spent_us <= self.allowed_us => {
                "not excluded: less is spent than allowed, the rest is waiting".to_owned()
            }
            true => format!(
                "not excluded: {:.2} us are left for all else, which takes {rest_us:.2} us",
                self.allowed_us - self.least_us()
            ),
        }
    }
}

/// Of each bound that is missed and that the cipher has a part in.
pub fn of_missed(outcome: &Outcome) -> Vec<Ceiling> {
    let Some(floor) = Floor::of(&outcome.medians) else {
        return Vec::new();
    };
    let missed = |ratio: &&Ratio| {
        let value = ratio.value(&outcome.medians);
        value.is_some_and(|value| !ratio.bound.holds(value))
    };
    let ceiling = |ratio: &Ratio| of(ratio, &floor, outcome);
    ALL.iter().filter(missed).filter_map(ceiling).collect()
}

fn of(ratio: &Ratio, floor: &Floor, outcome: &Outcome) -> Option<Ceiling> {
    let medians = &outcome.medians;
    let (ours, theirs) = (medians.get(ratio.over)?, medians.get(ratio.under?)?);
    let metric = |metric| {
        medians.get(Figure {
            metric,
            ..ratio.over
        })
    };
    let (all_processes, allowed_us, spent_us) = match ratio.bound {
        Bound::AtMost(bound) => (false, bound * theirs, ours),
        Bound::AtLeast(bound) => {
            let us_of_all_cores = 1e3 * outcome.cores as f64;
            let spent_us = metric("cpu_us")? + metric("clients_cpu_us")?;
            (true, us_of_all_cores / (bound * theirs), spent_us)
        }
    };
    Some(Ceiling {
        key: ratio.key,
        all_processes,
        allowed_us,
        spent_us,
        cipher_us: floor.us(ratio.least?),
        sockets_us: medians.get(Figure {
            system: RELAY,
            metric: "cpu_us",
            ..ratio.over
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn a_bound_below_what_the_cipher_takes_is_said_to_be_out_of_reach_for_anybody() {
        // NATS takes 1 us, so 1.2 are allowed where the cipher takes 1 of the hub's 3.
        let near = example::outcome(&[
            ("pairs", "hub", 200, "cpu_us", 3.0),
            ("pairs", "nats", 200, "cpu_us", 1.0),
            ("pairs", "nats-tls", 200, "cpu_us", 1.5),
        ]);
        let ceilings = of_missed(&near);
        let keys: Vec<&str> = ceilings.iter().map(|ceiling| ceiling.key).collect();
        assert_eq!(keys, ["pairs_cpu_vs_nats_plain", "pairs_cpu_vs_nats_tls"]);
        assert!(ceilings[0].in_reach() && !ceilings[1].in_reach());
        assert_eq!(
            ceilings[0].said(),
            "not excluded: 0.20 us are left for all else, which takes 2.00 us"
        );
        assert_eq!(
            ceilings[1].said(),
            "no: the cipher alone takes 1.33 times what is allowed; all else here 2.00 us"
        );
    }

    #[test]
    fn what_the_sockets_take_is_added_where_it_was_measured() {
        let outcome = example::outcome(&[
            ("pairs", "hub", 200, "cpu_us", 3.0),
            ("pairs", "relay", 200, "cpu_us", 0.5),
            ("pairs", "nats", 200, "cpu_us", 1.3),
            ("pairs", "nats-tls", 200, "cpu_us", 2.8),
            ("pairs", "naive-soft", 200, "cpu_us", 1.0),
        ]);
        let said: Vec<String> = of_missed(&outcome).iter().map(Ceiling::said).collect();
        assert_eq!(
            said,
            [
                "not excluded: 0.06 us are left for all else, which takes 1.50 us",
                "no: on all cores cipher and sockets alone take 1.07 times what is allowed; all else here 1.50 us",
                "no: the cipher alone takes 5.00 times what is allowed; all else here 1.50 us",
            ]
        );
    }

    #[test]
    fn a_rate_is_held_against_all_cores_and_all_processes() {
        // 1.5 times 500 k/s on two cores: 2.67 us for all of it. The path takes 2 * 1 + 0.5.
        let bulk = example::outcome(&[
            ("bulk", "hub", 200, "k_per_s", 400.0),
            ("bulk", "hub", 200, "cpu_us", 1.5),
            ("bulk", "hub", 200, "clients_cpu_us", 3.5),
            ("bulk", "nats-tls", 200, "k_per_s", 500.0),
        ]);
        let ceiling = of_missed(&bulk)[0];
        assert!(ceiling.all_processes && ceiling.in_reach());
        assert_eq!((ceiling.spent_us, ceiling.least_us()), (5.0, 2.5));
        assert!((ceiling.allowed_us - 2.0 / 0.75).abs() < 1e-9);
    }

    #[test]
    fn a_message_to_many_is_opened_once_and_sealed_for_each() {
        let floor = Floor {
            seal_us: 0.4,
            open_us: 0.64,
            mac_us: 0.5,
        };
        assert!((floor.us(Least::FanOut { receivers: 64.0 }) - 0.41).abs() < 1e-9);
        assert!((floor.us(Least::Hub { messages: 2.0 }) - 2.08).abs() < 1e-9);
        assert!((floor.us(Least::Path { messages: 1.0 }) - 2.58).abs() < 1e-9);
    }

    #[test]
    fn what_holds_or_was_not_measured_is_not_spoken_of() {
        let met = example::outcome(&[
            ("pairs", "hub", 200, "cpu_us", 1.0),
            ("pairs", "nats", 200, "cpu_us", 1.0),
        ]);
        assert_eq!(of_missed(&met), []);
        let missed_without_floor = Outcome {
            medians: Medians::default(),
            ..met
        };
        assert_eq!(of_missed(&missed_without_floor), []);
    }
}
