//! What is encrypted and decrypted together is what it would be one by one, whatever the order of calls.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{CodecError, FrameDecoder, FrameEncoder};
use crate::frame::{Frame, Header};
use crate::limits::Limits;
use crate::noise::ends_at_nonce;

const BIG: Limits = Limits {
    payload_bytes_max: 1 << 20,
};

fn frame(number: usize, payload_bytes: usize) -> Frame {
    Frame {
        extension_type: if number.is_multiple_of(3) { 0x8001 } else { 1 },
        msg_type: number as u8,
        payload: (0..payload_bytes)
            .map(|at| (at * 7 + number) as u8)
            .collect(),
    }
}

fn encoder(nonce: u64, has_lanes: bool, limits: Limits) -> FrameEncoder {
    FrameEncoder::new(ends_at_nonce(nonce, has_lanes).0, limits)
}

fn decoder(nonce: u64, has_lanes: bool) -> FrameDecoder {
    FrameDecoder::new(ends_at_nonce(nonce, has_lanes).1, BIG)
}

/// Empty ones, which have no block; short ones; around the longest of a run, and around the longest of a block.
fn payload_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![
        3 => Just(0_usize), 10 => 1..300_usize, 3 => 1..5_usize,
        2 => 2_040..2_056_usize, 1 => 300..2_048_usize, 1 => 65_500..65_560_usize,
    ]
}

/// The first, around where half of it overflows, and the last.
fn nonce() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => Just(0_u64), 2 => (1 << 32) - 40..1_u64 << 32, 3 => u64::MAX - 60..=u64::MAX,
    ]
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Stage,
    StageForChannel,
    Encode,
    Seal,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn however_they_are_staged_frames_are_encrypted_as_one_by_one(
        nonce in nonce(),
        calls in vec((payload_bytes(), prop::sample::select(vec![
            Call::Stage, Call::Stage, Call::Stage, Call::StageForChannel, Call::Encode, Call::Seal,
        ])), 1..40),
        payload_bytes_max in prop_oneof![4 => Just(BIG.payload_bytes_max), 1 => Just(200)],
    ) {
        let limits = Limits { payload_bytes_max };
        let mut ours = encoder(nonce, true, limits);
        let mut one_by_one = encoder(nonce, false, limits);
        let (mut out, mut expected) = (b"before".to_vec(), b"before".to_vec());
        for (number, (payload_bytes, call)) in calls.into_iter().enumerate() {
            let frame = frame(number, payload_bytes);
            match call {
                Call::Stage => prop_assert_eq!(
                    ours.stage(&frame, &mut out), one_by_one.encode(&frame, &mut expected)
                ),
                Call::StageForChannel => prop_assert_eq!(
                    ours.stage_for_channel(&frame, 7, &mut out),
                    one_by_one.encode_for_channel(&frame, 7, &mut expected)
                ),
                Call::Encode => prop_assert_eq!(
                    ours.encode(&frame, &mut out), one_by_one.encode(&frame, &mut expected)
                ),
                Call::Seal => {
                    prop_assert_eq!(ours.seal_staged(&mut out), Ok(()));
                    prop_assert!(out == expected);
                }
            }
            prop_assert_eq!(out.len(), expected.len());
        }
        prop_assert_eq!(ours.seal_staged(&mut out), Ok(()));
        prop_assert!(out == expected);
    }

    /// With a bit altered or a byte lost, in any pieces, under limits that change, not everything taken each time.
    #[test]
    fn whatever_comes_frames_and_errors_are_those_of_one_by_one(
        nonce in nonce(),
        payloads_bytes in vec(payload_bytes(), 1..40),
        altered in weighted(0.5, (any::<Index>(), 0..8_u8)),
        lost in weighted(0.2, any::<Index>()),
        pieces in vec(
            prop_oneof![1..5_usize, 20..50_usize, 50..3_000_usize, 3_000..70_000_usize], 1..20,
        ),
        is_lent in any::<bool>(),
        limits in vec(prop_oneof![8 => Just(1_usize << 20), 1 => Just(100), 1 => Just(0)], 1..10),
        taken_frames in 1..9_usize,
    ) {
        let mut wire = Vec::new();
        let mut sender = encoder(nonce, false, BIG);
        for (number, bytes) in payloads_bytes.iter().enumerate() {
            // Near the last nonce there are fewer.
            let _ = sender.encode(&frame(number, *bytes), &mut wire);
        }
        prop_assume!(!wire.is_empty());
        if let Some((at, bit)) = altered {
            let at = at.index(wire.len());
            wire[at] ^= 1_u8 << bit;
        }
        if let Some(at) = lost {
            wire.remove(at.index(wire.len()));
        }

        let (mut ours, mut one_by_one) = (decoder(nonce, true), decoder(nonce, false));
        let mut rest = &wire[..];
        for (turn, piece_bytes) in pieces.iter().cycle().enumerate() {
            let (piece, behind) = rest.split_at(rest.len().min(*piece_bytes));
            rest = behind;
            for decoder in [&mut ours, &mut one_by_one] {
                match is_lent {
                    true => decoder.lend(piece.to_vec()),
                    false => decoder.feed(piece),
                }
            }
            let taken_frames = if rest.is_empty() { usize::MAX } else { taken_frames * (turn % 5) };
            let mut frames = 0;
            while frames < taken_frames {
                let payload_bytes_max = limits[(turn + frames) % limits.len()];
                ours.set_limits(Limits { payload_bytes_max });
                one_by_one.set_limits(Limits { payload_bytes_max });
                let next = ours.next_frame();
                prop_assert_eq!(&next, &one_by_one.next_frame());
                prop_assert_eq!(ours.is_mid_frame(), one_by_one.is_mid_frame());
                if !matches!(next, Ok(Some(_))) {
                    break;
                }
                frames += 1;
            }
            prop_assert_eq!(ours.take_back().is_some(), one_by_one.take_back().is_some());
            if rest.is_empty() {
                break;
            }
        }
    }
}

