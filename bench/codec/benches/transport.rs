//! What the transport costs by itself: a block, a batch of frames, a handshake.
//!
//! `cargo bench --bench transport` in `bench/codec/`; what follows `--` picks by name, as in `-- batch`.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use winze_transport::noise::MAC_BYTES;
use winze_transport::{
    Certificate, Frame, FrameDecoder, FrameEncoder, FrameReader, FrameWriter, Initiator, Limits,
    Responder, SecretKey, ServerIdentity, Session,
};

const NOW_UNIX_S: u32 = 1_794_000_000;

const LIMITS: Limits = Limits {
    payload_bytes_max: 1 << 20,
};

/// Frames in a batch: about what a read of a busy stream holds at 200 bytes.
const BATCH_FRAMES: usize = 256;

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn authority() -> SecretKey {
    SecretKey::from_bytes(&[1; 32]).expect("it is a scalar")
}

fn identity() -> ServerIdentity {
    let static_key = SecretKey::from_bytes(&[2; 32]).expect("it is a scalar");
    let (from, until) = (NOW_UNIX_S - 60, NOW_UNIX_S + 60);
    let certificate =
        Certificate::sign(&authority(), static_key.public_key(), from, until, &[3; 32]);
    ServerIdentity::new(static_key, certificate).expect("they belong together")
}

fn connect(identity: &ServerIdentity, rng: &mut ChaCha20Rng) -> (Session, Session) {
    let (initiator, act_1) = Initiator::start(Some(authority().public_key()), rng);
    let (act_2, server) = Responder::respond(identity, &act_1, rng).expect("any act is answered");
    let client = initiator
        .finish(&act_2, NOW_UNIX_S)
        .expect("nothing was altered");
    (client, server)
}

/// One block under the session's cipher: a header's 6 bytes, payloads, and the longest there is.
fn block(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("block");
    for text_bytes in [6, 64, 200, 1_024, 16_384, 65_519] {
        let (mut client, mut server) = connect(&identity(), &mut rng());
        let text = vec![7; text_bytes];
        group.throughput(Throughput::Bytes(text_bytes as u64));
        let mut sealed = Vec::with_capacity(text_bytes + MAC_BYTES);
        group.bench_function(BenchmarkId::new("seal", text_bytes), |bencher| {
            bencher.iter(|| {
                sealed.clear();
                client.sealer.seal(black_box(&text), &mut sealed)
            });
        });
        let (mut client, _) = connect(&identity(), &mut rng());
        group.bench_function(BenchmarkId::new("open", text_bytes), |bencher| {
            bencher.iter_batched(
                || {
                    let mut sealed = Vec::with_capacity(text_bytes + MAC_BYTES);
                    client.sealer.seal(&text, &mut sealed).expect("it fits");
                    sealed
                },
                |mut sealed| server.opener.open(&mut sealed).map(<[u8]>::len),
                BatchSize::SmallInput,
            );
        });
    }
}

/// A batch of equal frames, encrypted into one buffer, and decrypted from one.
fn batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch");
    for payload_bytes in [0, 64, 200, 1_024, 16_384] {
        let frames = frames(payload_bytes);
        let encode = |encoder: &mut FrameEncoder, wire: &mut Vec<u8>| {
            wire.clear();
            (encoder.encode_all(black_box(&frames), wire)).expect("they are within the limit");
        };
        group.throughput(Throughput::Elements(BATCH_FRAMES as u64));
        let (client, server) = connect(&identity(), &mut rng());
        let mut encoder = FrameEncoder::new(client.sealer, LIMITS);
        let mut wire = Vec::new();
        group.bench_function(BenchmarkId::new("encode", payload_bytes), |bencher| {
            bencher.iter(|| encode(&mut encoder, &mut wire));
        });
        let (client, _) = connect(&identity(), &mut rng());
        let mut encoder = FrameEncoder::new(client.sealer, LIMITS);
        let mut decoder = FrameDecoder::new(server.opener, LIMITS);
        let mut decoded = Vec::with_capacity(BATCH_FRAMES);
        group.bench_function(BenchmarkId::new("decode", payload_bytes), |bencher| {
            bencher.iter_batched_ref(
                || {
                    let mut wire = Vec::new();
                    encode(&mut encoder, &mut wire);
                    wire
                },
                |wire| {
                    decoded.clear();
                    decoder.feed(wire);
                    while let Some(frame) = decoder.next_frame().expect("nothing was altered") {
                        decoded.push(frame);
                    }
                    assert_eq!(decoded.len(), BATCH_FRAMES);
                },
                // The nonces have to come in order.
                BatchSize::PerIteration,
            );
        });
    }
}

/// A batch pushed, written, read and decrypted, through a stream in memory.
fn stream(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers");
    let mut group = criterion.benchmark_group("stream");
    for payload_bytes in [64, 200, 1_024, 16_384] {
        let frames = frames(payload_bytes);
        let (client, server) = connect(&identity(), &mut rng());
        // Room for the whole batch, so that writing never waits.
        let (from_client, to_server) = tokio::io::simplex(32 << 20);
        let mut writer = FrameWriter::new(to_server, client.sealer, LIMITS);
        let mut reader = FrameReader::new(from_client, server.opener, LIMITS);
        let mut read = Vec::with_capacity(BATCH_FRAMES);
        group.throughput(Throughput::Elements(BATCH_FRAMES as u64));
        group.bench_function(BenchmarkId::from_parameter(payload_bytes), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    for frame in black_box(&frames) {
                        writer.push(frame).expect("it is within the limits");
                    }
                    writer.flush().await.expect("there is room");
                    read.clear();
                    while read.len() < BATCH_FRAMES {
                        let batch = reader.read_batch(&mut read, BATCH_FRAMES).await;
                        batch.expect("nothing was altered");
                    }
                });
            });
        });
    }
}

fn frames(payload_bytes: usize) -> Vec<Frame> {
    let frame = Frame {
        extension_type: 0x4802,
        msg_type: 0x80,
        payload: vec![7; payload_bytes],
    };
    vec![frame; BATCH_FRAMES]
}

/// Both sides' part of a connection.
fn handshake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake");
    let identity = identity();
    let mut rng = rng();
    let trusted = Some(authority().public_key());
    group.bench_function("both sides", |bencher| {
        bencher.iter(|| connect(&identity, &mut rng));
    });
    let (_, act_1) = Initiator::start(trusted, &mut rng);
    group.bench_function("server", |bencher| {
        bencher.iter(|| Responder::respond(&identity, black_box(&act_1), &mut rng).is_ok());
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for bench in [block, batch, stream, handshake] {
        bench(&mut criterion);
    }
    criterion.final_summary();
}
