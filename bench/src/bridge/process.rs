//! The bridge in a process of its own, as it runs with its defaults.

use std::fmt::Display;
use std::path::Path;

use winze_bridge::BridgeConfig;
use winze_runtime::config::load_role;
use winze_runtime::{keyfile, ready};

use crate::durable::hub::Cast;
use crate::error::BenchError;
use crate::server::Server;
use crate::systems::hub::Hub;
use crate::systems::redis::Redis;

/// The first argument of the process.
pub const COMMAND: &str = "bridge";

/// Starts it: from the list to whoever answers in `cast`.
pub async fn start(
    hub: &Hub,
    cast: &Cast,
    redis: &Redis,
    folder: &Path,
) -> Result<Server, BenchError> {
    keyfile::write_secret(folder.join("bridge.key"), cast.requester.secret()).map_err(failed)?;
    let config = folder.join("bridge.toml");
    let text = format!(
        "role = \"bridge\"\nname = \"{name}\"\nhttp_listen = \"127.0.0.1:0\"\n\
         secret_key_file = \"bridge.key\"\nstore_file = \"bridge.sqlite\"\nlog = \"warn\"\n\
         [hub]\naddress = \"{hub}\"\nauthority = {{ public_key = \"{authority}\" }}\n\
         [redis]\naddress = \"{redis}\"\n\
         [requests]\nmint = \"{mint}\"\npublic_key = \"{mint_key}\"\n",
        name = cast.requester.peer().name(),
        hub = hub.address,
        authority = hub.authority,
        redis = redis.address,
        mint = cast.responder.peer(),
        mint_key = cast.responder.public_key(),
    );
    std::fs::write(&config, text).map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let arguments = [COMMAND.to_owned(), config.display().to_string()];
    let mut server = Server::start("bridge", &program, &arguments, folder)?;
    server
        .until_said(|line| ready::address(line, "http"))
        .await?;
    Ok(server)
}

/// The process itself, with what [`start`] gave behind [`COMMAND`]; it serves until it is killed.
pub async fn run(arguments: &[String]) -> Result<(), BenchError> {
    let [file] = arguments else {
        return Err(failed("is started by the measurement alone"));
    };
    let config: BridgeConfig = load_role(Path::new(file), "bridge").map_err(failed)?;
    winze_bridge::run(config, std::future::pending())
        .await
        .map_err(failed)
}

fn failed(problem: impl Display) -> BenchError {
    BenchError::peer("the bridge", problem)
}
