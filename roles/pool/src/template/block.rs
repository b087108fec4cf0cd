//! From a share that met the network's target to a block.

use std::sync::Arc;

use bitcoin::block::{Header, Version};
use bitcoin::consensus::{Encodable as _, deserialize};
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Transaction, TxMerkleNode, VarInt};
use thiserror::Error;

use super::Template;

/// What the miner chose in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderChoice {
    /// The whole version field, rolled bits included.
    pub version: u32,
    /// The header's time, Unix seconds.
    pub time_unix_s: u32,
    /// The nonce.
    pub nonce: u32,
}

/// A block that meets the network's target.
#[derive(Clone, Debug)]
pub struct FoundBlock {
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u64,
    /// The whole block in network serialisation.
    pub bytes: Vec<u8>,
}

impl FoundBlock {
    /// Puts the block together: `coinbase` is the whole coinbase transaction with its witness, and
    /// `share_hash` is what the block's header must hash to.
    ///
    /// Fails where they do not belong together, which would be a mistake of the pool.
    pub fn assemble(
        template: &Arc<Template>,
        coinbase: &[u8],
        choice: HeaderChoice,
        share_hash: BlockHash,
    ) -> Result<FoundBlock, AssembleError> {
        let transaction: Transaction =
            deserialize(coinbase).map_err(|error| AssembleError::Coinbase(error.to_string()))?;
        let header = Header {
            version: Version::from_consensus(choice.version.cast_signed()),
            prev_blockhash: template.prev_hash,
            merkle_root: merkle_root(&transaction, &template.merkle_path),
            time: choice.time_unix_s,
            bits: template.bits,
            nonce: choice.nonce,
        };
        let hash = header.block_hash();
        if hash != share_hash {
            return Err(AssembleError::OtherHeader {
                share: share_hash,
                built: hash,
            });
        }
        Ok(FoundBlock {
            hash,
            height: template.height,
            bytes: serialize(&header, coinbase, &template.transactions),
        })
    }
}

/// The merkle root over a coinbase and the path that leads up from it.
fn merkle_root(coinbase: &Transaction, path: &[[u8; 32]]) -> TxMerkleNode {
    let mut node = coinbase.compute_txid().to_byte_array();
    for sibling in path {
        let mut pair = [0; 64];
        pair[..32].copy_from_slice(&node);
        pair[32..].copy_from_slice(sibling);
        node = bitcoin::hashes::sha256d::Hash::hash(&pair).to_byte_array();
    }
    TxMerkleNode::from_byte_array(node)
}

fn serialize(header: &Header, coinbase: &[u8], transactions: &[Vec<u8>]) -> Vec<u8> {
    let body: usize = transactions.iter().map(Vec::len).sum();
    let mut bytes = Vec::with_capacity(80 + 9 + coinbase.len() + body);
    let count = VarInt(transactions.len() as u64 + 1);
    header
        .consensus_encode(&mut bytes)
        .and_then(|_| count.consensus_encode(&mut bytes))
        .expect("writing into a Vec does not fail");
    bytes.extend_from_slice(coinbase);
    for transaction in transactions {
        bytes.extend_from_slice(transaction);
    }
    bytes
}

/// A share and a template that do not make a block.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AssembleError {
    /// The coinbase is not a transaction.
    #[error("the coinbase of a found block does not decode: {0}")]
    Coinbase(String),
    /// The header that was put together is not the one that the miner hashed.
    #[error("the found block's header hashes to {built}, the share to {share}")]
    OtherHeader {
        /// What the miner found.
        share: BlockHash,
        /// What we built.
        built: BlockHash,
    },
}
