//! A program that this one becomes, and that does not outlive its parent: for those that do not watch it themselves.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, getppid};

/// The arguments that have this program become another one, which follows them, bound to the process `parent`.
pub(super) fn arguments(parent: u32) -> Vec<String> {
    ["demo", "--bound-to", &parent.to_string(), "--"]
        .map(str::to_owned)
        .to_vec()
}

/// Becomes `program`, which on Linux is killed when the process `parent` ends, however that goes. Must be run by a child
/// of `parent`'s first thread: the system sends the signal when the thread that started the child is gone.
pub(super) fn become_bound(parent: u32, program: &[OsString]) -> io::Result<Infallible> {
    let [executable, arguments @ ..] = program else {
        return Err(io::Error::other("no program to become"));
    };
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // It may have gone before it was asked for.
    let there = getppid()
        .map(Pid::as_raw_pid)
        .and_then(|pid| u32::try_from(pid).ok());
    if there != Some(parent) {
        return Err(io::Error::other("the parent is gone"));
    }
    Err(Command::new(executable).args(arguments).exec())
}
