//! A bitcoin node on regtest.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;
use serde_json::{Value, json};

use crate::error::TestbedError;
use crate::folder::Folder;
use crate::limits::{NODE_WITHIN, TERMINATE_WITHIN};
use crate::process::{ChildProcess, Launch};
use crate::{http, wait};

/// How to call a node's RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAccess {
    /// Where it listens.
    pub rpc: SocketAddr,
    /// The file with user and password.
    pub cookie_file: PathBuf,
}

impl NodeAccess {
    /// `http://address:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.rpc)
    }

    /// One JSON-RPC call.
    ///
    /// # Errors
    /// [`TestbedError::Http`] where there is no answer, [`TestbedError::Node`] where it is an error.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, TestbedError> {
        let cookie = std::fs::read_to_string(&self.cookie_file).map_err(TestbedError::machine(
            self.cookie_file.display().to_string(),
        ))?;
        let url = self.url();
        let body = json!({ "jsonrpc": "1.0", "id": "testbed", "method": method, "params": params });
        let request = bitreq::post(&url)
            .with_header(
                "Authorization",
                format!("Basic {}", STANDARD.encode(cookie.trim())),
            )
            .with_header("Content-Type", "application/json")
            .with_body(body.to_string());
        let answer = http::send(&url, request).await?;
        let mut answer: Value = answer.json()?;
        match answer.get("error") {
            None | Some(Value::Null) => Ok(answer["result"].take()),
            Some(error) => Err(TestbedError::Node {
                method: method.to_owned(),
                message: error.to_string(),
            }),
        }
    }
}

/// A node of its own on free ports, without peers. Dropping it kills it and removes its chain.
#[derive(Debug)]
pub struct RegtestNode {
    process: ChildProcess,
    access: NodeAccess,
    _folder: Folder,
}

