//! What no encrypted hub can go below: the cipher alone.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::process::Command;
use winze_aead::{Aead, HEADER_BYTES, MAC_BYTES, RUN_FRAMES_MAX, Refused, frame_bytes};
use winze_bench_figures::ceilings::{CIPHER, Floor, MAC_US, OPEN_US, SEAL_US};
use winze_hmac::{Key, Message};
use winze_messages::codec::message::{AUTHENTICATOR_BYTES, CHANNEL_ID_BYTES};

use super::PAYLOAD_BYTES;
use crate::error::BenchError;
use crate::setting::Setting;
use crate::workload::{CPU, Case, Metric, Plan, Sample, Workload};

/// Messages of one measurement.
const MESSAGES: u64 = 200_000;

/// The library that encrypts what comes by itself, and everything where the processor has no lanes; authenticators by sha2 then.
const RING: &str = "ring";
const KEY: [u8; 32] = [7; 32];

/// What a `MintQuoteRequest` of so many payload bytes has under its MAC: its body, type, sequence and digest.
const fn under_mac_bytes(payload_bytes: usize) -> usize {
    payload_bytes - CHANNEL_ID_BYTES - AUTHENTICATOR_BYTES + 1 + 8 + 32
}

/// Four operations for each message; the sender and the receiver beside the hub.
pub const FLOOR: Workload = Workload {
    name: "floor",
    about: "the cipher alone, in process: header and payload opened and sealed (four AEAD operations, what a hub does for a \
            message) in batches as the hub has them, and by ring one by one; with them an authenticator made and verified (two HMAC-SHA256, what its ends do beside)",
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
    [CIPHER, RING, "rustcrypto", "rustcrypto-soft"]
        .map(|system| Case { system, parameter })
        .to_vec()
}

fn measure<'a>(setting: &'a Setting, case: &'a Case) -> BoxFuture<'a, Result<Sample, BenchError>> {
    async move {
        let payload_bytes = case.parameter as usize;
        let programs = &setting.programs;
        let naive = match case.system {
            CIPHER | RING => {
                let (aead, key, frames) = match case.system {
                    CIPHER => (Aead::new(&KEY), Key::new(&KEY), RUN_FRAMES_MAX),
                    _ => (Aead::one_by_one(&KEY), Key::one_by_one(&KEY), 1),
                };
                let floor = Floor {
                    seal_us: seal_us(&aead, frames, payload_bytes)?,
                    open_us: open_us(&aead, frames, payload_bytes)?,
                    mac_us: mac_us(&key, frames, payload_bytes)?,
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

fn refused(_: Refused) -> BenchError {
    BenchError::machine("the cipher", "refused what it made itself")
}

/// Does it until all messages are through, so many at a time, and gives how long one took, in microseconds.
fn timed(
    messages: usize,
    mut each: impl FnMut(u64) -> Result<(), BenchError>,
) -> Result<f64, BenchError> {
    let began = Instant::now();
    let times = MESSAGES / messages as u64;
    for number in 0..times {
        each(number)?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / (times * messages as u64) as f64)
}

/// Equal frames as plaintext, with room for their MACs, and their payloads' lengths.
fn plain_run(frames: usize, payload_bytes: usize) -> (Vec<u8>, Vec<usize>) {
    let frame = vec![0x5a; frame_bytes(payload_bytes)];
    (frame.repeat(frames), vec![payload_bytes; frames])
}

fn seal_us(aead: &Aead, frames: usize, payload_bytes: usize) -> Result<f64, BenchError> {
    let (mut run, payloads_bytes) = plain_run(frames, payload_bytes);
    timed(frames, |number| {
        // A nonce is used once; what is sealed is sealed again.
        let nonce = number * 2 * frames as u64;
        aead.seal_run(nonce, black_box(&mut run), &payloads_bytes)
            .map_err(refused)
    })
}

fn open_us(aead: &Aead, frames: usize, payload_bytes: usize) -> Result<f64, BenchError> {
    let (mut sealed, payloads_bytes) = plain_run(frames, payload_bytes);
    aead.seal_run(0, &mut sealed, &payloads_bytes)
        .map_err(refused)?;
    let mut run = sealed.clone();
    timed(frames, |_| {
        // What was opened does not open again. Copying so few bytes is a hundredth of opening them.
        run.copy_from_slice(&sealed);
        if aead.open_run(0, black_box(&mut run), |_| PAYLOAD_BYTES as usize) == frames {
            return Ok(());
        }
        let mut rest = &mut run[..];
        for (nonce, bytes) in (0..).zip([HEADER_BYTES, payload_bytes].repeat(frames)) {
            let (text, behind) = rest.split_at_mut(bytes);
            let (mac, behind) = behind
                .split_first_chunk_mut::<MAC_BYTES>()
                .ok_or_else(|| refused(Refused))?;
            aead.open(nonce, &[], text, mac).map_err(refused)?;
            rest = behind;
        }
        Ok(())
    })
}

/// Made and verified, with the key's own part done once, so many messages at a time.
fn mac_us(key: &Key, messages: usize, payload_bytes: usize) -> Result<f64, BenchError> {
    let body = vec![0x5a; under_mac_bytes(payload_bytes)];
    let messages = vec![
        Message {
            head: &[],
            body: &body
        };
        messages
    ];
    let (mut made, mut expected) = (vec![[0; 32]; messages.len()], vec![[0; 32]; messages.len()]);
    timed(messages.len(), |_| {
        key.macs(black_box(&messages), &mut made);
        key.macs(black_box(&messages), &mut expected);
        // How long it takes to compare them is nothing beside.
        match made == expected {
            true => Ok(()),
            false => Err(refused(Refused)),
        }
    })
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
