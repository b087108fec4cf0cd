//! What a message costs its sender and its receiver beside the transport: fields, authenticator, frame.
//!
//! `cargo bench --bench messages` in `bench/codec/`.

use std::hint::black_box;

use criterion::Criterion;
use winze_messages::authenticator::{PairKeys, channel_frame};
use winze_messages::families::mint_quote::{EXT_MINT_QUOTE, MintQuoteMessage, MintQuoteRequest};
use winze_messages::table::Side;
use winze_transport::SecretKey;

fn request() -> MintQuoteMessage {
    MintQuoteMessage::Request(MintQuoteRequest {
        amount: 1 << 20,
        unit: "hash".to_owned(),
        header_hash: [0x17; 32],
        description: None,
        locking_key: [2; 33],
        keyset_id: vec![0; 8],
    })
}

fn keys(side: Side) -> PairKeys {
    let [pool, mint] = [1, 2].map(|byte| SecretKey::from_bytes(&[byte; 32]).expect("a scalar"));
    let (own, peer) = match side {
        Side::Requester => (pool, mint),
        Side::Responder => (mint, pool),
    };
    PairKeys::derive(
        &own,
        &peer.public_key(),
        EXT_MINT_QUOTE,
        side,
        "pool",
        "mint",
    )
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("mint quote request");
    let request = request();
    let msg_type = request.msg_type();
    let mut body = Vec::new();
    request
        .encode_body(&mut body)
        .expect("its fields are within their bounds");
    group.bench_function("encode", |bencher| {
        let mut out = Vec::with_capacity(body.len());
        bencher.iter(|| {
            out.clear();
            black_box(&request).encode_body(&mut out)
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| MintQuoteMessage::decode_body(msg_type, black_box(&body)));
    });
    let (pool, mint) = (keys(Side::Requester), keys(Side::Responder));
    group.bench_function("seal", |bencher| {
        bencher.iter(|| pool.seal(msg_type, black_box(&body), 7, None));
    });
    let sealed = pool.seal(msg_type, &body, 7, None);
    group.bench_function("open", |bencher| {
        bencher.iter(|| mint.open(msg_type, black_box(&sealed), None).is_ok());
    });
    group.bench_function("channel frame", |bencher| {
        bencher.iter(|| channel_frame(EXT_MINT_QUOTE, msg_type, 3, black_box(&sealed)));
    });
    group.finish();
    criterion.final_summary();
}
