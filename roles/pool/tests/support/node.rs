//! A bitcoin node on regtest, if the machine has one.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use winze_pool::template::rpc::{Credentials, NodeRpc};

use super::until;

pub struct Node {
    process: Child,
    folder: TempDir,
    pub rpc_addr: SocketAddr,
    rpc: NodeRpc,
}

/// `BITCOIND_EXE`, then the `PATH`, then the copy that lies beside the repository.
pub fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("BITCOIND_EXE") {
        return Some(PathBuf::from(named));
    }
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/bin");
    std::env::split_paths(&on_path)
        .chain([shared])
        .map(|folder| folder.join("bitcoind"))
        .find(|path| path.is_file())
}

impl Node {
    /// A node on a chain of its own, with one block.
    pub async fn start(executable: &Path) -> Node {
        let folder = tempfile::tempdir().unwrap();
        // The node cannot be given port 0 and asked; another program could take the port in between, and then the
        // node says so and the test fails.
        let rpc_addr = {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap()
        };
        let process = Command::new(executable)
            .args(["-regtest", "-listen=0", "-server=1", "-dnsseed=0"])
            .arg(format!("-datadir={}", folder.path().display()))
            .arg(format!("-rpcport={}", rpc_addr.port()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let cookie = folder.path().join("regtest/.cookie");
        let rpc = NodeRpc::new(rpc_addr.to_string(), Credentials::CookieFile(cookie));
        let node = Node {
            process,
            folder,
            rpc_addr,
            rpc,
        };
        until("the node answers", || async {
            let info: Result<Value, _> = node.rpc.call("getblockchaininfo", json!([])).await;
            info.ok()
        })
        .await;
        let to = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
        node.call("generatetoaddress", json!([1, to])).await;
        node
    }

    pub async fn call(&self, method: &'static str, params: Value) -> Value {
        self.rpc.call(method, params).await.unwrap()
    }

    pub fn cookie_file(&self) -> PathBuf {
        self.folder.path().join("regtest/.cookie")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
