//! `scripts/profile`: a workload at the hub under `perf record`, and where each process's time goes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;
use winze_bench_figures::cost::Cost;
use winze_bench_figures::profile::samples::{FIELDS, count};
use winze_bench_figures::profile::{self, Process, Profile};

use crate::error::BenchError;
use crate::load::meter::Processes;
use crate::machine;
use crate::page;
use crate::setting::Setting;
use crate::systems::folder;
use crate::workload::{Plan, Workload};

/// Workloads that have a profile.
pub const WORKLOADS: [&str; 5] = ["pairs", "bulk", "rtt256", "fanout", "durable"];

/// Samples a second and core: no multiple of what the kernel itself does so often.
const SAMPLES_PER_S: u32 = 1_499;
/// How long `perf` may take beyond what it records, and to say what it has recorded.
const PATIENCE: Duration = Duration::from_secs(60);
/// The program in which what is C is SQLite. The hub alone has none.
const PROGRAMS: [&str; 1] = ["/winze-bench"];

/// Looks on at one measurement.
pub struct Profiler {
    folder: TempDir,
    seconds: f64,
    seen: Mutex<Option<(Cost, Vec<Process>)>>,
}

/// `perf` at work.
pub struct Looking<'a> {
    profiler: &'a Profiler,
    recording: Child,
    server: u32,
    responder: Option<u32>,
}

/// Profiles one workload: prints its table, and with `write` leaves it in `bench/profiles` and in BENCHMARKS.md of `root`.
///
/// # Errors
/// [`BenchError`].
pub async fn run(
    mut setting: Setting,
    workload: &Workload,
    write: bool,
    root: &Path,
) -> Result<(), BenchError> {
    setting.profiler = Some(Profiler {
        folder: folder()?,
        seconds: setting.plan.measure.as_secs_f64(),
        seen: Mutex::new(None),
    });
    let cases = (workload.cases)(&setting.plan);
    let case = cases.iter().find(|case| case.system == "hub");
    let case = case.ok_or_else(|| BenchError::machine(workload.name, "is not about the hub"))?;
    (workload.measure)(&setting, case).await?;
    let seen = match &setting.profiler {
        Some(profiler) => profiler.seen.lock().await.take(),
        None => None,
    };
    let (cost, processes) = seen.ok_or_else(|| BenchError::machine("perf", "has seen nothing"))?;
    let profile = Profile {
        workload: workload.name.to_owned(),
        measured_on: machine::short(),
        seconds: setting.plan.measure.as_secs_f64(),
        k_per_s: cost.k_per_s,
        processes,
    };
    println!("{}", profile::section(std::slice::from_ref(&profile)));
    match write {
        true => page::keep_profile(&profile, root),
        false => Ok(()),
    }
}

/// What is measured of a workload's profile: one round, as long as there are samples enough.
pub fn plan(seconds: Option<f64>) -> Plan {
    Plan {
        quick: true,
        rounds: 1,
        warm_up: Duration::from_secs(1),
        measure: Duration::from_secs_f64(seconds.unwrap_or(5.0)),
    }
}

impl Profiler {
    /// Begins to record all processes.
    ///
    /// # Errors
    /// [`BenchError::Missing`] where there is no `perf`.
    pub async fn start(&self, processes: Processes<'_>) -> Result<Looking<'_>, BenchError> {
        let server = processes.server.id();
        let responder = processes.responder.map(|responder| responder.id());
        let all = [Some(server), Some(std::process::id()), responder];
        let all: Vec<String> = all.iter().flatten().map(u32::to_string).collect();
        let recording = Command::new("perf")
            .args(["record", "--quiet", "--call-graph", "fp"])
            .args(["--freq", &SAMPLES_PER_S.to_string()])
            .args(["--pid", &all.join(",")])
            .arg("--output")
            .arg(self.data())
            .args(["--", "sleep", &self.seconds.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| BenchError::missing("perf", error))?;
        Ok(Looking {
            profiler: self,
            recording,
            server,
            responder,
        })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("perf.data")
    }

    async fn samples(&self) -> Result<String, BenchError> {
        let script = Command::new("perf")
            .args(["script", "--no-inline", "-F", FIELDS, "-i"])
            .arg(self.data())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(PATIENCE, script)
            .await
            .map_err(|_| stalled("perf script"))?
            .map_err(|error| BenchError::missing("perf", error))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Looking<'_> {
    /// Waits until `perf` has recorded for as long as was measured; `cost` is what was measured meanwhile.
    ///
    /// # Errors
    /// [`BenchError::Peer`] where it could not.
    pub async fn end(mut self, cost: &Cost) -> Result<(), BenchError> {
        let ended = timeout(PATIENCE, self.recording.wait()).await;
        let status = ended
            .map_err(|_| stalled("perf record"))?
            .map_err(|error| BenchError::machine("perf", error))?;
        if !status.success() {
            return Err(BenchError::peer("perf record", status));
        }
        let printed = self.profiler.samples().await?;
        let weights = count(&printed, &PROGRAMS);
        let of = |process: u32| weights.get(&process).cloned().unwrap_or_default();
        let own = of(std::process::id());
        let mut processes = vec![Process::new("server", cost.server_us, &of(self.server))];
        match (self.responder, cost.apart_us) {
            (Some(responder), Some((requester_us, responder_us))) => {
                processes.push(Process::new("requester", requester_us, &own));
                processes.push(Process::new("responder", responder_us, &of(responder)));
            }
            _ => processes.push(Process::new("clients", cost.clients_us, &own)),
        }
        if let Some(blind) = processes.iter().find(|process| process.samples == 0) {
            let problem = format!("no sample of the {}", blind.name);
            return Err(BenchError::peer("perf", problem));
        }
        *self.profiler.seen.lock().await = Some((*cost, processes));
        Ok(())
    }
}

fn stalled(what: &str) -> BenchError {
    BenchError::Stalled {
        what: what.to_owned(),
        within_s: PATIENCE.as_secs(),
    }
}
