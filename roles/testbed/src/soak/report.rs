//! What was measured, and which bounds are broken.

use std::fmt;

use serde::Serialize;

use super::error::SoakError;
use super::hub::SoakHub;

/// A hub's memory against what its limits add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The most that was resident, in bytes.
    pub peak_bytes: u64,
    /// What may be: resident before anyone was connected, and what the limits allow on top of it, in bytes.
    pub bound_bytes: u64,
}

/// Connections that do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct IdleReport {
    /// As the hub counts them, at the end.
    pub connections: u64,
    /// How many there should be.
    pub connections_wanted: u64,
    /// The hub's.
    pub memory: Memory,
}

/// Peers that never read while others exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DeafReport {
    /// Peers that never read.
    pub never_read: u64,
    /// Peers that exchange, and send to the former whatever the hub takes.
    pub others: u64,
    /// Both together as the hub counts them, at the end.
    pub connections: u64,
    /// What was sent to those that never read, in bytes.
    pub fed_bytes: u64,
    /// What fills their windows in the hub, in bytes: with less than that sent, nothing was tried.
    pub window_bytes: u64,
    /// Questions of the others that were answered.
    pub exchanged: u64,
    /// How many had to be.
    pub exchanged_min: u64,
    /// From a question to its answer, in microseconds.
    pub p99_us: u64,
    /// The hub's.
    pub memory: Memory,
}

/// A flood of connection attempts while others exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FloodReport {
    /// Peers that exchange.
    pub others: u64,
    /// As the hub counts them, at the end.
    pub connections: u64,
    /// Attempts at the hub.
    pub attempts: u64,
    /// Attempts at a listener that only accepts and closes.
    pub attempts_closer: u64,
    /// Questions that were answered while the hub was flooded.
    pub exchanged: u64,
    /// How many had to be.
    pub exchanged_min: u64,
    /// From a question to its answer while the hub is flooded, in microseconds.
    pub p99_us: u64,
    /// The same while that listener is.
    pub p99_closer_us: u64,
    /// The hub's.
    pub memory: Memory,
}

/// The object of `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SoakReport {
    /// Connections that do nothing.
    pub idle: IdleReport,
    /// Peers that never read.
    pub deaf: DeafReport,
    /// A flood of attempts.
    pub flood: FloodReport,
}

impl Memory {
    pub(super) fn of(
        hub: &SoakHub,
        alone_bytes: u64,
        load_bytes: u64,
    ) -> Result<Memory, SoakError> {
        Ok(Memory {
            peak_bytes: hub.memory_peak_bytes()?,
            bound_bytes: alone_bytes + load_bytes,
        })
    }

    fn problem(&self) -> Option<String> {
        (self.peak_bytes > self.bound_bytes)
            .then(|| format!("the hub's memory is over its bound: {self}"))
    }
}

impl SoakReport {
    /// Broken bounds of memory, and what makes a measure worthless. Empty: all is well.
    pub fn memory_problems(&self) -> Vec<String> {
        let SoakReport { idle, deaf, flood } = self;
        let mut problems = Vec::new();
        for (name, memory) in [
            ("idle", idle.memory),
            ("never read", deaf.memory),
            ("flood", flood.memory),
        ] {
            let problem = memory.problem();
            problems.extend(problem.map(|problem| format!("{name}: {problem}")));
        }
        for (name, connections, wanted) in [
            ("idle", idle.connections, idle.connections_wanted),
            (
                "never read",
                deaf.connections,
                deaf.never_read + deaf.others,
            ),
            ("flood", flood.connections, flood.others),
        ] {
            if connections != wanted {
                problems.push(format!(
                    "{name}: {connections} connections at the end instead of {wanted}"
                ));
            }
        }
        if deaf.fed_bytes < deaf.window_bytes {
            problems.push(format!(
                "never read: only {} were sent to them, which fills no window",
                megabytes(deaf.fed_bytes)
            ));
        }
        for (name, exchanged, least) in [
            ("never read", deaf.exchanged, deaf.exchanged_min),
            ("flood", flood.exchanged, flood.exchanged_min),
        ] {
            if exchanged < least {
                problems.push(format!(
                    "{name}: the others exchanged {exchanged} messages, fewer than {least}"
                ));
            }
        }
        problems
    }

