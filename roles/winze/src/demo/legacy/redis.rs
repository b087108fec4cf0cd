//! A Redis server of the demonstration's own, on a free loopback port, which keeps what it has confirmed.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use winze_redis::{Redis, RedisConfig};
use winze_testbed::process::{ChildProcess, Launch};
use winze_testbed::wait;

use super::super::bound;
use super::super::error::DemoError;

const PROGRAM: &str = "redis-server";
/// How long it may take until it listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// A running server. Dropping it kills it; and it ends with this process, however that ends.
pub(super) struct Server {
    process: ChildProcess,
    address: SocketAddr,
}

impl Server {
    /// Starts one, with its files in `folder`.
    ///
    /// # Errors
    /// [`DemoError::NoRedisServer`]; [`DemoError::Testbed`] where it does not listen in time.
    pub(super) async fn start(executable: &Path, folder: &Path) -> Result<Server, DemoError> {
        let program = find(env::var_os("PATH").as_deref()).ok_or(DemoError::NoRedisServer)?;
        let address = free_port().map_err(machine("a free port"))?;
        let mut arguments = bound::arguments(std::process::id());
        arguments.push(program.display().to_string());
        let port = address.port().to_string();
        let own = folder.display().to_string();
        let options = [
            ["--bind", "127.0.0.1"],
            ["--port", &port],
            ["--dir", &own],
            ["--save", ""],
            ["--appendonly", "yes"],
            ["--appendfsync", "always"],
        ];
        arguments.extend(options.concat().into_iter().map(str::to_owned));
        let process = ChildProcess::start(Launch {
            name: PROGRAM.to_owned(),
            executable: executable.to_owned(),
            arguments,
            environment: Vec::new(),
            output_file: folder.join("redis.out"),
            log_file: folder.join("redis.log"),
        })?;
        let mut server = Server { process, address };
        let listens = wait::until("Redis that listens", LISTENS_WITHIN, || {
            let ends = !server.process.is_running();
            async move {
                match TcpStream::connect(address) {
                    // Whoever has the port then, it is not ours.
                    _ if ends => Ok(false),
                    Ok(_) => Ok(true),
                    Err(error) => Err(error.to_string()),
                }
            }
        });
        match listens.await? {
            true => Ok(server),
            false => Err(DemoError::RoleEnded {
                name: PROGRAM.to_owned(),
                log_tail: server.process.log_tail(),
            }),
        }
    }

    /// `127.0.0.1:port`.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How to dial it, with the names of old deployments.
    ///
    /// # Errors
    /// None that an address could have.
    pub(super) fn open(&self) -> Result<(Redis, RedisConfig), DemoError> {
        let config = RedisConfig {
            address: self.address.to_string(),
            ..RedisConfig::default()
        };
        Ok((config.open()?, config))
    }

    /// Whether it has not ended by itself.
    pub(super) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// [`DemoError::Testbed`] where it had to be killed.
    pub(super) async fn end(mut self) -> Result<(), DemoError> {
        self.process.terminate(ENDS_WITHIN).await?;
        Ok(())
    }
}

/// The first file of that name in the folders of `path`.
fn find(path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    let folders = env::split_paths(path?).collect::<Vec<_>>();
    let files = folders.into_iter().map(|folder| folder.join(PROGRAM));
    files.into_iter().find(|file| file.is_file())
}

/// Redis does not say which port it got, so it is told one. Another process may take it before: then Redis ends.
fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

pub(super) fn machine(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> DemoError {
    let what = what.into();
    move |source| DemoError::Machine { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_redis_the_package_is_named() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(find(Some(empty.path().as_os_str())), None);
        assert_eq!(find(None), None);
        assert!(DemoError::NoRedisServer.to_string().contains("package"));
    }
}
