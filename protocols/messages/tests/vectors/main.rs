//! The files in `test-vectors/`: made here, and checked here by other means than those that made
//! them.
//!
//! After an intended change of the wire,
//! `cargo test -p winze-messages --test vectors -- --ignored regenerate` writes them anew.

mod authentication;
mod authenticators;
mod frames;
mod noise;
mod oracle;
mod people;
mod refusals;

use std::path::PathBuf;

use serde::Serialize;

/// One file.
#[derive(Serialize)]
struct VectorFile<V> {
    /// Where the vectors come from, and what vouches for them.
    origin: &'static str,
    /// What they are, and how to check an implementation with them.
    description: &'static str,
    vectors: Vec<V>,
}

impl<V: Serialize> VectorFile<V> {
    fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap();
        text.push('\n');
        text
    }
}

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../test-vectors")
        .join(file)
}

/// The vectors in a committed file.
fn committed(file: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path(file)).unwrap();
    let content: serde_json::Value = serde_json::from_str(&text).unwrap();
    let vectors = content["vectors"].as_array().unwrap().clone();
    assert!(!vectors.is_empty());
    vectors
}

fn generated() -> [(&'static str, String); 5] {
    [
        ("authentication.json", authentication::file().to_text()),
        ("authenticators.json", authenticators::file().to_text()),
        ("frames.json", frames::file().to_text()),
        ("noise-handshake.json", noise::file().to_text()),
        ("refusals.json", refusals::file().to_text()),
    ]
}

#[test]
fn the_code_still_makes_the_frozen_bytes() {
    for (file, text) in generated() {
        let frozen = std::fs::read_to_string(path(file)).unwrap_or_default();
        let line = frozen
            .lines()
            .zip(text.lines())
            .position(|(frozen, now)| frozen != now);
        assert!(frozen == text, "{file} differs, first in line {line:?}");
    }
}

#[test]
#[ignore = "writes test-vectors/"]
fn regenerate() {
    for (file, text) in generated() {
        std::fs::write(path(file), text).unwrap();
    }
}
