//! A real `redis-server` of one's own, for tests and demonstrations: on a loopback port that is its own also while it is
//! away, with its files in a folder of its own, ended with its owner.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use winze_runtime::config::ConfigPath;
use winze_runtime::keyfile;

use crate::config::{RedisConfig, RedisTls};

/// How long a server may take until it is ready.
const START_MAX: Duration = Duration::from_secs(20);

/// What it is to be like.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// An append-only file with an fsync behind every command, so that what it has confirmed outlives a kill.
    pub durable: bool,
    /// TLS alone, with a certificate made for it.
    pub tls: bool,
    /// The password of the user `winze`, who may do what this crate does; nobody else may do anything.
    pub password: Option<String>,
}

/// A running server. Dropping it kills it.
pub struct RedisServer {
    folder: PathBuf,
    port: HeldPort,
    arguments: Vec<String>,
    wanted: Wanted,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts one, its files in `folder`.
    ///
    /// # Errors
    /// There is no `redis-server` on the PATH, or it does not start; the text says which.
    pub fn start(folder: &Path, wanted: Wanted) -> io::Result<RedisServer> {
        std::fs::create_dir_all(folder)?;
        let port = HeldPort::new()?;
        let mut server = RedisServer {
            folder: folder.to_owned(),
            arguments: arguments(folder, port.address.port(), &wanted)?,
            port,
            wanted,
            child: None,
        };
        server.start_again()?;
        Ok(server)
    }

    /// Starts it again where it was killed: the same port, the same files.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_again(&mut self) -> io::Result<()> {
        let log_file = self.folder.join("redis.log");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_file)?;
        let earlier_bytes = log.metadata()?.len();
        let child = Command::new("redis-server")
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("redis-server: {error}")))?;
        let child = self.child.insert(child);
        let give_up = Instant::now() + START_MAX;
        loop {
            if let Some(status) = child.try_wait()? {
                return Err(io::Error::other(format!("redis-server ended: {status}")));
            }
            // It listens before, and refuses commands for as long as it reads its files.
            if says(&log_file, earlier_bytes, "Ready to accept connections")? {
                return Ok(());
            }
            if Instant::now() >= give_up {
                return Err(io::Error::other("redis-server is not ready"));
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as a crash would, and waits for its end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It fails only where it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        self.port.address.to_string()
    }

    /// A table that reaches it, with the names that old deployments use.
    pub fn config(&self) -> RedisConfig {
        RedisConfig {
            address: self.address(),
            username: self.wanted.password.as_ref().map(|_| "winze".to_owned()),
            password_file: self
                .wanted
                .password
                .as_ref()
                .map(|_| ConfigPath::new(self.folder.join("password"))),
            tls: self.wanted.tls.then(|| RedisTls {
                ca_file: Some(ConfigPath::new(self.folder.join("server.pem"))),
            }),
            ..RedisConfig::default()
        }
    }
}

/// A free loopback port that nobody is given who does not ask for it by its number.
///
/// It is bound, and nobody listens. To Linux it is taken then: neither a listener that asks for any port gets it, nor a
/// connection on its way out, be it one to this very port, which would find itself there. Who allows for addresses that
/// are in use (`SO_REUSEADDR`), as this socket, Redis and listeners of tokio do, may listen there as often as they like.
pub struct HeldPort {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl HeldPort {
    /// Holds one until it is dropped.
    ///
    /// # Errors
    /// There is none.
    pub fn new() -> io::Result<HeldPort> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(HeldPort {
            address: socket.local_addr()?,
            _socket: socket,
        })
    }

    /// The port, on 127.0.0.1.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether `text` stands in the log behind its first `earlier_bytes`.
fn says(log: &Path, earlier_bytes: u64, text: &str) -> io::Result<bool> {
    let mut log = File::open(log)?;
    log.seek(SeekFrom::Start(earlier_bytes))?;
    let mut said = Vec::new();
    log.read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).contains(text))
}

fn arguments(folder: &Path, port: u16, wanted: &Wanted) -> io::Result<Vec<String>> {
    let folder_text = folder.display().to_string();
    let mut arguments = strings(&["--bind", "127.0.0.1", "--dir", &folder_text, "--save", ""]);
    let port = port.to_string();
    match wanted.tls {
        false => arguments.extend(strings(&["--port", &port])),
        true => {
            let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
            make_certificate(&certificate, &key)?;
            let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
            arguments.extend(strings(&["--port", "0", "--tls-port", &port]));
            arguments.extend(strings(&["--tls-cert-file", &certificate]));
            arguments.extend(strings(&["--tls-key-file", &key]));
            arguments.extend(strings(&["--tls-ca-cert-file", &certificate]));
            arguments.extend(strings(&["--tls-auth-clients", "no"]));
        }
    }
    if wanted.durable {
        arguments.extend(strings(&["--appendonly", "yes", "--appendfsync", "always"]));
    }
    if let Some(password) = &wanted.password {
        let users = folder.join("users.acl");
        let text = format!(
            "user default off\nuser winze on >{password} ~mint:* +@read +@write +@connection +@scripting +@transaction\n"
        );
        private(&users)?;
        std::fs::write(&users, text)?;
        let file = folder.join("password");
        if !file.exists() {
            keyfile::write_secret_text(&file, password).map_err(io::Error::other)?;
        }
        arguments.extend(strings(&["--aclfile", &users.display().to_string()]));
    }
    Ok(arguments)
}

fn make_certificate(certificate: &Path, key: &Path) -> io::Result<()> {
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    std::fs::write(certificate, made.cert.pem())?;
    private(key)?;
    std::fs::write(key, made.signing_key.serialize_pem())
}

/// Makes an empty file for its owner alone, where there is none.
fn private(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true).mode(0o600).open(path)?;
    Ok(())
}

fn strings(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|&part| part.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn while_a_server_is_away_its_port_is_nobody_elses_and_it_comes_back_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut server = RedisServer::start(folder.path(), Wanted::default()).unwrap();
        let address = server.port.address;
        for _ in 0..2 {
            server.kill();
            // What Linux asks of a port before it gives it to somebody who wants any.
            let other = TcpSocket::new_v4().unwrap().bind(address);
            assert_eq!(other.unwrap_err().kind(), io::ErrorKind::AddrInUse);
            let dialled = tokio::net::TcpStream::connect(address).await;
            let refused = dialled.unwrap_err().kind();
            assert_eq!(refused, io::ErrorKind::ConnectionRefused);
            server.start_again().unwrap();
            let open = server.config().open().unwrap();
            open.greet().await.unwrap();
        }
    }
}
