//! What the fuzzer has found, and a little beside it, at every change.

mod seeds;

use winze_fuzz_harness::replay;

#[test]
fn messages_of_any_bytes() {
    replay("messages", winze_fuzz::messages);
}

#[test]
fn authenticators_of_any_bytes() {
    replay("authenticators", winze_fuzz::authenticators);
}

#[test]
fn texts_of_any_bytes() {
    replay("texts", winze_fuzz::texts);
}

#[test]
fn entries_and_keysets_of_any_bytes() {
    replay("legacy", winze_fuzz::legacy);
}

#[test]
fn handshakes_that_the_network_changed() {
    replay("handshake", winze_fuzz::handshake);
}

#[test]
fn streams_that_the_network_changed_and_cut() {
    replay("wire", winze_fuzz::wire);
}

#[test]
fn a_hub_that_says_anything_to_a_client() {
    replay("session", winze_fuzz::session);
}

#[test]
fn a_miner_that_says_anything_to_a_pool() {
    replay("mining", winze_fuzz::mining);
}
