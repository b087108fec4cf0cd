//! Templates without a bitcoin node: a chain of the pool's own making, for demonstrations and tests.
//!
//! The blocks are well formed and empty. The network's difficulty is whatever the configuration says,
//! and the chain moves when a block is found or when its interval has passed. Nobody else has that chain: what
//! is mined on it is real work and no bitcoin.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{BlockHash, CompactTarget, ScriptBuf};
use tokio::sync::watch;

use super::block::FoundBlock;
use super::{Submitted, Template, TemplateError, TemplateSource};

/// BIP 9 version with no deployment signalled.
const VERSION: u32 = 0x2000_0000;

/// What a block of the built-in chain pays, in satoshi.
const COINBASE_VALUE_SAT: u64 = 312_500_000;

/// What the configuration says about the built-in chain.
#[derive(Clone, Debug)]
pub struct BuiltinSettings {
    /// The network's target, compact.
    pub bits: CompactTarget,
    /// How long a block stays the tip when none is found.
    pub block_interval: Duration,
    /// Where coinbases pay.
    pub payout: ScriptBuf,
    /// Unix time in seconds.
    pub clock_unix_s: fn() -> u64,
}

/// The built-in chain.
pub struct Builtin {
    settings: BuiltinSettings,
    tip: watch::Sender<Tip>,
    moved: Mutex<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Tip {
    hash: BlockHash,
    height: u64,
}

impl Builtin {
    /// A chain that starts at a block nobody has: `run_id` is random and keeps one run's work apart
    /// from another's.
    pub fn new(settings: BuiltinSettings, run_id: [u8; 8]) -> Builtin {
        let tip = Tip {
            hash: successor(&run_id, 0),
            height: 1_000,
        };
        Builtin {
            settings,
            tip: watch::Sender::new(tip),
            moved: Mutex::new(Instant::now()),
        }
    }

    fn advance(&self, hash: BlockHash) {
        self.tip.send_modify(|tip| {
            tip.hash = hash;
            tip.height += 1;
        });
        *self.moved.lock().unwrap_or_else(|held| held.into_inner()) = Instant::now();
    }

    fn until_next_interval(&self) -> Duration {
        let moved = *self.moved.lock().unwrap_or_else(|held| held.into_inner());
        self.settings.block_interval.saturating_sub(moved.elapsed())
    }
}

#[async_trait]
impl TemplateSource for Builtin {
    fn describe(&self) -> String {
        "built in: a chain of the pool's own, no bitcoin node is configured".to_owned()
    }

    fn outlives_the_pool(&self) -> bool {
        false
    }

    async fn template(&self) -> Result<Template, TemplateError> {
        let tip = *self.tip.borrow();
        let now = u32::try_from((self.settings.clock_unix_s)()).unwrap_or(u32::MAX);
        Ok(Template {
            prev_hash: tip.hash,
            bits: self.settings.bits,
            version: VERSION,
            height: tip.height + 1,
            start_time_unix_s: now,
            coinbase_value_sat: COINBASE_VALUE_SAT,
            payout: self.settings.payout.clone(),
            witness_commitment: empty_block_commitment(),
            transactions: Vec::new(),
            merkle_path: Vec::new(),
        })
    }

    async fn tip_changed(&self, known: BlockHash) -> Result<(), TemplateError> {
        let mut tip = self.tip.subscribe();
        loop {
            if tip.borrow_and_update().hash != known {
                return Ok(());
            }
            tokio::select! {
                _ = tip.changed() => {}
                () = tokio::time::sleep(self.until_next_interval()) => {
                    // Another waiter may have moved the chain in the meantime.
                    if self.until_next_interval().is_zero() && self.tip.borrow().hash == known {
                        let height = self.tip.borrow().height;
                        self.advance(successor(known.as_ref(), height));
                    }
                }
            }
        }
    }

    async fn submit(&self, block: &FoundBlock) -> Result<Submitted, TemplateError> {
        let next = self.tip.borrow().height + 1;
        if block.height != next {
            return Ok(Submitted::NotBest("the chain has moved on".to_owned()));
        }
        self.advance(block.hash);
        Ok(Submitted::Accepted)
    }
}

/// The hash of a block that stands for the ones the rest of the world would have found.
fn successor(seed: &[u8], height: u64) -> BlockHash {
    let mut bytes = b"winze built-in chain".to_vec();
    bytes.extend_from_slice(seed);
    bytes.extend_from_slice(&height.to_le_bytes());
    BlockHash::from_raw_hash(sha256d::Hash::hash(&bytes))
}

/// BIP 141: the commitment of a block whose one transaction is the coinbase. The root over its
/// witness ids is zero, and so is the reserved value.
fn empty_block_commitment() -> ScriptBuf {
    let commitment = sha256d::Hash::hash(&[0; 64]);
    let mut script = vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
    script.extend_from_slice(commitment.as_byte_array());
    ScriptBuf::from_bytes(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builtin(block_interval: Duration) -> Builtin {
        let settings = BuiltinSettings {
            bits: CompactTarget::from_consensus(0x207f_ffff),
            block_interval,
            payout: ScriptBuf::new(),
            clock_unix_s: || 1_800_000_000,
        };
        Builtin::new(settings, [7; 8])
    }

    #[tokio::test]
    async fn a_found_block_is_the_next_tip_and_a_late_rival_is_not() {
        let chain = builtin(Duration::from_secs(3_600));
        let before = chain.template().await.unwrap();
        let found = |byte| FoundBlock {
            hash: BlockHash::from_byte_array([byte; 32]),
            height: before.height,
            bytes: Vec::new(),
        };
        assert_eq!(chain.submit(&found(1)).await.unwrap(), Submitted::Accepted);
        chain.tip_changed(before.prev_hash).await.unwrap();
        let after = chain.template().await.unwrap();
        assert_eq!(after.prev_hash, found(1).hash);
        assert_eq!(after.height, before.height + 1);

        let rival = chain.submit(&found(2)).await.unwrap();
        assert!(matches!(rival, Submitted::NotBest(_)), "{rival:?}");
    }

    #[tokio::test]
    async fn without_a_find_the_chain_moves_by_itself() {
        let chain = builtin(Duration::from_millis(1));
        let before = chain.template().await.unwrap();
        let moved = chain.tip_changed(before.prev_hash);
        tokio::time::timeout(Duration::from_secs(10), moved)
            .await
            .expect("the interval passes")
            .unwrap();
        let after = chain.template().await.unwrap();
        assert_ne!(after.prev_hash, before.prev_hash);
    }
}
