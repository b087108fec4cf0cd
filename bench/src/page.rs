//! The files that a run leaves: the object, BENCHMARKS.md with its plot, and profiles.

use std::path::Path;

use winze_bench_figures::outcome::Outcome;
use winze_bench_figures::profile::{self, Profile};
use winze_bench_figures::report::{json, markdown, plot};

use crate::error::BenchError;
use crate::machine;
use crate::profiler::WORKLOADS;
use crate::setting::Setting;

const PAGE: &str = "BENCHMARKS.md";
/// Where profiles are kept, so that the page which a later run writes has them as well.
const PROFILES: &str = "bench/profiles";

/// Writes every median and ratio as one object.
///
/// # Errors
/// [`BenchError::Machine`].
pub fn write_json(outcome: &Outcome, file: &Path) -> Result<(), BenchError> {
    write(file, format!("{:#}\n", json::object(outcome)))
}

/// Writes BENCHMARKS.md and BENCHMARKS.svg into `root`.
///
/// # Errors
/// [`BenchError::Machine`].
pub fn write_page(outcome: &Outcome, root: &Path, setting: &Setting) -> Result<(), BenchError> {
    let facts = machine::facts(setting);
    let text = markdown::text(outcome, &command(), &facts, &profiles(root)?);
    write(&root.join(PAGE), text)?;
    write(&root.join("BENCHMARKS.svg"), plot::svg(outcome))
}

/// Keeps a profile, and puts all that are kept into BENCHMARKS.md.
///
/// # Errors
/// [`BenchError::Machine`].
pub fn keep_profile(profile: &Profile, root: &Path) -> Result<(), BenchError> {
    let folder = root.join(PROFILES);
    std::fs::create_dir_all(&folder)
        .map_err(|error| BenchError::machine(folder.display(), error))?;
    let text = serde_json::to_string_pretty(profile);
    let text = text.map_err(|error| BenchError::machine(&profile.workload, error))?;
    let file = folder.join(format!("{}.json", profile.workload));
    write(&file, text + "\n")?;
    let page = root.join(PAGE);
    let before = std::fs::read_to_string(&page)
        .map_err(|error| BenchError::machine(page.display(), error))?;
    let section = profile::section(&profiles(root)?);
    write(&page, profile::placed(&before, &section))
}

/// The profiles that are kept, in the order of their workloads.
fn profiles(root: &Path) -> Result<Vec<Profile>, BenchError> {
    let mut profiles = Vec::new();
    for workload in WORKLOADS {
        let file = root.join(PROFILES).join(format!("{workload}.json"));
        let failed = |error: &dyn std::fmt::Display| BenchError::machine(file.display(), error);
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                profiles.push(serde_json::from_str(&text).map_err(|error| failed(&error))?);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(profiles)
}

fn write(file: &Path, text: String) -> Result<(), BenchError> {
    std::fs::write(file, text).map_err(|error| BenchError::machine(file.display(), error))?;
    eprintln!("wrote {}", file.display());
    Ok(())
}

/// The command, without where this machine has the programs.
fn command() -> String {
    let mut command = "scripts/bench".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--winze" | "--naive" | "--naive-soft" | "--nats-server" | "--redis-server"
            | "--folder" => {
                arguments.next();
            }
            "--json" => {
                arguments.next();
                command.push_str(" --json FILE");
            }
            _ => {
                command.push(' ');
                command.push_str(&argument);
            }
        }
    }
    command
}
