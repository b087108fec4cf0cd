//! The servers that are measured, and clients of them.

pub mod certificate;
pub mod framed;
pub mod hub;
pub mod naive;
pub mod nats;
pub mod redis;
pub mod redis_queue;
pub mod relay;
pub mod signed;

use tempfile::TempDir;

use crate::error::BenchError;
use crate::load::{AnyEndpoint, Shape};
use crate::server::Server;
use crate::setting::Setting;
use redis_queue::Pop;

/// A server with its clients connected, and their routes there.
pub struct Rig {
    /// The server; in a process of its own.
    pub server: Server,
    /// Who sends.
    pub senders: Vec<AnyEndpoint>,
    /// Who receives; the first from the first sender, and so on.
    pub receivers: Vec<AnyEndpoint>,
    /// The server's folder; goes with this.
    pub folder: TempDir,
}

/// Starts a system by its name and connects what the shape says.
///
/// # Errors
/// [`BenchError`], also for a name that is no system's.
pub async fn rig(setting: &Setting, system: &str, shape: Shape) -> Result<Rig, BenchError> {
    match system {
        "hub" => hub::rig(setting, shape, &[]).await,
        "hub-1-thread" => hub::rig(setting, shape, &[("TOKIO_WORKER_THREADS", "1")]).await,
        "relay" => relay::rig(shape).await,
        "naive" => naive::rig(&setting.programs.naive, shape).await,
        "naive-soft" => naive::rig(&setting.programs.naive_soft, shape).await,
        "redis-blmpop" => redis_queue::rig(setting, shape, Pop::Many).await,
        "redis-brpop" => redis_queue::rig(setting, shape, Pop::One).await,
        "nats" => nats::rig(setting, shape, false).await,
        "nats-tls" => nats::rig(setting, shape, true).await,
        other => Err(BenchError::machine(other, "no system of this name")),
    }
}

/// A folder of a server's own, gone with what it belongs to.
///
/// # Errors
/// [`BenchError::Machine`].
pub fn folder() -> Result<TempDir, BenchError> {
    tempfile::Builder::new()
        .prefix("winze-bench-")
        .tempdir()
        .map_err(|error| BenchError::machine("a temporary folder", error))
}
