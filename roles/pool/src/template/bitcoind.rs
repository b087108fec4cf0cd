//! Templates from a bitcoin node, and blocks to it, over its RPC port.

use std::time::Duration;

use async_trait::async_trait;
use bitcoin::{BlockHash, ScriptBuf};
use serde_json::json;

use super::block::FoundBlock;
use super::gbt::BlockTemplate;
use super::rpc::NodeRpc;
use super::{Submitted, Template, TemplateError, TemplateSource};

/// A bitcoin node that is asked.
pub struct Bitcoind {
    rpc: NodeRpc,
    payout: ScriptBuf,
    poll_interval: Duration,
}

impl Bitcoind {
    /// `poll_interval` is how often the node is asked for its tip.
    pub fn new(rpc: NodeRpc, payout: ScriptBuf, poll_interval: Duration) -> Bitcoind {
        Bitcoind {
            rpc,
            payout,
            poll_interval,
        }
    }
}

#[async_trait]
impl TemplateSource for Bitcoind {
    fn describe(&self) -> String {
        format!("bitcoin node {}", self.rpc.address())
    }

    async fn template(&self) -> Result<Template, TemplateError> {
        let answer: BlockTemplate = self
            .rpc
            .call("getblocktemplate", json!([{"rules": ["segwit"]}]))
            .await?;
        answer.into_template(self.payout.clone())
    }

    async fn tip_changed(&self, known: BlockHash) {
        loop {
            tokio::time::sleep(self.poll_interval).await;
            // An error here is the feed's to report: it asks for a template soon enough.
            let tip: Result<String, _> = self.rpc.call("getbestblockhash", json!([])).await;
            if tip.is_ok_and(|tip| tip != known.to_string()) {
                return;
            }
        }
    }

    async fn submit(&self, block: &FoundBlock) -> Result<Submitted, TemplateError> {
        let answer: Option<String> = self
            .rpc
            .call("submitblock", json!([hex::encode(&block.bytes)]))
            .await?;
        Ok(match answer {
            None => Submitted::Accepted,
            Some(reason) if reason.starts_with("duplicate") || reason == "inconclusive" => {
                Submitted::NotBest(reason)
            }
            Some(reason) => Submitted::Rejected(reason),
        })
    }
}
