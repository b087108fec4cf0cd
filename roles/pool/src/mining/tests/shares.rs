use bitcoin::Target;
use stratum_core::mining_sv2::*;

use super::rig::*;
use crate::mining::{Action, Intake, Recorded, codes, wire};
use crate::work::leading_zero_bits;

const START: u32 = 1_800_000_000;

fn mining(zero_bits: u8, bits: u32) -> Rig {
    let mut rig = Rig::connected(zero_bits, work(1, template(1, bits, START)));
    rig.open_standard(ALICE, 1.0);
    rig
}

#[test]
fn a_share_is_acknowledged_once_it_is_on_disk_and_not_before() {
    let mut alice = mining(6, HARD);
    let (nonce, on_submit) = alice.find_and_submit(0);
    assert!(types(&on_submit).is_empty(), "no word before the commit");
    let share = records(&on_submit).remove(0);
    let zero_bits = leading_zero_bits(&share.header_hash);
    assert_eq!(share.amount, 1 << (zero_bits - 6));
    assert!(share.miner.locking_key.to_string().starts_with("0279be"));

    let (_, second) = alice.find_and_submit(nonce + 1);
    let second = records(&second).remove(0);
    let stored = vec![(share, Recorded::Stored), (second, Recorded::Stored)];
    let on_commit = alice.recorded(stored);
    assert_eq!(successes(&on_commit), [(2, 2)], "one message for both");
}

#[test]
fn while_the_tip_may_be_an_old_one_no_share_is_paid_for_and_blocks_are_offered_all_the_same() {
    let mut alice = mining(4, EASY);
    alice.intake = Intake::TemplateOutdated;
    let (nonce, answers) = alice.find_and_submit(0);
    assert_eq!(
        error_code(&answers).unwrap(),
        codes::BLOCK_TEMPLATE_OUTDATED
    );
    assert!(records(&answers).is_empty());
    let block = |action: &Action| matches!(action, Action::Submit(_));
    assert!(answers.iter().any(block), "a block that could be the next");
    let opened = alice.open_standard(ALICE, 1.0);
    assert_eq!(error_code(&opened).unwrap(), codes::BLOCK_TEMPLATE_OUTDATED);

    alice.intake = Intake::Open;
    let (_, answers) = alice.find_and_submit(nonce + 1);
    assert_eq!(records(&answers).len(), 1, "the channel is still open");
}

#[test]
fn shares_that_fail_on_the_way_to_the_disk_are_told_from_those_that_made_it() {
    let mut alice = mining(4, HARD);
    let mut shares = Vec::new();
    let mut nonce = 0;
    for _ in 0..6 {
        let (found, actions) = alice.find_and_submit(nonce);
        nonce = found + 1;
        shares.extend(records(&actions));
    }
    // The second one is known from before a restart, the disk was full for the third, and the mint far behind at
    // the fourth and, with this miner's, at the fifth.
    let outcomes = [
        Recorded::Stored,
        Recorded::Duplicate,
        Recorded::Failed,
        Recorded::BacklogFull,
        Recorded::MinerBacklogFull,
        Recorded::Stored,
    ];
    let answers = alice.recorded(shares.into_iter().zip(outcomes).collect());
    assert_eq!(successes(&answers), [(6, 2)]);
    let refused: Vec<_> = answers
        .iter()
        .filter_map(|action| match action {
            Action::Refused(code) => Some(*code),
            _ => None,
        })
        .collect();
    let expected = [
        "duplicate-share",
        codes::STORAGE_FAILED,
        codes::QUOTE_BACKLOG_FULL,
        codes::MINER_BACKLOG_FULL,
    ];
    assert_eq!(refused, expected);
    // Every share up to 6 has its answer when the success that names 6 arrives.
    assert_eq!(
        types(&answers).last(),
        Some(&MESSAGE_TYPE_SUBMIT_SHARES_SUCCESS)
    );
}

#[test]
fn a_share_counts_once_and_only_on_the_present_block() {
    let mut alice = mining(4, HARD);
    let (nonce, _) = alice.find_and_submit(0);
    let again = alice.submit(nonce);
    assert_eq!(error_code(&again).as_deref(), Some("duplicate-share"));

    let old_job = alice.job.clone().unwrap();
    let (late, _) = alice.grind(nonce + 1, |_| true);
    let tip = alice.new_work(work(2, template(2, HARD, START + 60)));
    assert_eq!(
        types(&tip),
        [
            MESSAGE_TYPE_NEW_MINING_JOB,
            MESSAGE_TYPE_MINING_SET_NEW_PREV_HASH
        ]
    );
    let stale = alice.submit_job(&old_job, late);
    assert_eq!(error_code(&stale).as_deref(), Some("stale-share"));

    let (_, fresh) = alice.find_and_submit(0);
    assert_eq!(records(&fresh).len(), 1);
}

#[test]
fn a_job_that_was_replaced_on_the_same_block_still_pays() {
    let mut alice = mining(4, HARD);
    let target = alice.target;
    let (nonce, _) = alice.grind(0, |hash| hash <= target);
    let old_job = alice.job.clone().unwrap();
    let refresh = alice.new_work(work(2, template(1, HARD, START + 30)));
    assert_eq!(types(&refresh), [MESSAGE_TYPE_NEW_MINING_JOB]);
    assert_ne!(alice.job.clone().unwrap().job_id, old_job.job_id);
    assert_eq!(records(&alice.submit_job(&old_job, nonce)).len(), 1);
}

