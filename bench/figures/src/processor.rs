//! What a process costs: the processor time of all its threads, out of `/proc`.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};
use std::io;
use std::path::Path;

/// Nanoseconds of one tick of `/proc/PID/stat`: `USER_HZ` is 100 on every Linux that this runs on.
const TICK_NS: u64 = 10_000_000;

/// User and system time in ticks are each cut to whole ticks, at both moments. Less than this is no difference.
const TICKS_UNSURE_NS: u64 = 3 * TICK_NS;

/// The processor time, user and system, that a process has used up to one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessorTime {
    /// Of each thread that lives, in nanoseconds: the first number of its `schedstat`.
    threads_ns: BTreeMap<u32, u64>,
    /// Of all threads that ever lived, in nanoseconds, to the tick.
    ever_ns: u64,
}

impl ProcessorTime {
    /// Of a process, by its number.
    ///
    /// # Errors
    /// Where there is no such process, or this is no Linux.
    pub fn of(process: u32) -> io::Result<ProcessorTime> {
        ProcessorTime::in_folder(Path::new(&format!("/proc/{process}")))
    }

    fn in_folder(folder: &Path) -> io::Result<ProcessorTime> {
        let mut threads_ns = BTreeMap::new();
        for entry in read_dir(folder.join("task"))?.flatten() {
            let thread = entry.file_name().to_string_lossy().parse();
            // A thread may end between the listing and the look.
            let said = read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            let used = said.split_whitespace().next().map(str::parse);
            if let (Ok(thread), Some(Ok(used_ns))) = (thread, used) {
                threads_ns.insert(thread, used_ns);
            }
        }
        let stat = read_to_string(folder.join("stat"))?;
        let ever_ns = ticks(&stat)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "stat without times"))?
            .saturating_mul(TICK_NS);
        Ok(ProcessorTime {
            threads_ns,
            ever_ns,
        })
    }

    /// What was used since `earlier`, in nanoseconds: exactly what the living threads have used; where threads have ended
    /// meanwhile, and took more than ticks are unsure by, what the whole process has used, to the tick.
    pub fn since_ns(&self, earlier: &ProcessorTime) -> u64 {
        let living = self.threads_ns.iter().map(|(thread, used_ns)| {
            let before_ns = earlier.threads_ns.get(thread).copied().unwrap_or(0);
            used_ns.saturating_sub(before_ns)
        });
        let living_ns: u64 = living.sum();
        let ever_ns = self.ever_ns.saturating_sub(earlier.ever_ns);
        match ever_ns > living_ns.saturating_add(TICKS_UNSURE_NS) {
            true => ever_ns,
            false => living_ns,
        }
    }
}

/// User and system time of `/proc/PID/stat`, in ticks. They are the 14th and 15th field; the second is the program's name
/// in parentheses, which may hold spaces and parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;

    /// Keeps this thread busy until it has used so much itself.
    fn burn(ticks: u64) {
        let mine_ns = || -> u64 {
            let said = read_to_string("/proc/thread-self/schedstat").unwrap();
            said.split_whitespace().next().unwrap().parse().unwrap()
        };
        let until_ns = mine_ns() + ticks * TICK_NS;
        let give_up = Instant::now() + Duration::from_secs(20);
        while mine_ns() < until_ns && Instant::now() < give_up {
            std::hint::black_box((0..20_000u64).sum::<u64>());
        }
    }

    #[test]
    fn what_a_thread_did_that_has_ended_is_not_lost() {
        let before = ProcessorTime::of(std::process::id()).unwrap();
        std::thread::spawn(|| burn(12)).join().unwrap();
        let after = ProcessorTime::of(std::process::id()).unwrap();
        assert!(after.since_ns(&before) >= 10 * TICK_NS);
    }

    #[test]
    fn what_a_thread_did_before_the_measurement_is_not_counted() {
        let (done, is_done) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let busy = std::thread::spawn(move || {
            burn(12);
            done.send(()).unwrap();
            let _ = ended.recv();
        });
        is_done.recv().unwrap();
        let before = ProcessorTime::of(std::process::id()).unwrap();
        let after = ProcessorTime::of(std::process::id()).unwrap();
        assert!(before.threads_ns.values().sum::<u64>() >= 8 * TICK_NS);
        assert!(after.since_ns(&before) < 8 * TICK_NS);
        drop(end);
        busy.join().unwrap();
    }

    #[test]
    fn living_threads_are_counted_to_the_nanosecond_and_one_that_is_new_whole() {
        let before = ProcessorTime {
            threads_ns: BTreeMap::from([(1, 1_000), (2, 5_000)]),
            ever_ns: 0,
        };
        let after = ProcessorTime {
            threads_ns: BTreeMap::from([(1, 1_007), (2, 5_000), (3, 40)]),
            ever_ns: TICK_NS,
        };
        assert_eq!(after.since_ns(&before), 47);
        // Nothing that was read wrongly becomes a number near 2^64.
        assert_eq!(before.since_ns(&after), 0);
    }

    #[test]
    fn a_program_whose_name_looks_like_fields_is_read_right() {
        let stat = "77 (a) 1 2 (b 9 9) S 1 77 77 0 -1 4194304 120 0 0 0 31 11 0 0 20 0 3 0 55";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("77 (short) S 1 77"), None);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error_and_not_free() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ProcessorTime::in_folder(folder.path()).is_err());
        std::fs::create_dir(folder.path().join("task")).unwrap();
        assert!(ProcessorTime::in_folder(folder.path()).is_err());
    }
}
