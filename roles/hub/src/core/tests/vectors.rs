//! `test-vectors/refusals.json`, frame by frame, before a hub.

use serde::Deserialize;
use winze_messages::table::{self, Direction};
use winze_messages::{EXT_COMMON, EXT_EXTENSIONS, EXT_HUB};

use super::*;

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    from: Option<String>,
    far_end_present: Option<bool>,
    frame: String,
    error_code: String,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("../../../../../test-vectors/refusals.json");
    let file: File = serde_json::from_str(text).unwrap();
    file.vectors
}

fn frame(vector: &Vector) -> Frame {
    Frame::from_bytes(&hex::decode(&vector.frame).unwrap()).unwrap()
}

/// How the connection ends on which a client sends this where it is due.
fn close_reason(frame: Frame) -> String {
    let mut net = Net::new();
    let conn = net.dial();
    let proof = proof(POOL, &transcript(conn));
    let steps = [setup_connection(), request_extensions(), proof];
    let is_step = |step: &Frame| {
        (step.extension_type, step.msg_type) == (frame.extension_type, frame.msg_type)
    };
    let before = steps.iter().position(is_step).unwrap_or(steps.len());
    net.send(conn, steps[..before].iter().cloned());
    net.send(conn, [frame]);
    close_of(&net.receive(conn)).0.to_owned()
}

/// What the hub answers to one end of a quote channel that both have accepted.
fn reject_code(frame: Frame, from_requester: bool, far_end_present: bool) -> String {
    let mut net = Net::new();
    let ends = net.joined(QUOTES, PLENTY);
    assert_eq!((ends.pool_id, ends.mint_id), (1, 1));
    let (from, far) = match from_requester {
        true => (ends.pool, ends.mint),
        false => (ends.mint, ends.pool),
    };
    if !far_end_present {
        net.core.closed(far);
        net.receive(from);
    }
    net.send(from, [frame]);
    let seen = net.receive(from);
    assert!(net.core.is_open(from), "the rest goes on");
    assert!(net.receive(far).is_empty(), "nothing reaches the far end");
    match &seen[..] {
        [Seen::Hub(HubMessage::Reject(reject))] => reject.error_code.clone(),
        other => panic!("{other:?}"),
    }
}

/// Whether this is for a client to refuse: only a hub sends it.
fn is_the_hubs(frame: &Frame) -> bool {
    [EXT_COMMON, EXT_EXTENSIONS, EXT_HUB].contains(&frame.extension_type)
        && table::lookup(frame.extension(), frame.msg_type)
            .is_some_and(|row| row.direction == Direction::HubToClient)
}

#[test]
fn a_hub_refuses_what_the_vectors_say_in_their_words() {
    let (mut closes, mut rejects) = (0, 0);
    for vector in vectors() {
        let frame = frame(&vector);
        let code = match &vector.from {
            None if is_the_hubs(&frame) => continue,
            None => {
                closes += 1;
                close_reason(frame)
            }
            Some(from) => {
                rejects += 1;
                let far_end_present = vector.far_end_present.unwrap();
                reject_code(frame, from == "requester", far_end_present)
            }
        };
        assert_eq!(code, vector.error_code, "{}", vector.name);
    }
    assert!(closes >= 10 && rejects >= 20, "{closes} and {rejects}");
}
