use std::fs;
use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Runs of mutated inputs, for one target. Enough to notice what a change has broken near the corpus; finding more is
/// `scripts/fuzz`' job.
const MUTATED_RUNS: usize = 300;

/// Longest input that a mutation makes, in bytes.
const MUTATED_BYTES_MAX: usize = 4_096;

/// Changes to one input.
const CHANGES_MAX: usize = 4;

/// Numbers at which code likes to be wrong.
const INTERESTING: [u8; 6] = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff];

/// Where a target's corpus is.
pub fn corpus_folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(target)
}

/// Runs a target on no bytes, on each file of its corpus, and on mutations of them: the same ones every time.
///
/// Panics where the target does, with the input in hexadecimal on standard output, and where there is no corpus.
pub fn replay(target: &str, run: impl Fn(&[u8])) {
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "{target} has no corpus");
    let run = |input: &[u8]| {
        let blame = Blame(target, input);
        run(input);
        drop(blame);
    };
    run(&[]);
    for input in &corpus {
        run(input);
    }
    let mut rng = StdRng::seed_from_u64(0x77_69_6e_7a_65);
    for _ in 0..MUTATED_RUNS {
        run(&mutated(&corpus, &mut rng));
    }
}

/// By name, so that every run has them in the same order.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = corpus_folder(target);
    let Ok(entries) = fs::read_dir(&folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a corpus can be read").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("a corpus can be read"))
        .collect()
}

fn mutated(corpus: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let pick = |rng: &mut StdRng| corpus.choose(rng).cloned().unwrap_or_default();
    let mut input = pick(rng);
    for _ in 0..rng.gen_range(1..=CHANGES_MAX) {
        let at = rng.gen_range(0..=input.len());
        match rng.gen_range(0..6) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << rng.gen_range(0..8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = *INTERESTING.choose(rng).unwrap_or(&0);
                }
            }
            2 => input.insert(at, rng.r#gen()),
            3 => input.truncate(at),
            4 => {
                let end = rng.gen_range(at..=input.len());
                input.drain(at..end);
            }
            _ => {
                let other = pick(rng);
                let from = rng.gen_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
    input.truncate(MUTATED_BYTES_MAX);
    input
}

/// Says which input it was.
struct Blame<'a>(&'a str, &'a [u8]);

impl Drop for Blame<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{} breaks on {}", self.0, hex::encode(self.1));
        }
    }
}
