//! The configuration, read again while the hub runs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use winze_messages::names::PeerName;
use winze_runtime::admission::Admission;
use winze_runtime::clock::now_unix_s;
use winze_runtime::config::{ConfigError, load_role};
use winze_transport::{Certificate, ServerIdentity};

use super::identity::{self, IdentityError};
use super::shared::Shared;
use crate::config::{HubConfig, InvalidValues, Listed};
use crate::core::Reloaded;

/// Why a configuration that was read again was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file cannot be read, or is none.
    #[error(transparent)]
    Load(#[from] ConfigError),
    /// Values cannot be used.
    #[error("configuration: {0}")]
    Value(#[from] InvalidValues),
    /// The hub's key or certificate is not to be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The process ends.
    #[error("it was not read to its end: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Has a hub read its configuration again. From [`BoundHub::reloader`](super::BoundHub::reloader).
#[derive(Debug)]
pub struct Reloader {
    shared: Arc<Shared>,
    admission: Arc<Admission>,
    fixed: FixedKeys,
}

/// What a hub takes from its configuration at its start and not again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FixedKeys {
    listen: SocketAddr,
    http_listen: SocketAddr,
    log: String,
}

impl FixedKeys {
    pub(super) fn of(config: &HubConfig) -> FixedKeys {
        FixedKeys {
            listen: config.listen,
            http_listen: config.http_listen,
            log: config.log.clone(),
        }
    }

    fn changed(&self, now: &FixedKeys) -> impl Iterator<Item = &'static str> + use<> {
        let keys = [
            ("listen", self.listen == now.listen),
            ("http_listen", self.http_listen == now.http_listen),
            ("log", self.log == now.log),
        ];
        keys.into_iter()
            .filter(|(_, same)| !same)
            .map(|(key, _)| key)
    }
}

impl Reloader {
    pub(super) fn new(
        shared: Arc<Shared>,
        admission: Arc<Admission>,
        fixed: FixedKeys,
    ) -> Reloader {
        Reloader {
            shared,
            admission,
            fixed,
        }
    }

    /// Reads `file`, with the key files that it names, and takes the list of peers, those limits that may change
    /// (see [`HubLimits::updated`](crate::limits::HubLimits::updated)), and, for connections to come, the hub's static
    /// key with its certificate. These two go together: a certificate is for one key, and a key is replaced with it.
    /// What else differs holds from the next start. The log, `/health` and `/metrics` say what came of it.
    ///
    /// # Errors
    /// The file or a value in it is faulty, or the hub's key or certificate. Nothing has changed then. That the
    /// certificate of before has expired is no fault of the file.
    pub async fn reload(&mut self, file: &Path) -> Result<(), ReloadError> {
        let outcome = self.read_and_take(file).await;
        match &outcome {
            Ok((reloaded, after_restart)) => {
                self.shared.configuration.taken(after_restart.clone());
                tracing::info!(
                    added = names(&reloaded.added),
                    struck_off = names(&reloaded.struck_off),
                    connections_ended = reloaded.connections_ended,
                    channels_ended = reloaded.channels_ended,
                    "configuration read again"
                );
                if !after_restart.is_empty() {
                    let keys = after_restart.join(", ");
                    tracing::warn!(keys, "changed keys that hold from the next start");
                }
            }
            Err(error) => {
                self.shared.configuration.refused(error.to_string());
                tracing::error!(%error, "configuration not taken: the one before holds");
            }
        }
        outcome.map(drop)
    }

    async fn read_and_take(&self, file: &Path) -> Result<(Reloaded, Vec<String>), ReloadError> {
        let file = file.to_owned();
        // The disk may be slow, and the hub's tasks must not wait for it.
        let shown = self.shared.identity();
        let read = tokio::task::spawn_blocking(move || read(&file, shown.certificate())).await?;
        let (config, listed, identity) = read?;
        let (limits, fixed_limits) = self.shared.limits().updated(&config.limits);
        let reloaded = self
            .shared
            .reload(&listed, limits.clone())
            .map_err(InvalidValues::from)?;
        self.shared.set_identity(identity);
        self.admission.set_limits(limits.admission());
        let fixed_limits = fixed_limits.iter().map(|key| format!("limits.{key}"));
        let fixed = self.fixed.changed(&FixedKeys::of(&config));
        let after_restart = fixed.map(str::to_owned).chain(fixed_limits).collect();
        Ok((reloaded, after_restart))
    }
}

fn read(
    file: &Path,
    shown: &Certificate,
) -> Result<(HubConfig, Listed, ServerIdentity), ReloadError> {
    let config: HubConfig = load_role(file, "hub")?;
    let listed = config.listed()?;
    let identity = identity::read(&config, Some(shown))?;
    Ok((config, listed, identity))
}

fn names(names: &[PeerName]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// What came of reading the configuration, for the operator.
#[derive(Debug)]
pub(super) struct ConfigurationStatus(Mutex<LastRead>);

/// See [`ConfigurationStatus`].
#[derive(Clone, Debug, Default)]
pub(super) struct LastRead {
    /// When the configuration that holds was read.
    pub(super) read_at_unix_s: u64,
    /// Why the last one that was read does not hold.
    pub(super) error: Option<String>,
    /// Keys whose present value in the file holds from the next start.
    after_restart: Vec<String>,
    pub(super) reloads: u64,
    pub(super) reloads_refused: u64,
}

impl ConfigurationStatus {
    pub(super) fn read_now() -> ConfigurationStatus {
        ConfigurationStatus(Mutex::new(LastRead {
            read_at_unix_s: now_unix_s(),
            ..LastRead::default()
        }))
    }

    pub(super) fn last(&self) -> LastRead {
        self.change(|last| last.clone())
    }

    /// For `/health`.
    pub(super) fn detail(&self) -> serde_json::Value {
        let last = self.last();
        json!({
            "read_at_unix_s": last.read_at_unix_s,
            "error": last.error,
            "after_restart": last.after_restart,
        })
    }

    fn taken(&self, after_restart: Vec<String>) {
        self.change(|last| {
            last.read_at_unix_s = now_unix_s();
            last.error = None;
            last.after_restart = after_restart;
            last.reloads += 1;
        });
    }

    fn refused(&self, error: String) {
        self.change(|last| {
            last.error = Some(error);
            last.reloads_refused += 1;
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut LastRead) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
