//! A bitcoin node on regtest, if the machine has one.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
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

fn spawn(executable: &Path, folder: &Path, rpc_addr: SocketAddr) -> Child {
    Command::new(executable)
        .args(["-regtest", "-listen=0", "-server=1", "-dnsseed=0"])
        .arg(format!("-datadir={}", folder.display()))
        .arg(format!("-rpcport={}", rpc_addr.port()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
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
        let process = spawn(executable, folder.path(), rpc_addr);
        let cookie = folder.path().join("regtest/.cookie");
        let rpc = NodeRpc::new(rpc_addr.to_string(), Credentials::CookieFile(cookie));
        let node = Node {
            process,
            folder,
            rpc_addr,
            rpc,
        };
        node.answers().await;
        let to = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
        node.call("generatetoaddress", json!([1, to])).await;
        node
    }

    async fn answers(&self) {
        until("the node answers", || async {
            let info: Result<Value, _> = self.rpc.call("getblockchaininfo", json!([])).await;
            info.ok()
        })
        .await;
    }

    /// Ends the node in good order, so that it keeps its chain.
    pub async fn stop(&mut self) {
        self.call("stop", json!([])).await;
        until("the node's end", || {
            let ended = self.process.try_wait().unwrap();
            async move { ended }
        })
        .await;
    }

    /// Stands at the place of a node that was stopped, until `method` was called `times` times; every call is cut off.
    pub async fn turn_away(&self, method: &str, times: usize) {
        // The node took its own with it, and without one nobody is called.
        std::fs::write(self.cookie_file(), "__cookie__:stale").unwrap();
        let listener = tokio::net::TcpListener::bind(self.rpc_addr).await.unwrap();
        let mut calls = 0;
        while calls < times {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            // A call ends with its JSON object.
            while !heard.ends_with(b"}") && stream.read_buf(&mut heard).await.unwrap() > 0 {}
            calls += usize::from(String::from_utf8_lossy(&heard).contains(method));
        }
    }

    /// Starts it again where it was.
    pub async fn start_again(&mut self, executable: &Path) {
        self.process = spawn(executable, self.folder.path(), self.rpc_addr);
        self.answers().await;
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
