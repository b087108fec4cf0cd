//! What no encrypted hub can go below: the cipher alone.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use tokio::process::Command;

use super::PAYLOAD_BYTES;
use crate::error::BenchError;
use crate::setting::{Plan, Setting};
use crate::workload::{CPU, Case, Metric, Sample, Workload};

/// Messages of one measurement.
const MESSAGES: u64 = 200_000;
/// Bytes of a frame's header.
const HEADER_BYTES: usize = 6;

/// Four operations for each message: header and payload opened and sealed.
pub const FLOOR: Workload = Workload {
    name: "floor",
    about: "four AEAD operations per message, in process: header and payload opened and sealed",
    parameter: "payload bytes",
    metrics: &[Metric {
        key: CPU.key,
        title: "us a message",
        decimals: 2,
    }],
    cases,
    measure,
};

fn cases(_: &Plan) -> Vec<Case> {
    let parameter = PAYLOAD_BYTES;
    ["ring", "rustcrypto", "rustcrypto-soft"]
        .map(|system| Case { system, parameter })
        .to_vec()
}

fn measure<'a>(setting: &'a Setting, case: &'a Case) -> BoxFuture<'a, Result<Sample, BenchError>> {
    async move {
        let payload_bytes = case.parameter as usize;
        let programs = &setting.programs;
        let ns = match case.system {
            "ring" => ring_ns(payload_bytes)?,
            "rustcrypto" => naive_ns(&programs.naive, payload_bytes).await?,
            _ => naive_ns(&programs.naive_soft, payload_bytes).await?,
        };
        Ok(Sample::of([(CPU.key, ns / 1e3)]))
    }
    .boxed()
}

fn ring_ns(payload_bytes: usize) -> Result<f64, BenchError> {
    let failed = |_| BenchError::machine("ring", "an operation failed");
    let key = UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).map_err(failed)?;
    let key = LessSafeKey::new(key);
    let mut blocks = [vec![0x5a; HEADER_BYTES], vec![0x5a; payload_bytes]];
    let began = Instant::now();
    for number in 0..MESSAGES {
        for block in &mut blocks {
            let plain_bytes = block.len();
            let tag = key
                .seal_in_place_separate_tag(nonce(number), Aad::empty(), block)
                .map_err(failed)?;
            block.extend_from_slice(tag.as_ref());
            key.open_in_place(nonce(number), Aad::empty(), block)
                .map_err(failed)?;
            block.truncate(plain_bytes);
            black_box(&block);
        }
    }
    Ok(began.elapsed().as_secs_f64() * 1e9 / MESSAGES as f64)
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// The same by RustCrypto, in the build that the naive hub has.
async fn naive_ns(program: &Path, payload_bytes: usize) -> Result<f64, BenchError> {
    let output = Command::new(program)
        .arg("--floor")
        .args([payload_bytes.to_string(), MESSAGES.to_string()])
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| BenchError::missing(program.display(), error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let ns = text.trim().strip_prefix("floor_ns=");
    ns.and_then(|ns| ns.parse().ok())
        .ok_or_else(|| BenchError::peer(program.display(), "said no floor_ns"))
}
