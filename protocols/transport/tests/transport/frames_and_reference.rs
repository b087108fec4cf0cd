use winze_transport::{
    CodecError, FrameDecoder, FrameEncoder, HEADER_BLOCK_BYTES, Initiator, Limits,
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
