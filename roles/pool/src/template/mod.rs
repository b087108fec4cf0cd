//! Block templates: what there is to mine on, and where it comes from.
//!
//! [`Template`] is the whole content of a block save its coinbase's extranonce and the header's time,
//! version bits and nonce. A [`TemplateSource`] makes them: a bitcoin node ([`bitcoind`]), or the pool
//! itself where none is configured ([`builtin`]). [`feed`] turns a source into a stream of
//! templates, and [`block`] turns a template and a share into a block.

pub mod bitcoind;
pub mod block;
pub mod builtin;
pub mod feed;
pub mod gbt;
pub mod rpc;

use async_trait::async_trait;
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash, CompactTarget, ScriptBuf, Target, TxOut};
use stratum_core::binary_sv2::{Seq0255Owned, U256Owned};
use stratum_core::template_distribution_sv2::{NewTemplateOwned, SetNewPrevHashOwned};
use thiserror::Error;

/// `coinbase_tx_version` of our coinbases: 2, as of BIP 68.
const COINBASE_TX_VERSION: u32 = 2;

/// One block to be mined, without what a miner fills in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The block this one builds on.
    pub prev_hash: BlockHash,
    /// The network's target in compact form.
    pub bits: CompactTarget,
    /// The header's version before a miner rolls bits of it (BIP 323).
    pub version: u32,
    /// The block's height.
    pub height: u64,
    /// Unix time in seconds that a miner starts from. Later is fine, earlier is not.
    pub start_time_unix_s: u32,
    /// Subsidy and fees, in satoshi.
    pub coinbase_value_sat: u64,
    /// Where they go.
    pub payout: ScriptBuf,
    /// The output script that commits to the witnesses (BIP 141).
    pub witness_commitment: ScriptBuf,
    /// The transactions after the coinbase, serialised with their witnesses.
    pub transactions: Vec<Vec<u8>>,
    /// Hashes that lead from the coinbase's id to the merkle root, deepest first.
    pub merkle_path: Vec<[u8; 32]>,
}

impl Template {
    /// The start of the coinbase's input script: the height as BIP 34 wants it.
    pub fn coinbase_prefix(&self) -> Vec<u8> {
        let height = i64::try_from(self.height).unwrap_or(i64::MAX);
        let script = bitcoin::script::Builder::new()
            .push_int(height)
            .into_script();
        script.into_bytes()
    }

    /// The outputs that pay: one, to the configured script, with everything.
    pub fn payout_outputs(&self) -> Vec<TxOut> {
        vec![TxOut {
            value: Amount::from_sat(self.coinbase_value_sat),
            script_pubkey: self.payout.clone(),
        }]
    }

    /// The network's target.
    pub fn network_target(&self) -> Target {
        Target::from_compact(self.bits)
    }

    /// The form in which `channels_sv2` takes a template. `future` says that it waits for
    /// [`Self::to_set_new_prev_hash`] to become work.
    ///
    /// `job_number` becomes the sequence number of the coinbase's input. Miners begin a job at the start of its search
    /// space, and two jobs on one tip may be alike in all else (an empty mempool, a new target): the same headers
    /// would be hashed again, and their shares be duplicates. Consensus leaves the field free: the lock time is 0, and
    /// BIP 68 does not look at coinbases.
    ///
    /// Fails with [`TemplateError::Unusable`] where a part does not fit Sv2's types.
    pub fn to_new_template(
        &self,
        template_id: u64,
        job_number: u32,
        future: bool,
    ) -> Result<NewTemplateOwned, TemplateError> {
        let commitment = TxOut {
            value: Amount::ZERO,
            script_pubkey: self.witness_commitment.clone(),
        };
        let merkle_path: Vec<U256Owned> = self.merkle_path.iter().map(U256Owned::from).collect();
        Ok(NewTemplateOwned {
            template_id,
            future_template: future,
            version: self.version,
            coinbase_tx_version: COINBASE_TX_VERSION,
            coinbase_prefix: self.coinbase_prefix().try_into().map_err(|_| {
                TemplateError::Unusable("the height does not fit a coinbase prefix")
            })?,
            coinbase_tx_input_sequence: job_number,
            coinbase_tx_value_remaining: self.coinbase_value_sat,
            coinbase_tx_outputs_count: 1,
            coinbase_tx_outputs: bitcoin::consensus::serialize(&commitment)
                .try_into()
                .map_err(|_| TemplateError::Unusable("the witness commitment is over 64 KiB"))?,
            coinbase_tx_locktime: 0,
            merkle_path: Seq0255Owned::new(merkle_path)
                .map_err(|_| TemplateError::Unusable("the merkle path has over 255 hashes"))?,
        })
    }

