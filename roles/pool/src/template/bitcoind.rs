//! Templates from a bitcoin node, and blocks to it, over its RPC port.

use std::time::Duration;

use async_trait::async_trait;
use bitcoin::{BlockHash, ScriptBuf};
use serde_json::json;

use super::block::FoundBlock;
use super::gbt::BlockTemplate;
use super::rpc::NodeRpc;
use super::{DUPLICATE, Submitted, Template, TemplateError, TemplateSource};

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

    fn outlives_the_pool(&self) -> bool {
        true
    }

    async fn template(&self) -> Result<Template, TemplateError> {
        let answer: BlockTemplate = self
            .rpc
            .call("getblocktemplate", json!([{"rules": ["segwit"]}]))
            .await?;
        answer.into_template(self.payout.clone())
    }

    async fn tip_changed(&self, known: BlockHash) -> Result<(), TemplateError> {
        loop {
            tokio::time::sleep(self.poll_interval).await;
            let tip: String = self.rpc.call("getbestblockhash", json!([])).await?;
            if tip != known.to_string() {
                return Ok(());
            }
        }
    }

    async fn submit(&self, block: &FoundBlock) -> Result<Submitted, TemplateError> {
        let answer: Option<String> = self
            .rpc
            .call("submitblock", json!([hex::encode(&block.bytes)]))
            .await?;
        Ok(verdict(answer))
    }
}

/// What `submitblock` says of a block (BIP 22).
fn verdict(answer: Option<String>) -> Submitted {
    match answer {
        None => Submitted::Accepted,
        Some(reason) => match reason.as_str() {
            DUPLICATE | "duplicate-inconclusive" | "inconclusive" => Submitted::NotBest(reason),
            // `duplicate-invalid` is among these: the node has seen the block and found it invalid.
            _ => Submitted::Rejected(reason),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_the_node_has_found_invalid_before_is_rejected_and_not_merely_late() {
        let said = |reason: &str| verdict(Some(reason.to_owned()));
        assert_eq!(verdict(None), Submitted::Accepted);
        for late in ["duplicate", "duplicate-inconclusive", "inconclusive"] {
            assert_eq!(said(late), Submitted::NotBest(late.to_owned()));
        }
        for bad in ["duplicate-invalid", "bad-witness-merkle-match", "high-hash"] {
            assert_eq!(said(bad), Submitted::Rejected(bad.to_owned()));
        }
    }
}
