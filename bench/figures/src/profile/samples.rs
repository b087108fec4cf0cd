//! What `perf script` prints, counted by kind.

use std::collections::BTreeMap;

use super::kinds::{OTHER, kind};

/// The fields that `perf script` is asked for.
pub const FIELDS: &str = "pid,period,ip,sym,dso";

/// How much of a process's time is of which kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// Samples.
    pub samples: u64,
    /// Weight of each kind; all together are the whole.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Weight of each function that is of no kind.
    pub others: BTreeMap<String, u64>,
}

/// Counts what `perf script -F` [`FIELDS`] has printed, by process. `programs` are ends of the names of those in which
/// SQLite is.
pub fn count(printed: &str, programs: &[&str]) -> BTreeMap<u32, Weights> {
    let mut counted: BTreeMap<u32, Weights> = BTreeMap::new();
    for sample in printed.split("\n\n") {
        let mut lines = sample.lines().filter(|line| !line.trim().is_empty());
        let Some((process, period)) = lines.next().and_then(header) else {
            continue;
        };
        let frames: Vec<(&str, &str)> = lines.filter_map(frame).collect();
        let Some((innermost, file)) = frames.first().copied() else {
            continue;
        };
        let in_program = programs.iter().any(|program| file.ends_with(program));
        let told: Vec<(&str, bool)> = frames
            .iter()
            .map(|(symbol, file)| (*symbol, is_kernel(file)))
            .collect();
        let kind = kind(&told, in_program);
        let weights = counted.entry(process).or_default();
        weights.samples += 1;
        *weights.kinds.entry(kind).or_default() += period;
        if kind == OTHER {
            *weights.others.entry(innermost.to_owned()).or_default() += period;
        }
    }
    counted
}

/// `PID PERIOD`.
fn header(line: &str) -> Option<(u32, u64)> {
    let mut fields = line.split_whitespace();
    let process = fields.next()?.parse().ok()?;
    let period = fields.next()?.trim_end_matches(':').parse().ok()?;
    Some((process, period))
}

/// `ADDRESS SYMBOL (FILE)`; a symbol may hold spaces and parentheses.
fn frame(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.trim().split_once(' ')?;
    let (symbol, file) = rest.rsplit_once(" (")?;
    let symbol = symbol.trim();
    let symbol = symbol.split_once("+0x").map_or(symbol, |(name, _)| name);
    Some((symbol, file.trim_end_matches(')')))
}

fn is_kernel(file: &str) -> bool {
    file.starts_with("[kernel") || file.starts_with("[guest.kernel") || file.ends_with(".ko")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
   71     600000 
\tffffffff815f28c8 _raw_spin_lock ([kernel.kallsyms])
\tffffffff815defce __x64_sys_sendto ([kernel.kallsyms])
\t           fd001 __send (/usr/lib/libc.so.6)

   71     200000 
\t           fd001 <T as core::fmt::Display>::fmt (inlined) (/build/release/winze)

   72     100000 
\t           fd001 pager_write (/build/release/winze-bench)
\t           fd002 tokio::run (/build/release/winze-bench)

   72     100000 
";

    #[test]
    fn each_process_has_its_own_whole_and_what_is_of_no_kind_is_named() {
        let counted = count(PRINTED, &["/winze", "/winze-bench"]);
        let server = &counted[&71];
        assert_eq!(server.samples, 2);
        assert_eq!(
            server.kinds,
            BTreeMap::from([("kernel: socket write", 600_000), (OTHER, 200_000)])
        );
        let name = "<T as core::fmt::Display>::fmt (inlined)".to_owned();
        assert_eq!(server.others, BTreeMap::from([(name, 200_000)]));
        // A sample without a frame says nothing about where, and counts nowhere.
        assert_eq!(counted[&72].kinds, BTreeMap::from([("SQLite", 100_000)]));
    }

    #[test]
    fn what_perf_says_besides_is_no_sample() {
        assert!(count("perf: no such event\n\nwarning 12 of\n", &[]).is_empty());
    }
}
