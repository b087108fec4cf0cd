//! Runs the binary under test.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// What came of a run.
pub struct Run {
    command: String,
    output: Output,
}

/// Runs `winze` with these arguments.
pub fn winze(arguments: &[&str]) -> Run {
    winze_reading(arguments, "")
}

/// Runs `winze` with these arguments and this text on standard input.
pub fn winze_reading(arguments: &[&str], input: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_winze"))
        .args(arguments)
        .env_remove("WINZE_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    // A command that does not read its input may have ended by now.
    let _ = child
        .stdin
        .take()
        .expect("piped")
        .write_all(input.as_bytes());
    let output = child
        .wait_with_output()
        .expect("the child can be waited for");
    Run {
        command: format!("winze {}", arguments.join(" ")),
        output,
    }
}

impl Run {
    /// Standard output of a run that succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        let errors = String::from_utf8_lossy(&self.output.stderr);
        assert!(
            self.output.status.success(),
            "{} failed: {errors}",
            self.command
        );
        String::from_utf8(self.output.stdout).expect("text")
    }

    /// Standard error of a run that ended with `status`.
    #[track_caller]
    pub fn failed(self, status: i32) -> String {
        let errors = String::from_utf8_lossy(&self.output.stderr).into_owned();
        assert_eq!(
            self.output.status.code(),
            Some(status),
            "{}: {errors}",
            self.command
        );
        errors
    }
}
