//! The sequences out of any bytes, for a fuzzer and for what it has found.

use winze_fuzz_harness::wire_frames;

use super::group_sequences::{GroupOp, check_groups_after};
use super::noise::{check_noise_hurts_nobody_else, check_noise_to_a_group_hurts_nobody_else};
use super::sequences::{Op, check_promises_after};
use super::*;

/// More operations make a run slower and find nothing new.
const OPS_MAX: usize = 250;

/// What strangers are, each with connections of their own.
const STRANGERS: usize = 4;

/// Clients that keep the rules: four bytes are one operation.
pub fn hub_sequences(data: &[u8]) {
    let (ops, _) = data.as_chunks();
    let ops: Vec<Op> = ops.iter().take(OPS_MAX).map(op).collect();
    check_promises_after(&ops);
}

/// An opener of a group and its members, that keep the rules: four bytes are one operation.
pub fn hub_groups(data: &[u8]) {
    let (ops, _) = data.as_chunks();
    let ops: Vec<GroupOp> = ops.iter().take(OPS_MAX).map(group_op).collect();
    check_groups_after(&ops);
}

/// One client that is let in and then sends any frames.
pub fn hub_noise(data: &[u8]) {
    check_noise_hurts_nobody_else(wire_frames(data));
    check_noise_to_a_group_hurts_nobody_else(wire_frames(data));
}

/// Connections of nobody: each frame goes to the one that the last byte of its payload says. A stranger that repeats
/// the proof of another connection, or makes one up, stays outside, and a pool and a mint beside it notice nothing.
pub fn hub_strangers(data: &[u8]) {
    let mut net = Net::new();
    let ends = net.joined(VENDOR, PLENTY);
    let strangers: Vec<ConnId> = (0..STRANGERS).map(|_| net.dial()).collect();
    net.events();
    for frame in wire_frames(data) {
        let place = frame.payload.last().copied().unwrap_or(0);
        let stranger = strangers[usize::from(place) % STRANGERS];
        net.send(stranger, [frame]);
        assert!(!net.core.is_authenticated(stranger));
        net.receive(stranger);
    }
    let let_in = |event| matches!(event, Event::Authenticated { .. });
    assert!(!net.events().into_iter().any(let_in));
    net.send(ends.pool, [vendor(ends.pool_id, 7, 10)]);
    assert_eq!(numbers(net.receive(ends.mint)), [7]);
}

fn op(bytes: &[u8; 4]) -> Op {
    let [kind, place, low, high] = *bytes;
    let (who, channel) = (usize::from(place % 3), place / 3 % 8);
    let bytes = u16::from_le_bytes([low, high]);
    // Sending and reading have the most to say.
    match kind % 16 {
        0 => Op::Connect { who },
        1 => Op::Drop { who },
        2 | 3 => Op::Open {
            pool: usize::from(place % 2),
            label: low % 3,
        },
        4 | 5 => Op::AnswerOffers {
            refuse: place > 230,
            credit: low % 20,
        },
        6..=8 => Op::Send {
            who,
            channel,
            bytes: bytes % 4_000,
        },
        9 => Op::SendBad { who, channel },
        10..=12 => Op::Read {
            who,
            bytes: bytes % 5_000 + 1,
        },
        13 => Op::Raise {
            who,
            channel,
            messages: low % 20,
        },
        14 => Op::Close { who, channel },
        _ if low < 200 => Op::Pass { ms: low % 100 },
        _ => Op::Relist { list: low % 6 },
    }
}

fn group_op(bytes: &[u8; 4]) -> GroupOp {
    let [kind, place, low, high] = *bytes;
    let (who, signer, member) = (usize::from(place % 4), usize::from(place % 3), place % 4);
    let bytes = u16::from_le_bytes([low, high]);
    let filler = bytes % 4_000;
    match kind % 16 {
        0 => GroupOp::Connect { who },
        1 => GroupOp::Drop { who },
        2 => GroupOp::Open,
        3 | 4 => GroupOp::AnswerOffers {
            signer,
            refuse: place > 240,
            credit: low % 20,
        },
        5..=7 => GroupOp::ToAll {
            bad: place > 240,
            filler,
        },
        8 => GroupOp::ToOne { member, filler },
        9 => GroupOp::Answer { signer, filler },
        10..=12 => GroupOp::Read {
            who,
            bytes: bytes % 5_000 + 1,
        },
        13 => GroupOp::Raise {
            who,
            member: low % 3,
            messages: high % 10,
        },
        14 if low < 128 => GroupOp::GiveUp { member },
        14 => GroupOp::Leave { signer },
        _ => GroupOp::Relist { list: low },
    }
}

#[cfg(test)]
mod corpora {
    use winze_fuzz_harness::replay;

    #[test]
    fn what_the_fuzzer_found_for_clients_that_keep_the_rules() {
        replay("hub_sequences", super::hub_sequences);
    }

    #[test]
    fn what_the_fuzzer_found_for_a_group_that_keeps_the_rules() {
        replay("hub_groups", super::hub_groups);
    }

    #[test]
    fn what_the_fuzzer_found_for_a_noisy_client() {
        replay("hub_noise", super::hub_noise);
    }

    #[test]
    fn what_the_fuzzer_found_for_strangers() {
        replay("hub_strangers", super::hub_strangers);
    }
}
