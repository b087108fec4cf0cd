//! The roles as child processes, each started when its time has come.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use winze_runtime::ready;
use winze_testbed::process::{ChildProcess, Launch};
use winze_testbed::{Metrics, TestbedError, http, wait};

use super::super::error::DemoError;
use super::redis::machine;

/// How long a role may take until its ready line: a slow machine that opens its stores.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a role may take from there until it can do its work.
const HEALTHY_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take to end in good order.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// The roles of the demonstration.
pub(super) struct Roles {
    executable: PathBuf,
    folder: PathBuf,
    running: BTreeMap<&'static str, Role>,
}

/// One that runs.
struct Role {
    process: ChildProcess,
    ready_line: String,
}

impl Roles {
    /// None yet; files go to `folder`, which has the folder `keys`.
    pub(super) fn new(executable: &Path, folder: &Path) -> Roles {
        Roles {
            executable: executable.to_owned(),
            folder: folder.to_owned(),
            running: BTreeMap::new(),
        }
    }

    /// Writes the configuration, starts the role, and waits until it says that it can do its work.
    ///
    /// # Errors
    /// [`DemoError::Testbed`] with the end of its log, or with what it says of itself.
    pub(super) async fn start(
        &mut self,
        name: &'static str,
        config: &str,
    ) -> Result<(), DemoError> {
        self.launch(name, config).await?;
        self.healthy(name).await
    }

    /// [`Self::start`], for a role that can do its work only once another one runs.
    ///
    /// # Errors
    /// [`DemoError::Testbed`].
    pub(super) async fn launch(
        &mut self,
        name: &'static str,
        config: &str,
    ) -> Result<(), DemoError> {
        let file = self.folder.join(format!("{name}.toml"));
        std::fs::write(&file, config).map_err(machine(file.display().to_string()))?;
        let mut process = ChildProcess::start(Launch {
            name: format!("winze {name}"),
            executable: self.executable.clone(),
            arguments: vec![
                name.to_owned(),
                "--config".to_owned(),
                file.display().to_string(),
                // So that none is left behind by whoever is killed.
                "--stop-at-end-of-input".to_owned(),
            ],
            environment: Vec::new(),
            output_file: self.folder.join(format!("{name}.out")),
            log_file: self.folder.join(format!("{name}.log")),
        })?;
        let ready_line = process.line("ready", READY_WITHIN).await?;
        let role = Role {
            process,
            ready_line,
        };
        self.running.insert(name, role);
        Ok(())
    }

    async fn healthy(&self, name: &'static str) -> Result<(), DemoError> {
        let url = format!("http://{}/health", self.port(name, "http")?);
        wait::until(
            &format!("readiness of the {name}"),
            HEALTHY_WITHIN,
            || async {
                match http::get(&url).await {
                    Ok(answer) if answer.status == 200 => Ok(()),
                    Ok(answer) => Err(answer.body),
                    Err(error) => Err(error.to_string()),
                }
            },
        )
        .await?;
        Ok(())
    }

    /// Ends a role in good order.
    ///
    /// # Errors
    /// [`DemoError::Testbed`] where it had to be killed.
    pub(super) async fn end(&mut self, name: &str) -> Result<(), DemoError> {
        if let Some(mut role) = self.running.remove(name) {
            role.process.terminate(ENDS_WITHIN).await?;
        }
        Ok(())
    }

    /// Ends all that run, those that depend on others first; each is tried.
    ///
    /// # Errors
    /// The first that had to be killed.
    pub(super) async fn end_all(&mut self) -> Result<(), DemoError> {
        let mut first_error = Ok(());
        for name in ["pool", "bridge", "mint", "hub"] {
            let ended = self.end(name).await;
            first_error = first_error.and(ended);
        }
        first_error
    }

    /// One that has ended by itself.
    pub(super) fn ended(&mut self) -> Option<DemoError> {
        self.running.values_mut().find_map(|role| {
            (!role.process.is_running()).then(|| DemoError::RoleEnded {
                name: role.process.name().to_owned(),
                log_tail: role.process.log_tail(),
            })
        })
    }

    /// What a role's ready line says behind `key`.
    ///
    /// # Errors
    /// [`DemoError::Testbed`] where it does not run, or says nothing of it.
    pub(super) fn port(&self, name: &str, key: &'static str) -> Result<SocketAddr, DemoError> {
        let Some(role) = self.running.get(name) else {
            let name = format!("winze {name}");
            return Err(TestbedError::NotRunning { name }.into());
        };
        ready::address(&role.ready_line, key).ok_or_else(|| {
            DemoError::Testbed(TestbedError::ReadyLine {
                name: role.process.name().to_owned(),
                line: role.ready_line.clone(),
                key,
            })
        })
    }

    /// What a role counts.
    ///
    /// # Errors
    /// [`DemoError::Testbed`] where it does not answer.
    pub(super) async fn metrics(&self, name: &str) -> Result<Metrics, DemoError> {
        let url = format!("http://{}/metrics", self.port(name, "http")?);
        Ok(Metrics::parse(&http::get(&url).await?.body))
    }
}
