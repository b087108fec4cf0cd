use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncRead, ReadBuf};
use winze_transport::{
    CodecError, Frame, FrameEncoder, FrameReader, Limits, PAYLOAD_BYTES_MAX, ReadError,
    encrypted_frame_bytes,
};

use crate::world::{BORDERS_BYTES, LIMITS, codec_pair, connected, frame};

/// A network that hands out bytes in given pieces, and makes its reader wait before each.
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    made_wait: bool,
}

impl Pieces {
    /// Cuts `wire` into pieces of the given sizes, over and over.
    fn cut(mut wire: &[u8], sizes: &[usize]) -> Pieces {
        let mut pieces = VecDeque::new();
        let mut sizes = sizes.iter().cycle();
        while !wire.is_empty() {
            let size = sizes
                .next()
                .map_or(wire.len(), |size| (*size).min(wire.len()));
            let (piece, rest) = wire.split_at(size);
            pieces.push_back(piece.to_vec());
            wire = rest;
        }
        Pieces {
            pieces,
            made_wait: false,
        }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.made_wait = !self.made_wait;
        if self.made_wait {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(mut piece) = self.pieces.pop_front() {
            let rest = piece.split_off(piece.len().min(buffer.remaining()));
            buffer.put_slice(&piece);
            if !rest.is_empty() {
                self.pieces.push_front(rest);
            }
        }
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

/// A reader that is cancelled at every await, until it is at its end or at an error.
fn read_all(
    reader: &mut FrameReader<Pieces>,
    frames_max: usize,
) -> (Vec<Frame>, Option<ReadError>) {
    let mut frames = Vec::new();
    loop {
        let before = frames.len();
        match poll_once(reader.read_batch(&mut frames, frames_max)) {
            None => assert_eq!(
                frames.len(),
                before,
                "cancelled, and yet something was taken"
            ),
            Some(Ok(0)) => return (frames, None),
            Some(Ok(count)) => {
                assert_eq!(frames.len(), before + count);
                assert!(count <= frames_max.max(1));
            }
            Some(Err(error)) => return (frames, Some(error)),
        }
    }
}

fn wire_of(frames: &[Frame]) -> Vec<u8> {
    let (mut sender, _) = codec_pair(1);
    let mut wire = Vec::new();
    for frame in frames {
        sender.encode(frame, &mut wire).unwrap();
    }
    wire
}

/// A byte more or less than what a block, or a read, takes whole.
fn border_bytes() -> impl Strategy<Value = usize> {
    prop::sample::select(&BORDERS_BYTES[..9])
}

fn hub_reader(network: Pieces, limits: Limits) -> FrameReader<Pieces> {
    FrameReader::new(network, connected(1).1.opener, limits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_frames_are_the_same_however_the_network_cuts_them_and_the_caller_cancels(
        payload_bytes in vec(prop_oneof![4 => 0..300_usize, 1 => border_bytes(), 1 => 60_000..140_000_usize], 0..12),
        piece_bytes in vec(prop_oneof![1..50_usize, 1..100_000_usize], 1..8),
        frames_max in 0..6_usize,
    ) {
        let sent: Vec<Frame> = (0..).zip(payload_bytes).map(|(n, b)| frame(n, b)).collect();
        let wire = wire_of(&sent);
        let mut reader = hub_reader(Pieces::cut(&wire, &piece_bytes), LIMITS);
        let (received, error) = read_all(&mut reader, frames_max);
        prop_assert!(error.is_none(), "{error:?}");
        prop_assert!(received == sent);
        prop_assert_eq!(reader.bytes_received(), wire.len() as u64);
    }
}

#[test]
fn one_read_gives_every_whole_frame_in_it() {
    let sent: Vec<Frame> = (0..100).map(|number| frame(number, 200)).collect();
    let mut wire = wire_of(&sent);
    wire.truncate(wire.len() - 1);
    let mut reader = hub_reader(Pieces::cut(&wire, &[]), LIMITS);

    let mut frames = Vec::new();
    assert!(poll_once(reader.read_batch(&mut frames, 1000)).is_none());
    let batch = poll_once(reader.read_batch(&mut frames, 1000)).unwrap();
    assert_eq!(batch.unwrap(), 99);
    assert!(frames == sent[..99]);
}

#[test]
fn the_longest_frame_there_is_passes_a_reader() {
    let limits = Limits {
        payload_bytes_max: PAYLOAD_BYTES_MAX,
    };
    let mut encoder = FrameEncoder::new(connected(1).0.sealer, limits);
    let sent = [PAYLOAD_BYTES_MAX, 5].map(|payload_bytes| frame(1, payload_bytes));
    let mut wire = Vec::new();
    for frame in &sent {
        encoder.encode(frame, &mut wire).unwrap();
    }
    let mut reader = hub_reader(Pieces::cut(&wire, &[50_000, 70_000]), limits);
    let (received, error) = read_all(&mut reader, 1);
    assert!(error.is_none(), "{error:?}");
    assert!(received == sent);
    assert_eq!(received[0].payload.capacity(), PAYLOAD_BYTES_MAX);
}

#[test]
fn two_connections_of_one_thread_do_not_mix_what_they_read() {
    let sent = |of: u8| [frame(of, 70_000), frame(of + 1, 3), frame(of + 2, 9_000)];
    let (wires, mut received) = (
        [sent(10), sent(20)].map(|sent| wire_of(&sent)),
        [vec![], vec![]],
    );
    // Each is left in the middle of a block, and with frames that were not taken, while the other reads.
    let mut readers = wires.map(|wire| hub_reader(Pieces::cut(&wire, &[1_000, 66_000]), LIMITS));
    let mut ended = 0;
    while ended < 2 {
        ended = 0;
        for (reader, received) in readers.iter_mut().zip(&mut received) {
            ended += usize::from(matches!(
                poll_once(reader.read_batch(received, 1)),
                Some(Ok(0))
            ));
        }
    }
    assert!(received[0] == sent(10) && received[1] == sent(20));
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_an_error_and_between_two_is_not() {
    let sent = [frame(1, 30), frame(2, 0), frame(3, 7)];
    let wire = wire_of(&sent);
    let ends = [0, 30, 30 + 22].map(|bytes| match bytes {
        0 => 0,
        _ => encrypted_frame_bytes(30) + bytes - 30,
    });
    for cut in 0..wire.len() {
        let mut reader = hub_reader(Pieces::cut(&wire[..cut], &[]), LIMITS);
        let (frames, error) = read_all(&mut reader, 10);
        match ends.contains(&cut) {
            true => assert!(error.is_none(), "cut at {cut}: {error:?}"),
            false => assert!(matches!(error, Some(ReadError::CutOff)), "cut at {cut}"),
        }
        assert!(sent.starts_with(&frames));
    }
}

#[test]
fn good_frames_before_a_bad_one_arrive_whatever_the_cut() {
    let sent = [frame(1, 10), frame(2, 20), frame(3, 500)];
    let wire = wire_of(&sent);
    let limits = Limits {
        payload_bytes_max: 499,
    };
    for piece_bytes in [1, 23, wire.len()] {
        let mut reader = hub_reader(Pieces::cut(&wire, &[piece_bytes]), limits);
        let (frames, error) = read_all(&mut reader, 10);
        assert_eq!(frames, sent[..2]);
        assert!(matches!(
            error,
            Some(ReadError::Codec(CodecError::AnnouncedOverLimit {
                payload_bytes: 500,
                payload_bytes_max: 499,
                ..
            }))
        ));
    }
}