#[test]
fn work_below_the_target_is_refused() {
    let mut alice = mining(8, HARD);
    let target = alice.target;
    let (nonce, _) = alice.grind(0, |hash| hash > target);
    let answer = alice.submit(nonce);
    assert_eq!(error_code(&answer).as_deref(), Some("difficulty-too-low"));
    assert!(records(&answer).is_empty());
}

#[test]
fn a_block_is_handed_over_whole_from_either_kind_of_channel() {
    for extended in [false, true] {
        let mut alice = Rig::connected(4, work(1, template(1, EASY, START)));
        if extended {
            alice.open_extended(ALICE, 4);
        } else {
            alice.open_standard(ALICE, 1.0);
        }
        let (_, actions) = alice.find_and_submit(0);
        let share = records(&actions).remove(0);
        let block = actions
            .iter()
            .find_map(|action| match action {
                Action::Submit(block) => Some(block.clone()),
                _ => None,
            })
            .expect("regtest's target is met by any share");
        let decoded: bitcoin::Block = bitcoin::consensus::deserialize(&block.bytes).unwrap();
        assert_eq!(decoded.block_hash(), block.hash);
        assert_eq!(AsRef::<[u8; 32]>::as_ref(&block.hash), &share.header_hash);
        assert!(decoded.check_merkle_root());
        assert!(decoded.check_witness_commitment());
        assert_eq!(decoded.bip34_block_height(), Ok(840_000));
        let paid = &decoded.txdata[0].output[0];
        assert_eq!(paid.value.to_sat(), 312_500_000);
        assert_eq!(paid.script_pubkey.as_bytes(), [0x51]);
    }
}

#[test]
fn a_block_that_is_worth_no_quote_still_reaches_the_network() {
    let mut alice = mining(20, EASY);
    let easy = Target::from_compact(bitcoin::CompactTarget::from_consensus(EASY));
    let least = alice.target;
    let (nonce, _) = alice.grind(0, |hash| hash <= easy && hash > least);
    let actions = alice.submit(nonce);
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Submit(_)))
    );
    assert_eq!(error_code(&actions).as_deref(), Some("difficulty-too-low"));
    assert!(records(&actions).is_empty());
}

#[test]
fn a_channel_that_cannot_tell_duplicates_any_more_is_closed_in_good_order() {
    // With no minimum every hash is a share. The least number that channels_sv2 remembers is 4,096.
    let mut alice = Rig::connected(0, work(1, template(1, HARD, START)));
    alice.open_standard(ALICE, 0.0);
    let mut waiting = Vec::new();
    for nonce in 0..4_096 {
        waiting.extend(records(&alice.submit(nonce)));
    }
    assert_eq!(
        waiting.len(),
        4_096,
        "the last one that can be told is taken too"
    );
    let after = alice.submit(5_000);
    assert_eq!(error_code(&after).as_deref(), Some(codes::CHANNEL_CLOSING));

    let last = waiting.pop().unwrap();
    let stored = |share| (share, Recorded::Stored);
    let answers = alice.recorded(waiting.into_iter().map(stored).collect());
    assert_eq!(types(&answers), [MESSAGE_TYPE_SUBMIT_SHARES_SUCCESS]);
    let answers = alice.recorded(vec![stored(last)]);
    assert_eq!(
        types(&answers),
        [
            MESSAGE_TYPE_SUBMIT_SHARES_SUCCESS,
            MESSAGE_TYPE_CLOSE_CHANNEL
        ]
    );
    assert_eq!(alice.pool.channel_count(), 0);

    alice.open_standard(ALICE, 1.0);
    let (_, reopened) = alice.find_and_submit(0);
    assert_eq!(records(&reopened).len(), 1);
}

/// Miners begin each job at the start of its search space. Where nothing has changed but the job, that must not be the
/// work they have done already.
#[test]
fn a_job_made_anew_on_an_unchanged_block_is_new_work() {
    for extended in [false, true] {
        let mut alice = Rig::connected(8, work(1, template(1, HARD, START)));
        if extended {
            alice.open_extended(ALICE, 4);
        } else {
            alice.open_standard(ALICE, 1.0);
        }
        let (_, found) = alice.find_and_submit(0);
        assert_eq!(records(&found).len(), 1);
        alice.new_work(work(2, template(1, HARD, START + 30)));
        let (_, found) = alice.find_and_submit(0);
        assert_eq!(error_code(&found), None, "after a refresh");

        // A new target comes with a job too; here a slightly easier one, so that old shares would meet it.
        for (now_ms, nominal_hash_rate) in [(1_000, 100.0), (2_000, 90.0)] {
            let update = UpdateChannelOwned {
                channel_id: alice.channel_id,
                nominal_hash_rate,
                maximum_target: [0xff; 32].into(),
            };
            let before = alice.target;
            alice.now_ms = now_ms;
            alice.send_frame(wire::channel_frame(MESSAGE_TYPE_UPDATE_CHANNEL, update));
            assert_ne!(alice.target, before);
            let (_, found) = alice.find_and_submit(0);
            assert_eq!(error_code(&found), None, "after a new target");
        }
    }
}
