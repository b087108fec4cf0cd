use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::AsyncWrite;
use winze_transport::limits::WRITE_PENDING_BYTES_MAX;
use winze_transport::{CHANNEL_BIT, CodecError, Frame, FrameWriter, Limits};

use crate::world::{LIMITS, codec_pair, connected, frame};

/// A peer that takes a few bytes at a time, and makes its writer wait before each.
struct SlowPeer {
    taken: Vec<u8>,
    bytes_per_write: usize,
    made_wait: bool,
}

impl SlowPeer {
    fn taking(bytes_per_write: usize) -> SlowPeer {
        SlowPeer {
            taken: Vec::new(),
            bytes_per_write,
            made_wait: false,
        }
    }
}

impl AsyncWrite for &mut SlowPeer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.made_wait = !self.made_wait;
        if self.made_wait {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let taken_bytes = bytes.len().min(self.bytes_per_write);
        self.taken.extend_from_slice(&bytes[..taken_bytes]);
        Poll::Ready(Ok(taken_bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Polls once and drops the future: what `select!` does to the branch that loses.
fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_slow_peer_gets_every_frame_once_while_the_writer_is_cancelled_and_fed(
        payload_bytes in vec(
            prop_oneof![8 => 0..400_usize, 1 => 2_040..2_056_usize, 1 => 60_000..80_000_usize],
            1..40,
        ),
        bytes_per_write in prop_oneof![100..400_usize, 10_000..70_000_usize],
        polls_between in 0..4_usize,
    ) {
        let sent: Vec<Frame> = (0..).zip(payload_bytes).map(|(n, b)| frame(n, b)).collect();
        let mut peer = SlowPeer::taking(bytes_per_write);
        let mut writer = FrameWriter::new(&mut peer, connected(1).0.sealer, LIMITS);
        for frame in &sent {
            writer.push(frame).unwrap();
            for _ in 0..polls_between {
                if let Some(progress) = poll_once(writer.write_some()) {
                    progress.unwrap();
                }
            }
        }
        while poll_once(writer.flush()).is_none() {}
        prop_assert_eq!(writer.pending_bytes(), 0);
        drop(writer);

        // What was encrypted together is what it would have been one by one.
        let (mut sender, mut receiver) = codec_pair(1);
        let mut one_by_one = Vec::new();
        for frame in &sent {
            sender.encode(frame, &mut one_by_one).unwrap();
        }
        prop_assert!(peer.taken == one_by_one);
        receiver.feed(&peer.taken);
        let mut received = Vec::new();
        while let Some(frame) = receiver.next_frame().unwrap() {
            received.push(frame);
        }
        prop_assert!(received == sent);
        prop_assert!(!receiver.is_mid_frame());
    }
}

#[test]
fn a_peer_that_never_reads_is_refused_more_frames_and_costs_bounded_memory() {
    let large = frame(1, LIMITS.payload_bytes_max);
    let mut peer = SlowPeer::taking(usize::MAX);
    let mut writer = FrameWriter::new(&mut peer, connected(1).0.sealer, LIMITS);
    let refused = loop {
        if let Err(error) = writer.push(&large) {
            break error;
        }
        assert!(writer.pending_bytes() < WRITE_PENDING_BYTES_MAX + 2 * LIMITS.payload_bytes_max);
    };
    let pending_bytes = writer.pending_bytes();
    assert_eq!(refused, CodecError::WriterFull { pending_bytes });

    // It reads after all: nothing was lost, and there is room again.
    while poll_once(writer.flush()).is_none() {}
    writer.push(&frame(2, 1)).unwrap();
    while poll_once(writer.flush()).is_none() {}
    drop(writer);
    let (_, mut receiver) = codec_pair(1);
    receiver.set_limits(LIMITS);
    receiver.feed(&peer.taken);
    let mut last = None;
    while let Some(frame) = receiver.next_frame().unwrap() {
        last = Some(frame);
    }
    assert_eq!(last, Some(frame(2, 1)));
}

#[test]
fn a_frame_over_the_limit_is_refused_and_the_next_one_goes_out() {
    let mut peer = SlowPeer::taking(usize::MAX);
    let limits = Limits {
        payload_bytes_max: 10,
    };
    let mut writer = FrameWriter::new(&mut peer, connected(1).0.sealer, limits);
    assert!(matches!(
        writer.push(&frame(1, 11)),
        Err(CodecError::FrameOverLimit { .. })
    ));
    assert_eq!(writer.pending_bytes(), 0);
    writer.push(&frame(2, 10)).unwrap();
    while poll_once(writer.flush()).is_none() {}
    drop(writer);

    let (_, mut receiver) = codec_pair(1);
    receiver.feed(&peer.taken);
    assert_eq!(receiver.next_frame(), Ok(Some(frame(2, 10))));
}

#[test]
fn a_frame_for_many_channels_is_to_each_reader_as_if_it_had_been_made_for_it() {
    let block = 65_519;
    let sizes = [
        4,
        5,
        200,
        block - 1,
        block,
        block + 1,
        2 * block,
        2 * block + 1,
    ];
    let (mut ours, _) = codec_pair(11);
    let (mut same, _) = codec_pair(11);
    for (number, payload_bytes) in (1..).zip(sizes) {
        let mut message = frame(number, payload_bytes);
        message.extension_type |= CHANNEL_BIT;
        let (mut shared, mut own) = (Vec::new(), Vec::new());
        ours.encode_for_channel(&message, 0x0102_0304, &mut shared)
            .unwrap();
        assert!(message.set_channel_id(0x0102_0304));
        same.encode(&message, &mut own).unwrap();
        assert!(shared == own, "payload of {payload_bytes} bytes");
    }

    // What names no channel stays as it is.
    let mut short = frame(9, 3);
    short.extension_type |= CHANNEL_BIT;
    for message in [frame(9, 0), frame(9, 200), short] {
        let (mut shared, mut own) = (Vec::new(), Vec::new());
        ours.encode_for_channel(&message, 7, &mut shared).unwrap();
        same.encode(&message, &mut own).unwrap();
        assert!(shared == own);
    }
}
