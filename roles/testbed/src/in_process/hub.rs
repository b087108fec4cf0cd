//! A hub as a task, and the keys of everybody whom it knows.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rand::rngs::OsRng;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use winze_client::{HubClient, HubClientConfig, Identity};
use winze_hub::{Hub, HubConfig, HubError, HubLimits, MayOpen, PeerConfig};
use winze_messages::{EXT_MINT_QUOTE, PeerName};
use winze_runtime::config::ConfigPath;
use winze_runtime::{clock, keyfile};
use winze_transport::keys::Certificate;
use winze_transport::{PublicKey, SecretKey};

use crate::error::TestbedError;

/// How long the hub's certificate is valid.
const VALID_S: u32 = 24 * 3_600;

/// Where a hub runs: its address, its keys, and a key file for each of its peers.
pub struct HubSite {
    folder: PathBuf,
    authority: PublicKey,
    /// Who may connect, and whom each may ask for quotes.
    peers: Vec<(PeerName, Option<PeerName>)>,
    /// Of the hub that runs, or ran last.
    address: Mutex<SocketAddr>,
}

/// A hub that runs. Dropping it ends it in good order, as far as the process lets it.
pub struct HubTask {
    task: JoinHandle<Result<(), HubError>>,
    _stop: oneshot::Sender<()>,
}

impl HubSite {
    /// Makes new keys for the hub and for each of `peers`, in `folder`. A peer is `role/name`; who stands beside it is
    /// whom it may ask for quotes.
    ///
    /// # Errors
    /// One of the names is none, or `folder` cannot be written to.
    pub fn new(folder: &Path, peers: &[(&str, Option<&str>)]) -> Result<HubSite, TestbedError> {
        let authority = SecretKey::generate(&mut OsRng);
        let now_s = clock::now_unix_s_u32();
        let valid_until_s = now_s.saturating_add(VALID_S);
        let certificate = Certificate::sign(
            &authority,
            new_key(&folder.join(HUB_KEY))?,
            now_s.saturating_sub(60),
            valid_until_s,
            &[1; 32],
        );
        keyfile::write_certificate(folder.join(HUB_CERTIFICATE), &certificate)?;
        let site = HubSite {
            folder: folder.to_owned(),
            authority: authority.public_key(),
            peers: peers
                .iter()
                .map(|(peer, asks)| Ok((name(peer)?, asks.map(name).transpose()?)))
                .collect::<Result<_, TestbedError>>()?,
            address: Mutex::new(free_port()),
        };
        for (peer, _) in &site.peers {
            new_key(&site.key_file(&peer.to_string()))?;
        }
        Ok(site)
    }

    /// A file of this name beside the keys.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// The file with the secret key of `peer`: of `pool/main`, `pool-main.key`.
    pub fn key_file(&self, peer: &str) -> PathBuf {
        self.path(&format!("{}.key", peer.replace('/', "-")))
    }

    /// Who `peer` is.
    ///
    /// # Errors
    /// It is none of the hub's peers.
    pub fn identity(&self, peer: &str) -> Result<Identity, TestbedError> {
        let secret = keyfile::read_secret(self.key_file(peer))?;
        Ok(Identity::of(name(peer)?, secret))
    }

    /// The key of `peer`.
    ///
    /// # Errors
    /// It is none of the hub's peers.
    pub fn public_key(&self, peer: &str) -> Result<PublicKey, TestbedError> {
        Ok(self.identity(peer)?.public_key())
    }

    /// What signs the hub's certificate.
    pub fn authority(&self) -> PublicKey {
        self.authority
    }

    /// Where the hub listens, or did; port 0 before the first was started.
    pub fn address(&self) -> SocketAddr {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects as `peer`, now or once there is a hub.
    ///
    /// # Errors
    /// It is none of the hub's peers.
    pub fn connect(&self, peer: &str) -> Result<HubClient, TestbedError> {
        let config = HubClientConfig::new(self.address().to_string(), self.authority);
        Ok(HubClient::start(config, self.identity(peer)?))
    }

    /// Starts a hub, where the one before was if there was one.
    ///
    /// # Errors
    /// It does not start, as where the one before has not let go of its port.
    pub async fn start(&self) -> Result<HubTask, TestbedError> {
        let mut peers = Vec::with_capacity(self.peers.len());
        for (peer, asks) in &self.peers {
            let may_open = asks.iter().map(|asked| MayOpen {
                extension: EXT_MINT_QUOTE,
                peer: asked.to_string(),
            });
            peers.push(PeerConfig {
                role: peer.role().to_owned(),
                name: peer.name().to_owned(),
                key: self.public_key(&peer.to_string())?.into(),
                may_open: may_open.collect(),
            });
        }
        let config = HubConfig {
            listen: self.address(),
            http_listen: free_port(),
            static_key_file: ConfigPath::new(self.path(HUB_KEY)),
            certificate_file: ConfigPath::new(self.path(HUB_CERTIFICATE)),
            log: "info".to_owned(),
            peers,
            groups: Vec::new(),
            limits: HubLimits::default(),
        };
        let hub = Hub::bind(config).await.map_err(failed("the hub"))?;
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = hub.hub_addr;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(hub.run(async {
            // A sender that is gone means the same.
            let _ = stopped.await;
        }));
        Ok(HubTask { task, _stop: stop })
    }
}

impl HubTask {
    /// Ends it wherever it is.
    pub async fn kill(self) {
        self.task.abort();
        // It was cancelled.
        let _ = self.task.await;
    }
}

const HUB_KEY: &str = "hub.key";
const HUB_CERTIFICATE: &str = "hub.cert";

/// For use with `map_err`.
pub(super) fn failed<E: Display>(who: &str) -> impl FnOnce(E) -> TestbedError + use<'_, E> {
    move |error| TestbedError::InProcess {
        who: who.to_owned(),
        problem: error.to_string(),
    }
}

fn name(peer: &str) -> Result<PeerName, TestbedError> {
    peer.parse().map_err(failed(peer))
}

fn new_key(file: &Path) -> Result<PublicKey, TestbedError> {
    let secret = SecretKey::generate(&mut OsRng);
    keyfile::write_secret(file, &secret)?;
    Ok(secret.public_key())
}

fn free_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}
