use proptest::prelude::*;
use stratum_core::common_messages_sv2::*;
use stratum_core::mining_sv2::*;
use winze_transport::{CHANNEL_BIT, Frame};

use super::rig::*;
use crate::mining::{Action, Hangup, wire};
use crate::work::MinimumWork;
use bitcoin::Target;

fn connected() -> Rig {
    Rig::connected(8, work(1, template(1, HARD, 1_800_000_000)))
}

#[test]
fn nothing_is_done_for_whoever_does_not_set_up_the_connection() {
    let mut stranger = Rig::silent(rules(8), work(1, template(1, HARD, 1_800_000_000)));
    let answers = stranger.open_standard(ALICE, 1.0);
    assert!(types(&answers).is_empty());
    assert!(matches!(hangup(&answers), Some(Hangup::Protocol(_))));
    let answers = stranger.send(MESSAGE_TYPE_SETUP_CONNECTION, setup(0));
    assert!(answers.is_empty(), "it is over");
}

#[test]
fn bytes_that_are_left_over_end_the_connection() {
    let mut miner = connected();
    miner.open_standard(ALICE, 1.0);
    let share = SubmitSharesStandard {
        channel_id: 2,
        sequence_number: 1,
        job_id: 1,
        nonce: 0,
        ntime: 0,
        version: 0,
    };
    let mut frame = wire::channel_frame(MESSAGE_TYPE_SUBMIT_SHARES_STANDARD, share);
    frame.payload.push(0);
    let actions = miner.send_frame(frame);
    let Some(Hangup::Protocol(why)) = hangup(&actions) else {
        panic!("{actions:?}");
    };
    assert!(why.contains("1 bytes are left over"), "{why}");
}

#[test]
fn an_unknown_extension_is_ignored_and_a_server_message_is_not() {
    let mut miner = connected();
    for extension_type in [0x5000, 0x5000 | CHANNEL_BIT] {
        let unknown = Frame {
            extension_type,
            msg_type: 0,
            payload: vec![0; 40],
        };
        assert!(miner.send_frame(unknown).is_empty());
    }
    let server_message = Frame {
        extension_type: 0,
        msg_type: MESSAGE_TYPE_NEW_MINING_JOB,
        payload: vec![0; 40],
    };
    let actions = miner.send_frame(server_message);
    assert!(matches!(hangup(&actions), Some(Hangup::Protocol(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes under any message type: no panic, no share out of nothing, and the end comes once.
    #[test]
    fn whatever_a_miner_sends_the_pool_stands(
        frames in proptest::collection::vec(
            (prop_oneof![Just(0_u16), Just(1), Just(0x8000), Just(0x4802)], 0_u8..0x30,
             proptest::collection::vec(any::<u8>(), 0..90)),
            1..12,
        )
    ) {
        let mut miner = connected();
        miner.open_extended(ALICE, 4);
        let mut hangups = 0;
        for (extension_type, msg_type, payload) in frames {
            let actions = miner.send_frame(Frame { extension_type, msg_type, payload });
            prop_assert!(records(&actions).is_empty());
            hangups += actions.iter().filter(|action| matches!(action, Action::Hangup(_))).count();
        }
        prop_assert!(hangups <= 1);
    }

    /// Any claims about the hash rate, with shares or without: a target is something a hash can meet, and never easier
    /// than the minimum.
    #[test]
    fn whatever_hash_rate_a_miner_claims_its_target_is_a_target(
        claims in proptest::collection::vec((any::<f32>(), any::<[u8; 32]>(), 0_u32..1_000_000), 1..8)
    ) {
        let minimum = MinimumWork::new(8).target();
        let mut miner = connected();
        miner.open_standard(ALICE, claims[0].0);
        if miner.channel_id == 0 {
            return Ok(());
        }
        for (seconds, (nominal_hash_rate, easiest, shares)) in (1_u64..).zip(claims) {
            prop_assert!(miner.target <= minimum && miner.target > Target::ZERO, "{:x}", miner.target);
            let update = UpdateChannelOwned {
                channel_id: miner.channel_id,
                nominal_hash_rate,
                maximum_target: easiest.into(),
            };
            miner.now_ms = seconds * 10_000;
            miner.send_frame(wire::channel_frame(MESSAGE_TYPE_UPDATE_CHANNEL, update));
            let channel = miner.pool.channels.get_mut(&miner.channel_id).unwrap();
            channel.backdate_vardiff(60, shares);
            miner.tick(seconds * 10_000 + 5_000);
        }
    }
}
