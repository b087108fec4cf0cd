//! Where processor time goes, by kind of work, and its section in BENCHMARKS.md.

pub mod kinds;
pub mod samples;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use kinds::{ORDER, OTHER};
use samples::Weights;

/// Begins the section of profiles in BENCHMARKS.md. A line of its own.
pub const BEGIN: &str = "<!-- profiles: written by scripts/profile -->";
/// Ends it.
pub const END: &str = "<!-- end of profiles -->";

/// Functions of no kind that are named, at most.
const OTHERS_NAMED_MAX: usize = 3;

/// Where a workload's processor time goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The workload.
    pub workload: String,
    /// What was measured on: revision, processor.
    pub measured_on: String,
    /// How long, in seconds.
    pub seconds: f64,
    /// Messages, deliveries, round trips or requests in thousands a second, under `perf`.
    pub k_per_s: f64,
    /// The server first.
    pub processes: Vec<Process>,
}

/// One process of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// What it is: `server`, `clients`, `requester`, `responder`.
    pub name: String,
    /// Its processor time for each, in microseconds.
    pub cpu_us: f64,
    /// Samples of it.
    pub samples: u64,
    /// Kinds with their parts of the whole, in the order of the report; parts are 0 to 1.
    pub kinds: Vec<(String, f64)>,
    /// The largest of what is of no kind, likewise.
    pub others: Vec<(String, f64)>,
}

impl Process {
    /// A process that took `cpu_us` for each, with what its samples say.
    pub fn new(name: &str, cpu_us: f64, weights: &Weights) -> Process {
        let whole: u64 = weights.kinds.values().sum();
        let part = |weight: u64| match whole {
            0 => 0.0,
            _ => weight as f64 / whole as f64,
        };
        let all = ORDER.iter().chain([&OTHER]);
        let kinds = all.map(|kind| {
            let weight = weights.kinds.get(kind).copied().unwrap_or(0);
            ((*kind).to_owned(), part(weight))
        });
        let mut others: Vec<(String, f64)> = weights
            .others
            .iter()
            .map(|(name, weight)| (name.clone(), part(*weight)))
            .collect();
        others.sort_by(|a, b| b.1.total_cmp(&a.1));
        others.truncate(OTHERS_NAMED_MAX);
        Process {
            name: name.to_owned(),
            cpu_us,
            samples: weights.samples,
            kinds: kinds.collect(),
            others,
        }
    }
}

/// The section, with its marks: one table for each profile.
pub fn section(profiles: &[Profile]) -> String {
    let mut out = format!(
        "{BEGIN}\n## Where the time goes\n\nPercent of each process's processor time and microseconds for each message, \
         delivery, round trip or request, by `scripts/profile` in runs of their own, on the hub's side of the comparison. \
         A sample is told by the system call it is in, or outside the kernel by its function, after inlining \
         (`bench/figures/src/profile/kinds.rs`).\n"
    );
    for profile in profiles {
        let _ = write!(out, "\n### {}\n\n{}", profile.workload, table(profile));
    }
    let _ = writeln!(out, "{END}");
    out
}

fn table(profile: &Profile) -> String {
    let mut out = String::from("| |");
    // Writing to a String does not fail, here and below.
    for process in &profile.processes {
        let _ = write!(out, " {}: % | us |", process.name);
    }
    let _ = writeln!(out, "\n|---|{}", "---|---|".repeat(profile.processes.len()));
    for kind in ORDER.iter().chain([&OTHER]) {
        let parts: Vec<f64> = profile
            .processes
            .iter()
            .map(|process| {
                let found = process.kinds.iter().find(|(name, _)| name == kind);
                found.map_or(0.0, |(_, part)| *part)
            })
            .collect();
        if parts.iter().all(|part| *part == 0.0) {
            continue;
        }
        let _ = write!(out, "| {kind} |");
        for (process, part) in profile.processes.iter().zip(parts) {
            let _ = write!(out, " {:.1} | {:.2} |", part * 100.0, part * process.cpu_us);
        }
        out.push('\n');
    }
    out.push_str("| all |");
    for process in &profile.processes {
        let _ = write!(out, " 100 | {:.2} |", process.cpu_us);
    }
    let _ = writeln!(
        out,
        "\n\n{:.1} k/s under `perf`, for {:.0} s; {}.",
        profile.k_per_s, profile.seconds, profile.measured_on
    );
    for process in &profile.processes {
        if process.others.is_empty() {
            continue;
        }
        let named = process
            .others
            .iter()
            .map(|(name, part)| format!("`{name}` {:.1} %", part * 100.0));
        let named: Vec<String> = named.collect();
        let _ = writeln!(
            out,
            "Most of *other* in the {}: {}.",
            process.name,
            named.join(", ")
        );
    }
    out
}

/// The text with the section in place of the one that it has, or behind all else.
pub fn placed(text: &str, section: &str) -> String {
    let around = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after.strip_prefix('\n').unwrap_or(after)))
    });
    match around {
        Some((before, after)) => format!("{before}{section}{after}"),
        None => format!("{}\n\n{section}", text.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn profile() -> Profile {
        let weights = Weights {
            samples: 10,
            kinds: BTreeMap::from([("AEAD", 600), ("Winze", 300), (OTHER, 100)]),
            others: BTreeMap::from([("a::b".to_owned(), 75), ("c".to_owned(), 25)]),
        };
        Profile {
            workload: "pairs".to_owned(),
            measured_on: "a machine".to_owned(),
            seconds: 5.0,
            k_per_s: 500.0,
            processes: vec![Process::new("server", 1.5, &weights)],
        }
    }

    #[test]
    fn parts_are_of_the_whole_with_what_is_of_no_kind_and_microseconds_are_parts_of_what_was_measured()
     {
        let section = section(&[profile()]);
        assert!(section.contains("| AEAD | 60.0 | 0.90 |\n"), "{section}");
        assert!(section.contains("| other | 10.0 | 0.15 |\n"), "{section}");
        assert!(section.contains("| all | 100 | 1.50 |\n"), "{section}");
        assert!(section.contains("`a::b` 7.5 %, `c` 2.5 %"), "{section}");
        assert!(!section.contains("SQLite"), "{section}");
    }

    #[test]
    fn a_process_without_samples_has_no_parts_rather_than_wrong_ones() {
        let process = Process::new("server", 1.5, &Weights::default());
        assert!(process.kinds.iter().all(|(_, part)| *part == 0.0));
    }

    #[test]
    fn the_section_takes_the_place_of_the_one_before_and_nothing_else() {
        let first = placed("# Benchmarks\n\nfigures\n", "BEGIN\n");
        assert_eq!(first, "# Benchmarks\n\nfigures\n\nBEGIN\n");
        let old = section(&[profile()]);
        let text = format!("before\n{old}after\n");
        let new = section(&[]);
        assert_eq!(placed(&text, &new), format!("before\n{new}after\n"));
    }

    #[test]
    fn what_was_committed_is_read_back_as_it_was() {
        let text = serde_json::to_string(&profile()).unwrap();
        assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), profile());
    }
}
