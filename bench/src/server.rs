//! A server in a process of its own, and what it costs.

use std::fs::{File, read_to_string};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::error::BenchError;
use crate::limits::READY;

/// Between two looks at whether a server is ready.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What of a log is shown in an error.
const LOG_TAIL_BYTES: usize = 2_000;

/// A running server. Dropping it kills it and waits for its end.
///
/// Its output goes to files: nothing blocks when nobody reads.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

impl Server {
    /// Starts `program` with `arguments`, its output in `folder`.
    ///
    /// # Errors
    /// [`BenchError::Missing`] where there is no such program, [`BenchError::Machine`] where it does not start.
    pub fn start(
        name: &str,
        program: &Path,
        arguments: &[String],
        folder: &Path,
    ) -> Result<Server, BenchError> {
        Server::start_in(name, program, arguments, folder, &[])
    }

    /// [`Self::start`] with variables of its environment.
    ///
    /// # Errors
    /// As there.
    pub fn start_in(
        name: &str,
        program: &Path,
        arguments: &[String],
        folder: &Path,
        environment: &[(&str, &str)],
    ) -> Result<Server, BenchError> {
        let output = folder.join(format!("{name}.out"));
        let log = folder.join(format!("{name}.log"));
        let file = |path: &Path| {
            File::create(path).map_err(|error| BenchError::machine(path.display(), error))
        };
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .env("WINZE_LOG", "warn")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file(&output)?)
            .stderr(file(&log)?)
            .spawn()
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => BenchError::missing(name, program.display()),
                _ => BenchError::machine(program.display(), error),
            })?;
        Ok(Server {
            name: name.to_owned(),
            child,
            output,
            log,
        })
    }

    /// Waits until its standard output or error holds a line that `found` finds something in.
    ///
    /// # Errors
    /// [`BenchError::Peer`] with the end of its log where it ends before, or takes longer than [`READY`].
    pub async fn until_said<T>(
        &mut self,
        found: impl Fn(&str) -> Option<T>,
    ) -> Result<T, BenchError> {
        let give_up = Instant::now() + READY;
        loop {
            // In this order: a process that said its line and then ended has said all it had to say.
            let ended = self.child.try_wait().ok().flatten();
            for file in [&self.output, &self.log] {
                let text = read_to_string(file).unwrap_or_default();
                // The last piece may be half a line.
                let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
                if let Some(value) = whole.lines().find_map(&found) {
                    return Ok(value);
                }
            }
            if let Some(status) = ended {
                let problem = format!("ended ({status}): {}", self.log_tail());
                return Err(BenchError::peer(&self.name, problem));
            }
            if Instant::now() > give_up {
                let problem = format!("is not ready: {}", self.log_tail());
                return Err(BenchError::peer(&self.name, problem));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory at present, in KiB.
    ///
    /// # Errors
    /// [`BenchError::Machine`] where it is not running any more.
    pub fn memory_kib(&self) -> Result<u64, BenchError> {
        let file = format!("/proc/{}/status", self.id());
        let status = read_to_string(&file).map_err(|error| BenchError::machine(&file, error))?;
        let line = status.lines().find_map(|line| {
            let value = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
            value.trim().parse().ok()
        });
        line.ok_or_else(|| BenchError::machine(file, "does not say VmRSS"))
    }

    /// The end of its log, for an error.
    pub fn log_tail(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = File::open(&self.log) {
            // What cannot be read is not shown.
            let _ = file.read_to_string(&mut text);
        }
        let from = text.len().saturating_sub(LOG_TAIL_BYTES);
        text.get(from..).unwrap_or_default().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only for a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
