//! `winze demo` as a person runs it, and what it leaves behind.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The demonstration with its temporary files under `folder`.
pub fn demo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_winze"));
    command.arg("demo").args(arguments).env("TMPDIR", folder);
    command
}

/// The report of one that is told `--json`, which succeeds and leaves nothing in `folder`.
#[track_caller]
pub fn report(folder: &Path, arguments: &[&str]) -> Value {
    let output = demo(folder, arguments).arg("--json").output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    leaves_nothing(folder, &log);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error} in {last:?} of {output:?}"))
}

/// `said` is what it said.
#[track_caller]
pub fn leaves_nothing(folder: &Path, said: &str) {
    let left = std::fs::read_dir(folder).unwrap().next();
    assert!(left.is_none(), "temporary files are left: {said}");
}

/// Waits until what a killed one has started is gone: `what`, while it is `there`.
#[track_caller]
pub fn goes(what: &str, mut there: impl FnMut() -> bool) {
    let killed = Instant::now();
    while there() {
        assert!(
            killed.elapsed() < Duration::from_secs(30),
            "{what} is still there"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
