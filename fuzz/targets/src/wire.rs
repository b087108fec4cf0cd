use winze_fuzz_harness::wire_frames;
use winze_transport::{CodecError, Frame, FrameDecoder, FrameEncoder, Limits};

use crate::handshake::connection;

/// What the receiver takes, in bytes of payload; some frames are longer.
const TAKEN_BYTES_MAX: usize = 1_000;

/// Bytes in front of the frames: the length of the pieces that they arrive in (255 for all at once), and which byte of the stream is changed how.
const HEAD_BYTES: usize = 1 + 2 + 1;

/// Frames that were encrypted arrive as they were, however the stream is cut to pieces, up to the first byte that the
/// network changed or the first that is too long; behind it nothing does. Bytes that nobody encrypted are no frame.
pub fn wire(data: &[u8]) {
    let Some((head, frames)) = data.split_first_chunk::<HEAD_BYTES>() else {
        return;
    };
    let [piece_bytes, at_low, at_high, change] = *head;
    let piece_bytes = match piece_bytes {
        u8::MAX => usize::MAX,
        bytes => usize::from(bytes).max(1),
    };
    let sent: Vec<Frame> = wire_frames(frames).collect();

    let (client, server) = connection();
    let mut encoder = FrameEncoder::new(client.sealer, limits(usize::MAX));
    let mut stream = Vec::new();
    let mut ends = Vec::new();
    for frame in &sent {
        encoder.encode(frame, &mut stream).expect("it fits");
        ends.push(stream.len());
    }
    let (client, _) = connection();
    let mut together = Vec::new();
    let mut encoder = FrameEncoder::new(client.sealer, limits(usize::MAX));
    encoder.encode_all(&sent, &mut together).expect("they fit");
    assert!(together == stream);

    let mut whole = sent.len();
    if !stream.is_empty() && change != 0 {
        let at = usize::from(u16::from_le_bytes([at_low, at_high])) % stream.len();
        stream[at] ^= change;
        whole = ends.iter().take_while(|end| **end <= at).count();
    }
    let short = |frame: &&Frame| frame.payload.len() <= TAKEN_BYTES_MAX;
    let expected = sent.iter().take(whole).take_while(short).count();

    let mut decoder = FrameDecoder::new(server.opener, limits(TAKEN_BYTES_MAX));
    let (arrived, error) = decode(&mut decoder, &stream, piece_bytes);
    assert!(arrived == sent[..expected], "{arrived:?}");
    assert_eq!(error.is_some(), expected < sent.len(), "{error:?}");

    let (_, server) = connection();
    let mut decoder = FrameDecoder::new(server.opener, limits(TAKEN_BYTES_MAX));
    let (arrived, _) = decode(&mut decoder, data, piece_bytes);
    assert!(arrived.is_empty());
}

/// What arrives of a stream in pieces, and the error that ends it, which stays.
fn decode(
    decoder: &mut FrameDecoder,
    stream: &[u8],
    piece_bytes: usize,
) -> (Vec<Frame>, Option<CodecError>) {
    let (mut arrived, mut first) = (Vec::new(), None);
    for piece in stream.chunks(piece_bytes) {
        decoder.feed(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => arrived.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(*first.get_or_insert(error), error);
                    break;
                }
            }
            assert_eq!(first, None, "a frame after an error");
        }
    }
    (arrived, first)
}

fn limits(payload_bytes_max: usize) -> Limits {
    Limits { payload_bytes_max }
}
