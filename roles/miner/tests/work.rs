//! The work of a channel, judged by the reference crates' server channels.

mod support;

use std::sync::Arc;

use stratum_core::mining_sv2::SetTarget;
use support::{CHANNEL_ID, NBITS_MAINNET, NBITS_REGTEST, ReferenceChannel, frame, heard};
use winze_miner::limits::CHUNK_NONCES;
use winze_miner::work::WorkError;
use winze_miner::{Assignment, ChannelKind, ChannelWork, Share, Target};

/// The shares of as many chunks, found one by one.
fn mine(work: &Assignment, chunks: usize) -> Vec<Share> {
    let mut shares = Vec::new();
    for _ in 0..chunks {
        let chunk = work.take_chunk(0).unwrap();
        let mut searcher = chunk.header.searcher();
        for nonce in chunk.nonce_start..chunk.nonce_start + CHUNK_NONCES {
            let hash = searcher.hash(nonce);
            if work.target().is_met_by(&hash) {
                shares.push(work.share(&chunk, nonce, hash));
            }
        }
    }
    shares
}

fn started(pool: &mut ReferenceChannel, nbits: u32) -> (ChannelWork, Arc<Assignment>) {
    let mut work = ChannelWork::new(pool.terms());
    let [job, tip] = pool.next_block(1, [9; 32], nbits);
    assert!(
        !work.apply(&heard(job)).unwrap(),
        "a future job is not mined yet"
    );
    assert!(work.apply(&heard(tip)).unwrap());
    let assignment = Arc::clone(work.assignment().unwrap());
    (work, assignment)
}

#[test]
fn a_reference_pool_accepts_what_is_found_on_both_kinds_of_channel() {
    for kind in [ChannelKind::Standard, ChannelKind::Extended] {
        let mut pool = ReferenceChannel::open(kind, 9);
        let (_, assignment) = started(&mut pool, NBITS_MAINNET);
        let shares = mine(&assignment, 2);
        assert!(shares.len() > 4, "about 16 in 8192 hashes");
        for (sequence_number, share) in (0..).zip(&shares) {
            let verdict = pool.validate(sequence_number, share).unwrap();
            assert_eq!(verdict.header_hash, share.header_hash);
            assert!(share.zero_bits >= 9 && !share.meets_network_target);
        }
        let again = pool.validate(1000, &shares[0]).unwrap_err();
        assert_eq!(again, "duplicate-share");
    }
}

#[test]
fn a_share_is_called_a_block_exactly_when_the_reference_pool_finds_one() {
    let mut pool = ReferenceChannel::open(ChannelKind::Extended, 0);
    let (_, assignment) = started(&mut pool, NBITS_REGTEST);
    let (mut blocks, mut others) = (0, 0);
    for (sequence_number, share) in (0..).zip(mine(&assignment, 1).iter().take(64)) {
        let verdict = pool.validate(sequence_number, share).unwrap();
        assert_eq!(verdict.is_block, share.meets_network_target);
        if verdict.is_block {
            blocks += 1
        } else {
            others += 1
        }
    }
    assert!(blocks > 0 && others > 0, "{blocks} blocks, {others} others");
}

#[test]
fn a_new_block_makes_the_shares_of_the_old_one_stale() {
    let mut pool = ReferenceChannel::open(ChannelKind::Standard, 8);
    let (mut work, before) = started(&mut pool, NBITS_MAINNET);
    let old = mine(&before, 1).remove(0);

    let [job, tip] = pool.next_block(2, [10; 32], NBITS_MAINNET);
    work.apply(&heard(job)).unwrap();
    assert!(work.apply(&heard(tip)).unwrap());
    let after = work.assignment().unwrap();
    assert!(!after.is_same_job(&before), "the miner knows it, too");
    assert_eq!(pool.validate(0, &old).unwrap_err(), "stale-share");
    let new = mine(after, 1).remove(0);
    pool.validate(1, &new).unwrap();
}

#[test]
fn a_harder_target_counts_at_once_an_easier_one_from_the_next_job_on() {
    let mut pool = ReferenceChannel::open(ChannelKind::Standard, 10);
    let (mut work, assignment) = started(&mut pool, NBITS_MAINNET);
    let first = assignment.take_chunk(0).unwrap().nonce_start;
    let set = |zero_bits: u32| {
        let target = Target::from_zero_bits(zero_bits).to_le_bytes();
        heard(frame(
            true,
            0x21,
            SetTarget {
                channel_id: CHANNEL_ID,
                maximum_target: (&target).into(),
            },
        ))
    };
    assert!(!work.apply(&set(4)).unwrap(), "easier: not for this job");
    assert!(work.apply(&set(12)).unwrap(), "harder: at once");
    let harder = work.assignment().unwrap();
    assert_eq!(harder.target(), Target::from_zero_bits(12));
    let next = harder.take_chunk(0).unwrap().nonce_start;
    assert_ne!(first, next, "no work is done twice over it");

    work.apply(&set(4)).unwrap();
    let [job, tip] = pool.next_block(2, [10; 32], NBITS_MAINNET);
    work.apply(&heard(job)).unwrap();
    work.apply(&heard(tip)).unwrap();
    assert_eq!(
        work.assignment().unwrap().target(),
        Target::from_zero_bits(4)
    );
}

#[test]
fn a_tip_for_a_job_that_never_came_is_the_pools_fault_and_changes_nothing() {
    let mut pool = ReferenceChannel::open(ChannelKind::Standard, 10);
    let (mut work, assignment) = started(&mut pool, NBITS_MAINNET);
    let [_lost_job, tip] = pool.next_block(2, [10; 32], NBITS_MAINNET);
    assert!(matches!(
        work.apply(&heard(tip)),
        Err(WorkError::UnknownJob { .. })
    ));
    assert!(Arc::ptr_eq(work.assignment().unwrap(), &assignment));
}
