//! One child process, its output in files, always ended and reaped.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::TestbedError;
use crate::limits::{LOG_TAIL_BYTES, LOG_TAIL_LINES};
use crate::wait;

/// What to run, and where its output goes.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What to call it in errors.
    pub name: String,
    /// The program.
    pub executable: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables set on top of this process's own.
    pub environment: Vec<(String, String)>,
    /// Standard output is appended to this file.
    pub output_file: PathBuf,
    /// Standard error, where roles log to, is appended to this file.
    pub log_file: PathBuf,
}

/// A running child. Dropping it kills it and waits for its end, so no child outlives its owner, a panic included.
///
/// Its output goes to files and not to pipes: nothing blocks when nobody reads, and the output is there afterwards.
#[derive(Debug)]
pub struct ChildProcess {
    launch: Launch,
    child: Child,
    /// Where in the output file this run begins.
    output_from: u64,
}

impl ChildProcess {
    /// Starts it.
    ///
    /// # Errors
    /// [`TestbedError::Machine`] where a file or the program cannot be opened.
    pub fn start(launch: Launch) -> Result<ChildProcess, TestbedError> {
        let output = append_to(&launch.output_file)?;
        let log = append_to(&launch.log_file)?;
        let output_from = output
            .metadata()
            .map_err(TestbedError::machine(
                launch.output_file.display().to_string(),
            ))?
            .len();
        let child = Command::new(&launch.executable)
            .args(&launch.arguments)
            .envs(launch.environment.iter().map(|(key, value)| (key, value)))
            // Held open for as long as this process lives: a child that is told to can see when it is gone.
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(log)
            .spawn()
            .map_err(TestbedError::machine(format!(
                "cannot start {}",
                launch.executable.display()
            )))?;
        Ok(ChildProcess {
            launch,
            child,
            output_from,
        })
    }

    /// What it is called in errors.
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the first line of this run's standard output that starts with `word`.
    ///
    /// # Errors
    /// [`TestbedError::Ended`] where the process ends before; [`TestbedError::NotReady`] after `within`.
    pub async fn line(&mut self, word: &str, within: Duration) -> Result<String, TestbedError> {
        let found = wait::until("ready line", within, || {
            // In this order: a process that printed its line and then ended has said all it had to say.
            let ended = self.child.try_wait().ok().flatten();
            let line = self.find_line(word);
            async move {
                match (line, ended) {
                    (Some(line), _) => Ok(Ok(line)),
                    (None, Some(status)) => Ok(Err(status)),
                    (None, None) => Err("not printed yet".to_owned()),
                }
            }
        })
        .await;
        match found {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(status)) => Err(self.ended(status)),
            Err(_) => Err(TestbedError::NotReady {
                name: self.launch.name.clone(),
                within,
                log_tail: self.log_tail(),
            }),
        }
    }

    /// Ends it as a crash would: SIGKILL, at whatever it is doing.
    ///
    /// # Errors
    /// [`TestbedError::Machine`] where it cannot be waited for.
    pub fn kill_hard(&mut self) -> Result<ExitStatus, TestbedError> {
        // It fails only for a process that has been waited for, and then there is a status.
        let _ = self.child.kill();
        self.child.wait().map_err(TestbedError::machine(format!(
            "cannot wait for {}",
            self.launch.name
        )))
    }

    /// Asks it to end in good order (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// [`TestbedError::NotReady`] where it is still there after `within`: it is killed then.
    pub async fn terminate(&mut self, within: Duration) -> Result<ExitStatus, TestbedError> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Ok(status);
        }
        self.signal(Signal::TERM)?;
        let ended = wait::until("end of the process", within, || {
            let ended = self.child.try_wait();
            async move {
                match ended {
                    Ok(Some(status)) => Ok(status),
                    Ok(None) => Err("still running".to_owned()),
                    Err(error) => Err(error.to_string()),
                }
            }
        })
        .await;
        match ended {
            Ok(status) => Ok(status),
            Err(_) => {
                let log_tail = self.log_tail();
                self.kill_hard()?;
                Err(TestbedError::NotReady {
                    name: format!("{}, told to end,", self.launch.name),
                    within,
                    log_tail,
                })
            }
        }
    }

    /// Asks it to read its configuration again (SIGHUP).
    ///
    /// # Errors
    /// [`TestbedError::Machine`] where it cannot be signalled.
    pub fn hang_up(&mut self) -> Result<(), TestbedError> {
        match self.is_running() {
            true => self.signal(Signal::HUP),
            false => Ok(()),
        }
    }

    /// The last lines of its log, for an error.
    pub fn log_tail(&self) -> String {
        log_tail(&self.launch.log_file)
    }

    /// For a child that was not waited for yet, so that the number cannot be another process's.
    fn signal(&self, signal: Signal) -> Result<(), TestbedError> {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else {
            return Ok(());
        };
        kill_process(pid, signal).map_err(|error| TestbedError::Machine {
            what: format!("cannot signal {}", self.launch.name),
            source: error.into(),
        })
    }

    fn ended(&self, status: ExitStatus) -> TestbedError {
        TestbedError::Ended {
            name: self.launch.name.clone(),
            status,
            log_tail: self.log_tail(),
        }
    }

    fn find_line(&self, word: &str) -> Option<String> {
        let mut file = File::open(&self.launch.output_file).ok()?;
        file.seek(SeekFrom::Start(self.output_from)).ok()?;
        let mut text = String::new();
        file.take(LOG_TAIL_BYTES).read_to_string(&mut text).ok()?;
        // The last piece may be half a line.
        let (whole, _) = text.rsplit_once('\n')?;
        whole
            .lines()
            .find(|line| line.split_whitespace().next() == Some(word))
            .map(str::to_owned)
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let _ = self.kill_hard();
    }
}

/// The last lines of a log file; says so where there is none.
pub fn log_tail(log_file: &Path) -> String {
    match read_end(log_file) {
        Ok(text) => {
            let lines: Vec<&str> = text.lines().collect();
            let from = lines.len().saturating_sub(LOG_TAIL_LINES);
            lines[from..].join("\n")
        }
        Err(error) => format!("({}: {error})", log_file.display()),
    }
}

fn read_end(file: &Path) -> std::io::Result<String> {
    let mut file = File::open(file)?;
    let from = file.metadata()?.len().saturating_sub(LOG_TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn append_to(file: &Path) -> Result<File, TestbedError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .map_err(TestbedError::machine(file.display().to_string()))
}