impl RegtestNode {
    /// The `bitcoind` to use: `BITCOIND_EXE`, then the `PATH`, then `shared/bin/bitcoind` beside the repository.
    ///
    /// # Errors
    /// [`TestbedError::NoNode`].
    pub fn find_executable() -> Result<PathBuf, TestbedError> {
        if let Some(path) = std::env::var_os("BITCOIND_EXE").filter(|path| !path.is_empty()) {
            return Ok(PathBuf::from(path));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/bin/bitcoind");
        std::env::split_paths(&path)
            .map(|folder| folder.join("bitcoind"))
            .chain([beside.clone()])
            .find(|candidate| candidate.is_file())
            .ok_or(TestbedError::NoNode { looked_at: beside })
    }

    /// Starts one and mines its first block, without which it hands out no templates.
    ///
    /// # Errors
    /// [`TestbedError`] with the end of its log.
    pub async fn start(executable: &Path) -> Result<RegtestNode, TestbedError> {
        RegtestNode::start_through(None, executable).await
    }

    /// As [`Self::start`], by way of another program, which with these arguments becomes the one that follows them.
    ///
    /// # Errors
    /// Those of [`Self::start`].
    pub async fn start_through(
        launcher: Option<(PathBuf, Vec<String>)>,
        executable: &Path,
    ) -> Result<RegtestNode, TestbedError> {
        let (program, mut arguments) = match launcher {
            None => (executable.to_owned(), Vec::new()),
            Some((program, mut arguments)) => {
                arguments.push(executable.display().to_string());
                (program, arguments)
            }
        };
        let folder = Folder::open(None)?;
        // bitcoind cannot say which port it took. One that was free a moment ago is as near as it gets; where somebody
        // was faster, the node says so and ends.
        let rpc = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(TestbedError::machine("no free port"))?;
        arguments.extend([
            "-regtest".to_owned(),
            format!("-datadir={}", folder.path().display()),
            format!("-rpcport={}", rpc.port()),
            "-rpcbind=127.0.0.1".to_owned(),
            "-rpcallowip=127.0.0.1".to_owned(),
            "-listen=0".to_owned(),
            "-dnsseed=0".to_owned(),
            "-server=1".to_owned(),
            "-printtoconsole=1".to_owned(),
            "-nodebuglogfile".to_owned(),
        ]);
        let launch = Launch {
            name: "bitcoind".to_owned(),
            executable: program,
            arguments,
            environment: Vec::new(),
            // It logs to standard output.
            output_file: folder.at("bitcoind.log"),
            log_file: folder.at("bitcoind.log"),
        };
        let mut process = ChildProcess::start(launch)?;
        let access = NodeAccess {
            rpc,
            cookie_file: folder.at("regtest/.cookie"),
        };
        let answering = wait::until("answer of bitcoind", NODE_WITHIN, || {
            let running = process.is_running();
            let access = &access;
            async move {
                if !running {
                    return Ok(false);
                }
                match access.call("getblockchaininfo", json!([])).await {
                    Ok(_) => Ok(true),
                    Err(error) => Err(error.to_string()),
                }
            }
        })
        .await?;
        if !answering {
            let status = process.kill_hard()?;
            return Err(TestbedError::Ended {
                name: process.name().to_owned(),
                status,
                log_tail: process.log_tail(),
            });
        }
        let node = RegtestNode {
            process,
            access,
            _folder: folder,
        };
        node.mine(1).await?;
        Ok(node)
    }

    /// How to reach it.
    pub fn access(&self) -> &NodeAccess {
        &self.access
    }

    /// One RPC call.
    ///
    /// # Errors
    /// Those of [`NodeAccess::call`].
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, TestbedError> {
        self.access.call(method, params).await
    }

    /// Has the node mine blocks by itself, to a script that nobody owns.
    ///
    /// # Errors
    /// Those of [`NodeAccess::call`].
    pub async fn mine(&self, blocks: u32) -> Result<(), TestbedError> {
        self.call("generatetodescriptor", json!([blocks, "raw(51)"]))
            .await?;
        Ok(())
    }

    /// How many blocks its best chain has after the first one.
    ///
    /// # Errors
    /// Those of [`NodeAccess::call`].
    pub async fn height(&self) -> Result<u64, TestbedError> {
        Ok(self
            .call("getblockcount", json!([]))
            .await?
            .as_u64()
            .unwrap_or(0))
    }

    /// The block at a height, with its transactions (verbosity 2 of `getblock`).
    ///
    /// # Errors
    /// Those of [`NodeAccess::call`].
    pub async fn block(&self, height: u64) -> Result<Value, TestbedError> {
        let hash = self.call("getblockhash", json!([height])).await?;
        self.call("getblock", json!([hash, 2])).await
    }

    /// The scripts that the coinbase of the block at a height pays to, in hexadecimal, with the amounts in satoshi;
    /// outputs that pay nothing (the witness commitment) left out.
    ///
    /// # Errors
    /// Those of [`NodeAccess::call`].
    pub async fn coinbase_payments(&self, height: u64) -> Result<Vec<(String, u64)>, TestbedError> {
        let block = self.block(height).await?;
        let outputs = block["tx"][0]["vout"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let payments = outputs.iter().map(|output| {
            let script = output["scriptPubKey"]["hex"].as_str().unwrap_or_default();
            let bitcoin = output["value"].as_f64().unwrap_or_default();
            (script.to_owned(), (bitcoin * 1e8).round() as u64)
        });
        Ok(payments.filter(|(_, satoshi)| *satoshi > 0).collect())
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// Those of [`ChildProcess::terminate`].
    pub async fn stop(mut self) -> Result<(), TestbedError> {
        self.process.terminate(TERMINATE_WITHIN).await.map(drop)
    }
}

/// A script that only a freshly made key could spend from, in hexadecimal: version 0 witness, key hash.
pub fn fresh_script() -> String {
    let mut key_hash = [0; 20];
    rand::rngs::OsRng.fill_bytes(&mut key_hash);
    format!("0014{}", hex::encode(key_hash))
}
