//! Reading a `getblocktemplate` answer (BIP 22, 23, 145).

use std::fmt::Display;
use std::str::FromStr;

use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{BlockHash, CompactTarget, ScriptBuf, Txid};
use serde::{Deserialize, Deserializer};

use super::{Template, TemplateError};

const METHOD: &str = "getblocktemplate";

/// The parts of the answer that a block is made of.
#[derive(Debug, Deserialize)]
pub struct BlockTemplate {
    version: i64,
    #[serde(deserialize_with = "from_text")]
    previousblockhash: BlockHash,
    transactions: Vec<TemplateTransaction>,
    coinbasevalue: u64,
    curtime: u32,
    mintime: u32,
    bits: String,
    height: u64,
    default_witness_commitment: Option<String>,
}

#[derive(Debug, Deserialize)]
struct TemplateTransaction {
    data: String,
    #[serde(deserialize_with = "from_text")]
    txid: Txid,
}

/// Reads what has a text form and no serde of its own here.
fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

impl BlockTemplate {
    /// Turns the node's answer into a template that pays `payout`.
    pub fn into_template(self, payout: ScriptBuf) -> Result<Template, TemplateError> {
        let bits = u32::from_str_radix(&self.bits, 16)
            .map_err(|_| answer(format!("bits is {:?}", self.bits)))?;
        // Without segwit rules the node sends no commitment, and then our coinbase, which has a witness, would
        // make an invalid block.
        let commitment = self
            .default_witness_commitment
            .ok_or_else(|| answer("default_witness_commitment is missing".to_owned()))?;
        let commitment = ScriptBuf::from_hex(&commitment)
            .map_err(|error| answer(format!("default_witness_commitment: {error}")))?;
        let txids: Vec<[u8; 32]> = self
            .transactions
            .iter()
            .map(|transaction| transaction.txid.to_byte_array())
            .collect();
        let transactions = self
            .transactions
            .into_iter()
            .enumerate()
            .map(|(index, transaction)| {
                hex::decode(transaction.data)
                    .map_err(|error| answer(format!("transactions[{index}].data: {error}")))
            })
            .collect::<Result<_, _>>()?;
        Ok(Template {
            prev_hash: self.previousblockhash,
            bits: CompactTarget::from_consensus(bits),
            version: u32::try_from(self.version)
                .map_err(|_| answer(format!("version is {}", self.version)))?,
            height: self.height,
            start_time_unix_s: self.curtime.max(self.mintime),
            coinbase_value_sat: self.coinbasevalue,
            payout,
            witness_commitment: commitment,
            transactions,
            merkle_path: merkle_path(&txids),
        })
    }
}

fn answer(reason: String) -> TemplateError {
    TemplateError::Answer {
        method: METHOD,
        reason,
    }
}

/// The siblings on the way from the coinbase (leaf 0, not yet known) to the root, deepest first, given the
/// ids of the other transactions in order.
pub fn merkle_path(txids: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let mut path = Vec::new();
    // The level's nodes after the first, which depends on the coinbase and is never needed.
    let mut level = txids.to_vec();
    while let Some(&sibling) = level.first() {
        path.push(sibling);
        let rest = level.get(1..).unwrap_or_default();
        level = rest
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => parent(left, right),
                // An odd level doubles its last node.
                [left, ..] => parent(left, left),
                [] => unreachable!("chunks are never empty"),
            })
            .collect();
    }
    path
}

fn parent(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(left);
    pair[32..].copy_from_slice(right);
    sha256d::Hash::hash(&pair).to_byte_array()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bitcoin's own calculation, by the library, against ours over the path.
    #[test]
    fn the_path_leads_any_coinbase_to_the_root_of_all_transactions() {
        for others in 0..20_u8 {
            let leaves: Vec<[u8; 32]> = (0..=others).map(|leaf| [leaf + 1; 32]).collect();
            let expected = bitcoin::merkle_tree::calculate_root(
                leaves.iter().copied().map(sha256d::Hash::from_byte_array),
            )
            .unwrap();
            let climbed = merkle_path(&leaves[1..])
                .iter()
                .fold(leaves[0], |node, sibling| parent(&node, sibling));
            assert_eq!(climbed, expected.to_byte_array(), "{others} others");
        }
    }

    fn minimal() -> serde_json::Value {
        serde_json::json!({
            "version": 536870912,
            "previousblockhash": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
            "transactions": [],
            "coinbasevalue": 5000000000_u64,
            "curtime": 100, "mintime": 200,
            "bits": "207fffff",
            "height": 1,
            "default_witness_commitment": "6a24aa21a9ed"
        })
    }

    #[test]
    fn a_template_starts_no_earlier_than_the_chain_allows() {
        let read: BlockTemplate = serde_json::from_value(minimal()).unwrap();
        let template = read.into_template(ScriptBuf::new()).unwrap();
        assert_eq!(template.start_time_unix_s, 200);
        // BIP 34 with Bitcoin Core's small numbers: height 1 is OP_1.
        assert_eq!(template.coinbase_prefix(), [0x51]);
    }

    #[test]
    fn an_answer_without_a_witness_commitment_is_named_as_the_reason() {
        let mut answer = minimal();
        answer
            .as_object_mut()
            .unwrap()
            .remove("default_witness_commitment");
        let read: BlockTemplate = serde_json::from_value(answer).unwrap();
        let error = read.into_template(ScriptBuf::new()).unwrap_err();
        assert!(
            error.to_string().contains("default_witness_commitment"),
            "{error}"
        );
    }
}
