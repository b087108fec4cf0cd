use winze_transport::{
    CodecError, Frame, FrameDecoder, FrameEncoder, HEADER_BLOCK_BYTES, Initiator, Limits,
    PAYLOAD_BYTES_MAX, Responder, Session, encrypted_frame_bytes,
};

use crate::reference::{self, ReferenceInitiator, ReferencePeer};
use crate::world::{BORDERS_BYTES, NOW, authority, codec_pair, frame, hub, rng};

/// Exchanges frames of every size in both directions; ours get theirs in pieces.
fn converse(ours: Session, theirs: &mut ReferencePeer) {
    let limits = Limits {
        payload_bytes_max: PAYLOAD_BYTES_MAX,
    };
    let mut encoder = FrameEncoder::new(ours.sealer, limits);
    let mut decoder = FrameDecoder::new(ours.opener, limits);
    let sizes = BORDERS_BYTES.into_iter().chain([PAYLOAD_BYTES_MAX]);
    for (number, payload_bytes) in (0..).zip(sizes) {
        let frame = frame(number, payload_bytes);

        let mut wire = Vec::new();
        encoder.encode(&frame, &mut wire).unwrap();
        assert_eq!(wire.len(), encrypted_frame_bytes(payload_bytes));
        assert!(theirs.receive(&wire) == frame, "{payload_bytes} bytes sent");

        let wire = theirs.send(&frame);
        let (last, pieces) = wire.split_last().unwrap();
        for piece in pieces.chunks(40_001) {
            decoder.feed(piece);
            assert_eq!(decoder.next_frame(), Ok(None));
        }
        decoder.feed(&[*last]);
        assert!(
            decoder.next_frame().unwrap() == Some(frame),
            "{payload_bytes} bytes received"
        );
        assert!(!decoder.is_mid_frame());
    }

    // Many short ones, encrypted together and decrypted together.
    let frames: Vec<Frame> = (0..50)
        .map(|number| frame(number, 7 * number as usize))
        .collect();
    let mut wire = Vec::new();
    encoder.encode_all(&frames, &mut wire).unwrap();
    let mut rest = &wire[..];
    for frame in &frames {
        let (first, behind) = rest.split_at(encrypted_frame_bytes(frame.payload.len()));
        assert!(theirs.receive(first) == *frame);
        rest = behind;
    }
    assert_eq!(rest, []);
    let wire: Vec<u8> = frames.iter().flat_map(|frame| theirs.send(frame)).collect();
    decoder.feed(&wire);
    for frame in frames {
        assert!(decoder.next_frame().unwrap() == Some(frame));
    }
    assert_eq!(decoder.next_frame(), Ok(None));
}

#[test]
fn a_reference_client_talks_with_our_hub() {
    let (client, act_1) = ReferenceInitiator::start(authority().public_key(), &mut rng(1));
    let (act_2, hub) = Responder::respond(&hub(&authority()), &act_1, &mut rng(2)).unwrap();
    converse(hub, &mut client.finish(act_2, NOW).unwrap());
}

#[test]
fn our_client_talks_with_a_reference_server() {
    let (client, act_1) = Initiator::start(Some(authority().public_key()), &mut rng(1));
    let (act_2, mut server) = reference::respond(&authority(), act_1, NOW, &mut rng(2));
    converse(client.finish(&act_2, NOW).unwrap(), &mut server);
}

#[test]
fn a_network_that_alters_a_frame_ends_the_connection_and_is_told_where() {
    let payload_bytes = 65_519 + 10;
    let alter_and_decode = |position: usize| {
        let (mut sender, mut receiver) = codec_pair(1);
        let mut wire = Vec::new();
        sender.encode(&frame(1, payload_bytes), &mut wire).unwrap();
        wire[position] ^= 1;
        sender.encode(&frame(2, 5), &mut wire).unwrap();
        receiver.feed(&wire);
        let first = receiver.next_frame();
        assert_eq!(receiver.next_frame(), first, "the error is final");
        first.unwrap_err()
    };
    let in_payload = |offset_bytes| CodecError::PayloadNotAuthentic {
        extension_type: 0x4802,
        msg_type: 1,
        offset_bytes,
    };
    for position in 0..HEADER_BLOCK_BYTES {
        let expected = CodecError::HeaderNotAuthentic;
        assert_eq!(alter_and_decode(position), expected, "byte {position}");
    }
    let (first_block, second_block) = (22, 22 + 65_535);
    for (position, expected) in [
        (first_block, in_payload(0)),
        (second_block - 1, in_payload(0)),
        (second_block, in_payload(65_519)),
        (second_block + 10 + 15, in_payload(65_519)),
    ] {
        assert_eq!(alter_and_decode(position), expected, "byte {position}");
    }
}

#[test]
fn whichever_byte_the_network_alters_of_frames_that_come_together_those_before_it_are_given() {
    let frames: Vec<Frame> = (0..4).map(|number| frame(number, 100)).collect();
    let frame_bytes = encrypted_frame_bytes(100);
    let mut wire = Vec::new();
    codec_pair(1).0.encode_all(&frames, &mut wire).unwrap();
    for position in 0..wire.len() {
        let mut altered = wire.clone();
        altered[position] ^= 0x10;
        let (_, mut receiver) = codec_pair(1);
        receiver.feed(&altered);
        for frame in &frames[..position / frame_bytes] {
            assert_eq!(receiver.next_frame().as_ref(), Ok(&Some(frame.clone())));
        }
        let expected = match position % frame_bytes < HEADER_BLOCK_BYTES {
            true => CodecError::HeaderNotAuthentic,
            false => CodecError::PayloadNotAuthentic {
                extension_type: 0x4802,
                msg_type: frames[position / frame_bytes].msg_type,
                offset_bytes: 0,
            },
        };
        assert_eq!(receiver.next_frame(), Err(expected), "byte {position}");
    }
}

#[test]
fn frames_that_the_network_repeats_drops_or_swaps_are_refused() {
    let (mut sender, _) = codec_pair(1);
    let frames = [1, 2, 3].map(|number| {
        let mut wire = Vec::new();
        sender.encode(&frame(number, 100), &mut wire).unwrap();
        wire
    });
    for (order, good) in [([0, 0], 1), ([0, 2], 1), ([1, 0], 0)] {
        let (_, mut receiver) = codec_pair(1);
        for index in order {
            receiver.feed(&frames[index]);
        }
        for _ in 0..good {
            assert!(receiver.next_frame().unwrap().is_some());
        }
        assert_eq!(
            receiver.next_frame(),
            Err(CodecError::HeaderNotAuthentic),
            "order {order:?}"
        );
    }
}