    /// All of [`Self::memory_problems`], and a latency beyond its bound.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.memory_problems();
        let (flooded, closer) = (self.flood.p99_us, self.flood.p99_closer_us);
        if flooded > 2 * closer {
            problems.push(format!(
                "flood: the others' p99 is {flooded} us, more than twice the {closer} us while another listener is flooded"
            ));
        }
        problems
    }

    /// On one line.
    pub fn json(&self) -> String {
        // Numbers and fixed names: there is nothing in it that could not be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peak, bound) = (megabytes(self.peak_bytes), megabytes(self.bound_bytes));
        write!(f, "{peak} resident at most, the limits add up to {bound}")
    }
}

impl fmt::Display for IdleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections: {}", self.connections, self.memory)
    }
}

impl fmt::Display for DeafReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} that never read were sent {} ({} fill their windows): {}; the others' p99 is {} us ({} answers)",
            self.never_read,
            megabytes(self.fed_bytes),
            megabytes(self.window_bytes),
            self.memory,
            self.p99_us,
            self.exchanged
        )
    }
}

impl fmt::Display for FloodReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} attempts at the hub: {}; the others' p99 is {} us, and {} us while {} attempts hit a listener that only \
             accepts and closes",
            self.attempts, self.memory, self.p99_us, self.p99_closer_us, self.attempts_closer
        )
    }
}

/// Nearest rank; 0 of none.
pub(super) fn p99_us(mut latencies_us: Vec<u64>) -> u64 {
    latencies_us.sort_unstable();
    let rank = (latencies_us.len() * 99).div_ceil(100);
    let at = rank.saturating_sub(1);
    latencies_us.get(at).copied().unwrap_or(0)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> SoakReport {
        let memory = Memory {
            peak_bytes: 9,
            bound_bytes: 10,
        };
        SoakReport {
            idle: IdleReport {
                connections: 4,
                connections_wanted: 4,
                memory,
            },
            deaf: DeafReport {
                never_read: 2,
                others: 2,
                connections: 4,
                fed_bytes: 100,
                window_bytes: 100,
                exchanged: 5,
                exchanged_min: 5,
                p99_us: 1,
                memory,
            },
            flood: FloodReport {
                others: 2,
                connections: 2,
                attempts: 7,
                attempts_closer: 7,
                exchanged: 5,
                exchanged_min: 5,
                p99_us: 20,
                p99_closer_us: 10,
                memory,
            },
        }
    }

    #[test]
    fn each_broken_bound_is_told_and_so_is_a_measure_that_shows_nothing() {
        assert_eq!(good().problems(), Vec::<String>::new());
        let broken: [fn(&mut SoakReport); 8] = [
            |report| report.idle.memory.peak_bytes = 11,
            |report| report.deaf.memory.peak_bytes = 11,
            |report| report.flood.memory.peak_bytes = 11,
            |report| report.idle.connections = 3,
            |report| report.deaf.fed_bytes = 99,
            |report| report.deaf.exchanged = 4,
            |report| report.flood.exchanged = 0,
            |report| report.flood.p99_us = 21,
        ];
        for (place, breaks) in broken.iter().enumerate() {
            let mut report = good();
            breaks(&mut report);
            assert_eq!(report.problems().len(), 1, "number {place}: {report:?}");
        }
    }

    #[test]
    fn of_a_hundred_latencies_the_last_but_one_is_the_p99() {
        assert_eq!(p99_us((1..=100).rev().collect()), 99);
        assert_eq!(p99_us(vec![7]), 7);
        assert_eq!(p99_us(Vec::new()), 0);
    }
}
