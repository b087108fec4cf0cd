//! JSON-RPC to a bitcoin node.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::TemplateError;
use crate::limits::{NODE_RESPONSE_BYTES_MAX, NODE_TIMEOUT_S};

/// How a node lets us in.
#[derive(Clone)]
pub enum Credentials {
    /// The file that the node writes at each start, `user:password` in it. Read for every call, since it
    /// changes with the node's restart.
    CookieFile(PathBuf),
    /// `rpcuser` and `rpcpassword`.
    UserPassword {
        /// `rpcuser`.
        user: String,
        /// `rpcpassword`.
        password: Zeroizing<String>,
    },
}

/// A node's RPC port.
pub struct NodeRpc {
    address: String,
    credentials: Credentials,
}

impl NodeRpc {
    /// `address` is `host:port`. The connection is plain HTTP: it belongs on one machine or in a private network.
    pub fn new(address: String, credentials: Credentials) -> NodeRpc {
        NodeRpc {
            address,
            credentials,
        }
    }

    /// `host:port`, without credentials.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Calls `method` and reads its `result` as a `T`.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, TemplateError> {
        let body = json!({"jsonrpc": "1.0", "id": "winze", "method": method, "params": params});
        let request = bitreq::post(format!("http://{}/", self.address))
            .with_header("Content-Type", "application/json")
            .with_header("Authorization", self.authorization().await?)
            .with_body(body.to_string())
            .with_timeout(NODE_TIMEOUT_S)
            .with_max_redirects(0)
            .with_max_body_size(NODE_RESPONSE_BYTES_MAX);
        let response = request
            .send_async()
            .await
            .map_err(|error| self.unreachable(error.to_string()))?;
        if matches!(response.status_code, 401 | 403) {
            return Err(TemplateError::Credentials {
                address: self.address.clone(),
                reason: format!("HTTP status {}", response.status_code),
            });
        }
        // Bitcoin Core sends its errors with status 500 and a JSON body that says more.
        let Ok(answer) = serde_json::from_slice::<Answer>(response.as_bytes()) else {
            return Err(self.unreachable(format!(
                "HTTP status {} with a body that is not JSON-RPC",
                response.status_code
            )));
        };
        if let Some(error) = answer.error {
            return Err(TemplateError::Node {
                method,
                code: error.code,
                message: error.message,
            });
        }
        serde_json::from_value(answer.result).map_err(|error| TemplateError::Answer {
            method,
            reason: error.to_string(),
        })
    }

    async fn authorization(&self) -> Result<String, TemplateError> {
        let secret = Zeroizing::new(match &self.credentials {
            Credentials::UserPassword { user, password } => format!("{user}:{}", password.as_str()),
            Credentials::CookieFile(path) => {
                let cookie = tokio::fs::read_to_string(path).await.map_err(|error| {
                    TemplateError::Credentials {
                        address: self.address.clone(),
                        reason: no_cookie(path, &error),
                    }
                })?;
                cookie.trim().to_owned()
            }
        });
        let encoded = base64::engine::general_purpose::STANDARD.encode(secret.as_bytes());
        Ok(format!("Basic {encoded}"))
    }

    fn unreachable(&self, reason: String) -> TemplateError {
        TemplateError::Unreachable {
            address: self.address.clone(),
            reason,
        }
    }
}

/// The node makes its cookie when it starts, and takes it away when it ends.
fn no_cookie(path: &Path, error: &std::io::Error) -> String {
    let is_it_running = match error.kind() {
        std::io::ErrorKind::NotFound => "; is the node running?",
        _ => "",
    };
    format!("cookie file {}: {error}{is_it_running}", path.display())
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    code: i64,
    message: String,
}