#[test]
fn frames_before_one_that_is_refused_are_encrypted_and_those_behind_it_may_be() {
    let limits = Limits {
        payload_bytes_max: 100,
    };
    let frames = [frame(1, 5), frame(2, 6), frame(3, 101), frame(4, 4)];
    let (mut ours, mut one_by_one) = (encoder(0, true, limits), encoder(0, false, limits));
    let (mut out, mut expected) = (Vec::new(), Vec::new());
    let refused = ours.encode_all(&frames, &mut out);
    assert!(matches!(refused, Err(CodecError::FrameOverLimit { .. })));
    ours.encode_all(&frames[3..], &mut out).unwrap();
    for number in [0, 1, 3] {
        one_by_one.encode(&frames[number], &mut expected).unwrap();
    }
    assert!(out == expected);
}

#[test]
fn what_cannot_be_encrypted_any_more_does_not_stay_in_plaintext() {
    let mut encoder = encoder(0, true, BIG);
    let mut out = Vec::new();
    for number in 0..2 {
        encoder.stage(&frame(number, 30), &mut out).unwrap();
    }
    // Somebody takes from the buffer what was promised to stay.
    out.pop();
    assert!(encoder.seal_staged(&mut out).is_err());
    assert!(out.is_empty());
}

/// Two blocks for what announces one: a peer that has the key can send it.
#[test]
fn an_empty_payload_with_a_block_is_no_frame_of_a_run() {
    for payloads_bytes in [[0, 0, 5], [5, 0, 0], [0, 5, 5]] {
        let mut wire = Vec::new();
        let mut sealer = ends_at_nonce(0, false).0;
        for payload_bytes in payloads_bytes {
            let header = Header::new(1, 1, payload_bytes).unwrap();
            sealer.seal(&header.to_bytes(), &mut wire).unwrap();
            sealer.seal(&vec![7; payload_bytes], &mut wire).unwrap();
        }
        let all = |mut decoder: FrameDecoder| {
            decoder.feed(&wire);
            let mut frames = 0;
            loop {
                match decoder.next_frame() {
                    Ok(Some(_)) => frames += 1,
                    end => return (frames, end),
                }
            }
        };
        assert_eq!(all(decoder(0, true)), all(decoder(0, false)));
    }
}

#[test]
fn a_run_behind_bytes_that_were_set_aside_is_not_where_it_was_sealed_for() {
    let mut run = Vec::new();
    let frames: Vec<Frame> = (0..8).map(|number| frame(number, 60)).collect();
    encoder(0, true, BIG).encode_all(&frames, &mut run).unwrap();
    for before in [1, 5, 16, 21] {
        let mut decoder = decoder(0, true);
        decoder.feed(&vec![0; before]);
        assert_eq!(decoder.next_frame(), Ok(None));
        decoder.feed(&run);
        assert_eq!(decoder.next_frame(), Err(CodecError::HeaderNotAuthentic));
    }
}

/// Whoever sends what is no run again and again makes us look for one once for each read.
#[test]
fn a_run_is_looked_for_once_for_each_read() {
    let mut wire = Vec::new();
    let empty = vec![frame(1, 0); 100];
    encoder(0, true, BIG).encode_all(&empty, &mut wire).unwrap();
    let mut decoder = decoder(0, true);
    let mut looks = 0;
    for half in wire.chunks(wire.len() / 2) {
        decoder.feed(half);
        loop {
            let before = decoder.is_no_run();
            if decoder.next_frame().unwrap().is_none() {
                break;
            }
            looks += usize::from(!before && decoder.is_no_run());
        }
    }
    assert_eq!(looks, 2);
}
