//! What the figures were measured on, and with.

use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use winze_aead::Aead;
use winze_hmac::Key;

use crate::setting::Setting;

/// Names and values, for a table.
pub fn facts(setting: &Setting) -> Vec<(&'static str, String)> {
    let programs = &setting.programs;
    vec![
        ("processor", processor()),
        ("its lanes for short texts", lanes()),
        ("memory", memory()),
        (
            "kernel",
            read("/proc/sys/kernel/osrelease").trim().to_owned(),
        ),
        ("Rust", said(Path::new("rustc"), &["--version"])),
        (
            "Winze",
            said(Path::new("git"), &["log", "-1", "--format=%h of %cs"]),
        ),
        ("NATS", said(&programs.nats, &["--version"])),
        ("Redis", said(&programs.redis, &["--version"])),
        (
            "clients of NATS and Redis",
            format!(
                "async-nats {}, redis {}",
                locked("async-nats"),
                locked("redis")
            ),
        ),
        (
            "reference crates",
            format!(
                "codec_sv2 {}, noise_sv2 {}",
                naive_locked("codec_sv2"),
                naive_locked("noise_sv2")
            ),
        ),
    ]
}

/// Whether the hub's cipher and its clients' authenticators are computed many at a time here.
fn lanes() -> String {
    let key = [0; 32];
    let cipher = match Aead::new(&key).has_lanes() {
        true => "AVX-512",
        false => "none, ring one by one",
    };
    let authenticators = match Key::new(&key).has_lanes() {
        true => "yes",
        false => "none, sha2 one by one",
    };
    format!("cipher: {cipher}; authenticators: {authenticators}")
}

/// Revision and processor in a line.
pub fn short() -> String {
    let revision = said(Path::new("git"), &["log", "-1", "--format=%h of %cs"]);
    format!("Winze {revision}, {}", processor())
}

fn processor() -> String {
    let text = read("/proc/cpuinfo");
    let model = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores", model.unwrap_or_default())
}

fn memory() -> String {
    let text = read("/proc/meminfo");
    let kib = text.lines().find_map(|line| {
        let value = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
        value.trim().parse::<u64>().ok()
    });
    format!("{} GiB", kib.unwrap_or(0) >> 20)
}

/// The version that this program was built with.
fn locked(name: &str) -> String {
    version_in(include_str!("../Cargo.lock"), name)
}

/// The version that the naive hub was built with.
fn naive_locked(name: &str) -> String {
    version_in(include_str!("../naive/Cargo.lock"), name)
}

fn version_in(lock: &str, name: &str) -> String {
    let entry = format!("name = \"{name}\"\nversion = \"");
    let version = lock
        .split_once(&entry)
        .and_then(|(_, rest)| rest.split_once('"'));
    version.map_or_else(String::new, |(version, _)| version.to_owned())
}

/// The first line that a program says; that it is not there where it is not.
fn said(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text
        .ok()
        .and_then(|text| text.lines().next().map(str::to_owned));
    line.unwrap_or_else(|| "not there".to_owned())
}

fn read(file: &str) -> String {
    read_to_string(file).unwrap_or_default()
}
