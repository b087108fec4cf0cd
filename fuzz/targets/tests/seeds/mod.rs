//! Where a corpus begins: with the frames and messages of `test-vectors/`, a conversation for each state machine, and what
//! lies in Redis.

mod conversations;
mod redis;

use std::fs;
use std::path::PathBuf;

use winze_fuzz_harness::corpus_folder;

#[test]
#[ignore = "writes fuzz/corpus/"]
fn seed() {
    let frames = vectors("frames.json");
    let all = frames.concat();
    for (place, frame) in frames.iter().chain(&vectors("refusals.json")).enumerate() {
        let name = format!("vector-{place:03}");
        for target in ["messages", "hub_noise", "hub_strangers"] {
            plant(target, &name, frame);
        }
        // To a client that is let in: a frame from the hub.
        plant("session", &name, &[&[0, 0], &frame[..]].concat());
    }
    plant("authenticators", "vectors", &all[..300]);
    plant("wire", "whole", &[&[7, 0, 0, 0], &all[..]].concat());
    plant("wire", "altered", &[&[255, 40, 1, 1], &all[..]].concat());
    plant("handshake", "whole", &[0; 300]);
    let altered = [&[0; 100][..], &[1], &[0; 100]].concat();
    plant("handshake", "altered", &altered);
    plant("handshake", "replaced", &[3; 300]);
    for (target, name, bytes) in conversations::all() {
        plant(target, name, &bytes);
    }
    for (name, bytes) in redis::all() {
        plant("legacy", name, &bytes);
    }
}

fn plant(target: &str, name: &str, bytes: &[u8]) {
    let folder = corpus_folder(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

/// The frames in a file of vectors.
fn vectors(file: &str) -> Vec<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../test-vectors");
    let text = fs::read_to_string(path.join(file)).unwrap();
    let content: serde_json::Value = serde_json::from_str(&text).unwrap();
    let vectors = content["vectors"].as_array().unwrap().iter();
    vectors
        .map(|vector| hex::decode(vector["frame"].as_str().unwrap()).unwrap())
        .collect()
}
