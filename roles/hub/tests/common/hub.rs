use std::net::SocketAddr;
use std::ops::Range;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use winze_hub::{Hub, HubConfig, HubError, HubLimits, MayOpen, PeerConfig, Reloader};
use winze_messages::EXT_MINT_QUOTE;
use winze_runtime::clock::now_unix_s_u32;
use winze_runtime::config::{ConfigPath, PublicKeySource};
use winze_runtime::keyfile;
use winze_transport::{Certificate, PublicKey, SecretKey};

use super::{BAD_MINT, BAD_POOL, GOOD_MINT, GOOD_POOL, VENDOR, key_of, soon};

/// A hub in this process, with its keys in a folder of its own.
pub struct TestHub {
    pub addr: SocketAddr,
    pub http_addr: SocketAddr,
    pub authority: PublicKey,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), HubError>>,
    pub reloader: Reloader,
    pub folder: TempDir,
}

/// The hub's secret: no log may show it.
pub fn static_key() -> SecretKey {
    SecretKey::from_bytes(&[42; 32]).unwrap()
}

fn authority() -> SecretKey {
    SecretKey::from_bytes(&[41; 32]).unwrap()
}

/// The authority's word for a key, valid in `validity_s`, counted from now in seconds.
pub fn certificate(key: PublicKey, validity_s: Range<i64>) -> Certificate {
    let from_now = |seconds: i64| u32::try_from(i64::from(now_unix_s_u32()) + seconds).unwrap();
    let (from, until) = (from_now(validity_s.start), from_now(validity_s.end));
    Certificate::sign(&authority(), key, from, until, &[0; 32])
}

/// A configuration on free ports, with a certificate that is valid in `validity_s`, counted from now in seconds.
pub fn config(folder: &TempDir, limits: HubLimits, validity_s: Range<i64>) -> HubConfig {
    let key = static_key();
    let certificate = certificate(key.public_key(), validity_s);
    let key_file = folder.path().join("static.key");
    let certificate_file = folder.path().join("certificate.toml");
    keyfile::write_secret(&key_file, &key).unwrap();
    keyfile::write_certificate(&certificate_file, &certificate).unwrap();
    HubConfig {
        log: "info".to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        http_listen: ([127, 0, 0, 1], 0).into(),
        static_key_file: ConfigPath::new(key_file),
        certificate_file: ConfigPath::new(certificate_file),
        peers: peers(),
        groups: Vec::new(),
        limits,
    }
}

fn peers() -> Vec<PeerConfig> {
    let peer = |who: &str, may_open: Vec<MayOpen>| {
        let (role, name) = who.split_once('/').unwrap();
        PeerConfig {
            role: role.to_owned(),
            name: name.to_owned(),
            key: PublicKeySource::Inline(key_of(who).public_key()),
            may_open,
        }
    };
    let leave = |extension, peer: &str| MayOpen {
        extension,
        peer: peer.to_owned(),
    };
    vec![
        peer(GOOD_POOL, vec![leave(EXT_MINT_QUOTE, GOOD_MINT)]),
        peer(GOOD_MINT, vec![]),
        peer(
            BAD_POOL,
            vec![leave(EXT_MINT_QUOTE, BAD_MINT), leave(VENDOR, BAD_MINT)],
        ),
        peer(BAD_MINT, vec![]),
    ]
}

impl TestHub {
    pub async fn start() -> TestHub {
        TestHub::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut HubLimits)) -> TestHub {
        let mut limits = HubLimits::default();
        change(&mut limits);
        TestHub::start_certified(limits, -3_600..3_600).await
    }

    /// With a certificate that is valid in `validity_s`, counted from now in seconds.
    pub async fn start_certified(limits: HubLimits, validity_s: Range<i64>) -> TestHub {
        let folder = TempDir::new().unwrap();
        let config = config(&folder, limits, validity_s);
        let bound = Hub::bind(config).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        TestHub {
            addr: bound.hub_addr,
            http_addr: bound.http_addr,
            authority: authority().public_key(),
            stop: Some(stop),
            reloader: bound.reloader(),
            running: tokio::spawn(bound.run(async {
                let _ = stopped.await;
            })),
            folder,
        }
    }

    /// Tells the hub to stop; [`Self::stopped`] waits until it has.
    pub fn stop(&mut self) {
        self.stop.take();
    }

    pub async fn stopped(mut self) {
        self.stop();
        soon("the hub stops", &mut self.running)
            .await
            .unwrap()
            .unwrap();
    }

    /// The value of a metric, 0 while it is not there. `series` is its name with its labels.
    pub async fn metric(&self, series: &str) -> u64 {
        let (_, text) = http_get(self.http_addr, "/metrics").await;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until a metric has reached a value.
    pub async fn metric_reaches(&self, series: &str, value: u64) {
        soon(series, async {
            while self.metric(series).await < value {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// Status and body.
pub async fn http_get(addr: SocketAddr, path: &str) -> (u16, String) {
    soon(path, async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    })
    .await
}
