//! What no encrypted hub can go below: the cipher alone.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hmac;
use tokio::process::Command;
use winze_bench_figures::ceilings::{Floor, MAC_US, OPEN_US, SEAL_US};
use winze_messages::codec::message::{AUTHENTICATOR_BYTES, CHANNEL_ID_BYTES};

use super::PAYLOAD_BYTES;
use crate::error::BenchError;
use crate::setting::Setting;
use crate::workload::{CPU, Case, Metric, Plan, Sample, Workload};

/// Messages of one measurement.
const MESSAGES: u64 = 200_000;
/// Bytes of a frame's header.
const HEADER_BYTES: usize = 6;

/// What a `MintQuoteRequest` of so many payload bytes has under its MAC: its body, type, sequence and digest.
const fn under_mac_bytes(payload_bytes: usize) -> usize {
    payload_bytes - CHANNEL_ID_BYTES - AUTHENTICATOR_BYTES + 1 + 8 + 32
}

/// Four operations for each message; the sender and the receiver beside the hub.
pub const FLOOR: Workload = Workload {
    name: "floor",
    about: "the cipher alone, in process: header and payload opened and sealed (four AEAD operations, what a hub does for a \
            message), and with them an authenticator made and verified (two HMAC-SHA256, what its ends do beside)",
    parameter: "payload bytes",
    metrics: &[
        metric(CPU.key, "us a message at the hub"),
        metric(SEAL_US, "of it sealing"),
        metric(OPEN_US, "of it opening"),
        metric(MAC_US, "authenticator, us"),
        metric("path_us", "sender to receiver, us"),
    ],
    cases,
    measure,
};

const fn metric(key: &'static str, title: &'static str) -> Metric {
    Metric {
        key,
        title,
        decimals: 2,
    }
}

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
        let naive = match case.system {
            "ring" => {
                let floor = Floor {
                    seal_us: seal_us(payload_bytes)?,
                    open_us: open_us(payload_bytes)?,
                    mac_us: mac_us(payload_bytes)?,
                };
                return Ok(Sample::of([
                    (CPU.key, floor.hub_us()),
                    (SEAL_US, floor.seal_us),
                    (OPEN_US, floor.open_us),
                    (MAC_US, floor.mac_us),
                    ("path_us", floor.path_us()),
                ]));
            }
            "rustcrypto" => &programs.naive,
            _ => &programs.naive_soft,
        };
        let ns = naive_ns(naive, payload_bytes).await?;
        Ok(Sample::of([(CPU.key, ns / 1e3)]))
    }
    .boxed()
}

fn failed(_: Unspecified) -> BenchError {
    BenchError::machine("ring", "an operation failed")
}

fn key() -> Result<LessSafeKey, BenchError> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).map_err(failed)?;
    Ok(LessSafeKey::new(key))
}

/// Does it for each message, and gives how long one took, in microseconds.
fn timed(mut each: impl FnMut(u64) -> Result<(), BenchError>) -> Result<f64, BenchError> {
    let began = Instant::now();
    for number in 0..MESSAGES {
        each(number)?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / MESSAGES as f64)
}

fn seal_us(payload_bytes: usize) -> Result<f64, BenchError> {
    let key = key()?;
    let mut blocks = [vec![0x5a; HEADER_BYTES], vec![0x5a; payload_bytes]];
    timed(|number| {
        for block in &mut blocks {
            let tag = key.seal_in_place_separate_tag(nonce(number), Aad::empty(), block);
            let _ = black_box((tag.map_err(failed)?, &block));
        }
        Ok(())
    })
}

fn open_us(payload_bytes: usize) -> Result<f64, BenchError> {
    let key = key()?;
    let mut sealed = [vec![0x5a; HEADER_BYTES], vec![0x5a; payload_bytes]];
    for block in &mut sealed {
        key.seal_in_place_append_tag(nonce(0), Aad::empty(), block)
            .map_err(failed)?;
    }
    let mut blocks = sealed.clone();
    timed(|_| {
        for (block, sealed) in blocks.iter_mut().zip(&sealed) {
            // What was opened does not open again. Copying so few bytes is a hundredth of opening them.
            block.copy_from_slice(sealed);
            let opened = key.open_in_place(nonce(0), Aad::empty(), block);
            black_box(opened.map_err(failed)?);
        }
        Ok(())
    })
}

/// Made and verified, with the key's own part done once.
fn mac_us(payload_bytes: usize) -> Result<f64, BenchError> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    let message = vec![0x5a; under_mac_bytes(payload_bytes)];
    timed(|_| {
        let tag = hmac::sign(&key, black_box(&message));
        hmac::verify(&key, black_box(&message), tag.as_ref()).map_err(failed)
    })
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
