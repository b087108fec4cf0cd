use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, ScriptBuf};
use winze_fuzz_harness::wire_frames;
use winze_pool::mining::extranonce::Extranonces;
use winze_pool::mining::{Action, Intake, MiningConnection, Recorded, Rules, Shared};
use winze_pool::template::Template;
use winze_pool::template::feed::Work;
use winze_pool::work::{MinimumWork, leading_zero_bits};

const CHANNELS_MAX: usize = 4;

/// Low, so that a fuzzer's shares may be worth something.
const MINIMUM_ZERO_BITS: u8 = 8;

/// A miner that says anything to the pool. The pool takes no share that is worth less than the minimum, holds no more
/// channels than it allows, answers in frames that can be sent, and hangs up once. The work changes on the way.
pub fn mining(data: &[u8]) {
    let mut pool = MiningConnection::new(shared(), 0);
    let mut out = Vec::new();
    pool.new_work(work(1), &mut out);
    let mut hung_up = false;
    for (turn, frame) in (1..).zip(wire_frames(data)) {
        if turn % 8 == 0 {
            pool.new_work(work(turn), &mut out);
        }
        pool.handle(frame, Intake::Open, turn * 100, &mut out);
        pool.tick(turn * 100, &mut out);
        let mut shares = Vec::new();
        for action in out.drain(..) {
            assert!(!hung_up || matches!(action, Action::Send(_)), "{action:?}");
            match action {
                Action::Send(frame) => {
                    frame.header().expect("it fits a frame");
                }
                Action::Record(share) => {
                    let zero_bits = leading_zero_bits(&share.header_hash);
                    assert!(zero_bits >= MINIMUM_ZERO_BITS.into() && share.amount > 0);
                    shares.push((share, Recorded::Stored));
                }
                Action::Hangup(_) => hung_up = true,
                _ => {}
            }
        }
        assert!(pool.channel_count() <= CHANNELS_MAX);
        pool.recorded(shares, &mut out);
    }
}

fn shared() -> Shared {
    Shared {
        rules: Arc::new(Rules {
            minimum: MinimumWork::new(MINIMUM_ZERO_BITS),
            shares_per_minute: 1.0,
            channels_max: CHANNELS_MAX,
            coinbase_tag: "winze".to_owned(),
            idle_timeout_ms: 600_000,
        }),
        extranonces: Extranonces::new([9; 8]),
    }
}

fn work(template_id: u64) -> Work {
    static TEMPLATE: OnceLock<Arc<Template>> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| {
        // A commitment to witnesses (BIP 141); to which is nobody's concern here.
        let mut commitment = vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
        commitment.extend([0; 32]);
        Arc::new(Template {
            prev_hash: BlockHash::from_byte_array([1; 32]),
            bits: CompactTarget::from_consensus(0x1d00_ffff),
            version: 0x2000_0000,
            height: 840_000,
            start_time_unix_s: 1_800_000_000,
            coinbase_value_sat: 312_500_000,
            payout: ScriptBuf::from_bytes(vec![0x51]),
            witness_commitment: ScriptBuf::from_bytes(commitment),
            transactions: Vec::new(),
            merkle_path: Vec::new(),
        })
    });
    Work {
        template_id,
        template: template.clone(),
        fetched: Instant::now(),
    }
}
