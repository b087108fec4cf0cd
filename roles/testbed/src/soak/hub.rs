//! A hub process with a list of our own, and what it weighs.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;
use winze_runtime::keyfile;
use winze_transport::PublicKey;

use super::error::SoakError;
use crate::deployment::{Role, make_keys, start_role};
use crate::error::TestbedError;
use crate::http;
use crate::metrics::Metrics;
use crate::process::{ChildProcess, Launch};

/// A running `winze hub`. Dropping it kills it.
pub(super) struct SoakHub {
    // Dropped in this order.
    process: ChildProcess,
    pub address: SocketAddr,
    pub authority: PublicKey,
    http: SocketAddr,
    _folder: TempDir,
}

impl SoakHub {
    /// Starts one that lets `listed` in. `limits` are lines of its table of limits.
    pub(super) async fn start(
        executable: &Path,
        listed: &str,
        limits: &str,
    ) -> Result<SoakHub, SoakError> {
        let folder = tempfile::Builder::new()
            .prefix("winze-soak-")
            .tempdir()
            .map_err(TestbedError::machine("cannot make a temporary folder"))?;
        let at = |name: &str| folder.path().join(name);
        make_keys(executable, &at("keys"))?;
        let authority =
            keyfile::read_public(at("keys/hub/authority.pub")).map_err(TestbedError::from)?;
        let config = format!(
            "role = \"hub\"\nlisten = \"127.0.0.1:0\"\nhttp_listen = \"127.0.0.1:0\"\n\
             static_key_file = \"keys/hub/static.key\"\ncertificate_file = \"keys/hub/certificate.toml\"\n\
             {listed}\n[limits]\n{limits}"
        );
        std::fs::write(at("hub.toml"), config).map_err(TestbedError::machine("hub.toml"))?;
        let launch = Launch {
            name: "winze hub".to_owned(),
            executable: executable.to_owned(),
            arguments: vec![
                "hub".to_owned(),
                "--config".to_owned(),
                at("hub.toml").display().to_string(),
            ],
            environment: vec![("WINZE_LOG".to_owned(), "info".to_owned())],
            output_file: at("hub.out"),
            log_file: at("hub.log"),
        };
        let (process, ports) = start_role(launch, Role::Hub).await?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(SoakHub {
            process,
            address: ports.main.unwrap_or(nowhere),
            authority,
            http: ports.http.unwrap_or(nowhere),
            _folder: folder,
        })
    }

    /// The most memory that it had resident since its start, in bytes.
    pub(super) fn memory_peak_bytes(&self) -> Result<u64, SoakError> {
        let file = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(&file).map_err(TestbedError::machine(file.clone()))?;
        let kibibytes = status.lines().find_map(|line| {
            let value = line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?;
            value.trim().parse::<u64>().ok()
        });
        kibibytes
            .map(|kibibytes| kibibytes * 1024)
            .ok_or_else(|| SoakError::peer(file)("does not say VmHWM"))
    }

    /// How many peers it says are connected and authenticated.
    pub(super) async fn peers(&self) -> Result<u64, SoakError> {
        let answer = http::get(&format!("http://{}/metrics", self.http)).await?;
        let labels = [("state", "authenticated")];
        let peers = Metrics::parse(&answer.body).sum("winze_hub_connections", &labels);
        Ok(peers.unwrap_or(0.0) as u64)
    }
}