    /// The message that makes a future template the work of the hour.
    pub fn to_set_new_prev_hash(&self, template_id: u64) -> SetNewPrevHashOwned {
        SetNewPrevHashOwned {
            template_id,
            prev_hash: U256Owned::from(self.prev_hash.to_byte_array()),
            header_timestamp: self.start_time_unix_s,
            n_bits: self.bits.to_consensus(),
            target: U256Owned::from(self.network_target().to_le_bytes()),
        }
    }
}

/// Where templates come from, and where found blocks go.
#[async_trait]
pub trait TemplateSource: Send + Sync + 'static {
    /// One line for the log and for `/health`.
    fn describe(&self) -> String;

    /// Whether its chain is there when the pool comes back, so that a found block is worth keeping until then.
    fn outlives_the_pool(&self) -> bool;

    /// What there is to mine on now.
    async fn template(&self) -> Result<Template, TemplateError>;

    /// Comes back when the chain's tip is no longer `known`, or when the source cannot be asked. Cancel-safe.
    async fn tip_changed(&self, known: BlockHash) -> Result<(), TemplateError>;

    /// Hands over a found block, serialised in full.
    async fn submit(&self, block: &block::FoundBlock) -> Result<Submitted, TemplateError>;
}

/// The reason in [`Submitted::NotBest`] when the source holds the block as a valid one already (BIP 22).
pub const DUPLICATE: &str = "duplicate";

/// Bitcoin Core's `RPC_IN_WARMUP`: the node has started and loads its chain.
const NODE_IN_WARMUP: i64 = -28;

/// What became of a found block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is in the chain.
    Accepted,
    /// The source knows it, or holds it beside the chain; the reason in its words
    /// (`duplicate`, `inconclusive`).
    NotBest(String),
    /// It is not valid, or came too late; the reason in the source's words.
    Rejected(String),
}

/// Why there is no template, or why a block could not be handed over.
#[derive(Clone, Debug, Error)]
pub enum TemplateError {
    /// The node does not answer, or not in HTTP.
    #[error("bitcoin node {address}: {reason}")]
    Unreachable {
        /// The node's address, without credentials.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The node refuses our credentials, or the cookie file cannot be read.
    #[error("bitcoin node {address}: not let in: {reason}")]
    Credentials {
        /// The node's address, without credentials.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The node answered a call with an error of its own.
    #[error("bitcoin node: {method} failed with {code}: {message}")]
    Node {
        /// The JSON-RPC method.
        method: &'static str,
        /// Bitcoin Core's error code.
        code: i64,
        /// Bitcoin Core's words.
        message: String,
    },
    /// The answer is not what the method answers.
    #[error("bitcoin node: {method} answered what cannot be understood: {reason}")]
    Answer {
        /// The JSON-RPC method.
        method: &'static str,
        /// Which part of it.
        reason: String,
    },
    /// A template that the wire cannot carry.
    #[error("template cannot be used: {0}")]
    Unusable(&'static str),
}

impl TemplateError {
    /// Whether it says nothing of what was asked, only that the node is away, restarting, or not done with it: the
    /// same call may well be answered later. A cookie that is refused or missing is a node that restarts.
    pub fn may_pass(&self) -> bool {
        match self {
            TemplateError::Unreachable { .. } | TemplateError::Credentials { .. } => true,
            TemplateError::Node { code, .. } => *code == NODE_IN_WARMUP,
            TemplateError::Answer { .. } | TemplateError::Unusable(_) => false,
        }
    }
}
