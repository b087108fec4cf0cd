//! How a client gets in, and how it does not.

use super::*;
use crate::limits::{
    CONTROL_MAX, PAYLOAD_BYTES_BEFORE_AUTHENTICATION_TOTAL, REPLACED_RETRY_AFTER_MS, TAKEOVERS_MAX,
};

#[test]
fn a_client_that_takes_the_steps_is_told_the_limits_of_its_connection() {
    let mut net = Net::new();
    let pool = net.dial();
    net.send(pool, [setup_connection(), negotiate(&[EXT_HUB, 0x7777])]);
    net.send(pool, [proof(POOL, &transcript(pool))]);

    let seen = net.receive(pool);
    let [
        Seen::Common(CommonMessage::SetupConnectionSuccess(setup)),
        Seen::Negotiation(ExtensionsMessage::RequestExtensionsSuccess(negotiated)),
        Seen::Hub(HubMessage::AuthenticateSuccess(success)),
    ] = &seen[..]
    else {
        panic!("{seen:?}");
    };
    assert_eq!((setup.used_version, setup.flags), (2, 0));
    assert_eq!(negotiated.request_id, 5);
    assert_eq!(negotiated.supported_extensions, [EXT_HUB]);
    assert_eq!(success.payload_bytes_max, 65_536);
    assert_eq!(net.core.payload_bytes_max(pool), 65_536);
    assert_eq!(net.core.load().present, [POOL.parse().unwrap()]);
}

#[test]
fn what_the_hub_cannot_offer_is_refused_by_its_sv2_name() {
    let refused = |change: fn(&mut SetupConnection)| {
        let mut net = Net::new();
        let client = net.dial();
        net.send(client, [setup_with(change), request_extensions()]);
        let seen = net.receive(client);
        let [Seen::Common(CommonMessage::SetupConnectionError(error))] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert!(!net.core.is_open(client));
        (error.error_code.clone(), error.flags)
    };
    assert_eq!(
        refused(|setup| setup.protocol = 1),
        ("unsupported-protocol".to_owned(), 0)
    );
    assert_eq!(
        refused(|setup| setup.max_version = 1),
        ("protocol-version-mismatch".to_owned(), 0)
    );
    assert_eq!(
        refused(|setup| setup.flags = 6),
        ("unsupported-feature-flags".to_owned(), 6)
    );

    let mut net = Net::new();
    let client = net.dial();
    net.send(client, [setup_connection(), negotiate(&[QUOTES, 0x7777])]);
    let seen = net.receive(client);
    let Some(Seen::Negotiation(ExtensionsMessage::RequestExtensionsError(error))) = seen.last()
    else {
        panic!("{seen:?}");
    };
    assert_eq!(error.required_extensions, [EXT_HUB]);
    assert_eq!(error.unsupported_extensions, [0x7777]);
    assert!(!net.core.is_open(client));
}

#[test]
fn a_message_out_of_its_step_ends_the_connection_and_a_foreign_one_is_ignored() {
    let mut net = Net::new();
    let foreign = Frame {
        extension_type: 0x7777,
        msg_type: 3,
        payload: vec![1, 2, 3],
    };
    let steps = |conn| {
        [
            setup_connection(),
            request_extensions(),
            proof(MINT, &transcript(conn)),
        ]
    };
    for done in 0..3 {
        let client = net.dial();
        net.send(client, steps(client).into_iter().take(done));
        net.send(client, [foreign.clone()]);
        assert!(net.core.is_open(client), "ignored in step {done}");
        net.send(client, [encoded(open_channel(QUOTES, ""))]);
        assert_eq!(
            close_of(&net.receive(client)),
            ("not-authenticated", 0),
            "after {done} steps"
        );
        assert!(!net.core.is_open(client));
    }

    let mint = net.connect(MINT);
    net.send(mint, [foreign]);
    assert!(net.receive(mint).is_empty());
    net.send(mint, [setup_connection()]);
    assert_eq!(close_of(&net.receive(mint)).0, "not-authenticated");
}

#[test]
fn a_stranger_cannot_talk_on_without_end_before_it_says_who_it_is() {
    let mut net = Net::new();
    let stranger = net.dial();
    let chatter = Frame {
        extension_type: 0x7777,
        msg_type: 0,
        payload: vec![0; 4_096],
    };
    for _ in 0..PAYLOAD_BYTES_BEFORE_AUTHENTICATION_TOTAL / 4_096 {
        net.send(stranger, [chatter.clone()]);
    }
    assert!(net.core.is_open(stranger));
    net.send(stranger, [chatter]);
    assert_eq!(close_of(&net.receive(stranger)).0, "payload-too-long");

    // Frames without a payload cost a decryption each, and no bytes that are counted.
    let empty = net.dial();
    let nothing = Frame {
        extension_type: 0x7777,
        msg_type: 0,
        payload: Vec::new(),
    };
    net.send(empty, vec![nothing.clone(); 64]);
    assert!(net.core.is_open(empty));
    net.send(empty, [nothing]);
    assert_eq!(close_of(&net.receive(empty)).0, "not-authenticated");

    let silent = net.dial();
    net.send(silent, [setup_connection()]);
    net.receive(silent);
    net.pass(4_999);
    assert!(net.core.is_open(silent));
    net.pass(1);
    assert_eq!(close_of(&net.receive(silent)).0, "setup-timeout");
}

/// What `Authenticate.Error` says to a client that sends `message` as its proof.
fn refusal_of(net: &mut Net, message: impl FnOnce(&Transcript) -> Frame) -> (String, u32) {
    let client = net.dial();
    let message = message(&transcript(client));
    net.send(client, [setup_connection(), request_extensions(), message]);
    let seen = net.receive(client);
    assert!(!net.core.is_open(client));
    match seen.last() {
        Some(Seen::Hub(HubMessage::AuthenticateError(error))) => {
            (error.error_code.clone(), error.retry_after_ms)
        }
        other => panic!("the client was let in, or not told: {other:?}"),
    }
}

#[test]
fn nobody_gets_in_with_the_name_or_the_proof_of_another() {
    let mut net = Net::new();
    let code = |net: &mut Net, message: &dyn Fn(&Transcript) -> Frame| refusal_of(net, message).0;
    let signed = |key: &str, name: &str, transcript: &Transcript| {
        let name = name.parse().unwrap();
        authentication::sign(&key_of(key), transcript.as_bytes(), &name, &[0; 32])
    };

    let replayed = proof(MINT, &transcript(ConnId(1_000)));
    assert_eq!(code(&mut net, &|_| replayed.clone()), "bad-signature");
    let renamed = |transcript: &Transcript| {
        let mut message = signed(MINT, MINT, transcript);
        message.name = "other".to_owned();
        encoded(message)
    };
    assert_eq!(code(&mut net, &renamed), "bad-signature");
    let borrowed_key = |transcript: &Transcript| {
        let mut message = signed("thief/x", MINT, transcript);
        message.public_key = key_of(MINT).public_key().to_bytes();
        encoded(message)
    };
    assert_eq!(code(&mut net, &borrowed_key), "bad-signature");
    let unlisted = |transcript: &Transcript| encoded(signed("thief/x", MINT, transcript));
    assert_eq!(code(&mut net, &unlisted), "unlisted-key");
    let other_name = |transcript: &Transcript| encoded(signed(POOL, MINT, transcript));
    assert_eq!(code(&mut net, &other_name), "identity-mismatch");
    assert!(net.core.load().present.is_empty());
}

#[test]
fn a_newer_connection_replaces_the_older_until_it_looks_like_a_fight() {
    let mut net = Net::new();
    let mut current = net.connect(MINT);
    for _ in 0..TAKEOVERS_MAX {
        let newer = net.connect(MINT);
        assert_eq!(
            close_of(&net.receive(current)),
            ("replaced", REPLACED_RETRY_AFTER_MS)
        );
        net.core.closed(current);
        current = newer;
    }
    let (code, retry_after_ms) = refusal_of(&mut net, |transcript| proof(MINT, transcript));
    assert_eq!(code, "too-many-takeovers");
    assert!(net.core.is_open(current));
    net.pass(20_000);
    net.say(current, Ping { nonce: 1 });
    net.pass(u64::from(retry_after_ms) - 20_000);
    net.connect(MINT);
}

#[test]
fn a_full_hub_says_so_and_lets_nobody_in() {
    let mut net = Net::with(HubLimits {
        connections_max: 1,
        ..HubLimits::default()
    });
    let first = net.connect(POOL);
    let second = net.dial();
    net.send(second, [setup_connection()]);
    assert_eq!(close_of(&net.receive(second)).0, "too-many-connections");
    net.core.closed(second);
    net.core.closed(first);
    net.connect(MINT);
}

#[test]
fn a_silent_client_is_asked_for_a_sign_of_life_once_and_then_closed() {
    let mut net = Net::new();
    let mint = net.connect(MINT);
    net.pass(14_999);
    assert!(net.receive(mint).is_empty());
    net.pass(1);
    assert!(net.core.take_ready().contains(&mint));
    let seen = net.receive(mint);
    let [Seen::Hub(HubMessage::Ping(ping))] = &seen[..] else {
        panic!("{seen:?}");
    };
    net.pass(5_000);
    assert!(net.receive(mint).is_empty(), "one Ping in a silence");

    net.say(mint, Pong { nonce: ping.nonce });
    net.pass(44_999);
    assert!(net.core.is_open(mint));
    net.pass(1);
    assert_eq!(close_of(&net.receive(mint)).0, "idle-timeout");
}

#[test]
fn several_pings_are_answered_by_one_pong() {
    let mut net = Net::new();
    let mint = net.connect(MINT);
    for nonce in 1..=3 {
        net.say(mint, Ping { nonce });
    }
    let pong = Seen::Hub(HubMessage::Pong(Pong { nonce: 3 }));
    assert_eq!(net.receive(mint), [pong]);
}

#[test]
fn a_client_that_makes_work_and_does_not_read_is_closed_at_the_bound() {
    let mut net = Net::new();
    let pool = net.connect(POOL);
    for request in 0..=CONTROL_MAX {
        assert!(net.core.is_open(pool), "after {request} requests");
        net.say(pool, open_channel(0x5555, ""));
    }
    assert!(!net.core.is_open(pool));
    assert_eq!(close_of(&net.receive(pool)).0, "control-overflow");

    // A notice without an ordinal merges, so it takes as many channels as it takes answers.
    let pool = net.connect(POOL);
    for _ in 0..2 * CONTROL_MAX {
        net.send(pool, [vendor(77, 0, 10)]);
    }
    assert!(net.core.is_open(pool));
    assert_eq!(net.receive(pool).len(), 1);
}

#[test]
fn messages_that_are_not_for_the_hub_end_the_connection_by_their_fault() {
    let reason_of = |frame: Frame| {
        let mut net = Net::new();
        let mint = net.connect(MINT);
        net.send(mint, [frame]);
        close_of(&net.receive(mint)).0.to_owned()
    };
    let mut left_over = encoded(Ping { nonce: 1 });
    left_over.payload.push(0);
    assert_eq!(reason_of(left_over), "malformed");
    let unknown = |extension_type, msg_type| Frame {
        extension_type,
        msg_type,
        payload: Vec::new(),
    };
    assert_eq!(reason_of(unknown(EXT_HUB, 0x7f)), "unknown-message");
    assert_eq!(reason_of(unknown(QUOTES, 0x80)), "unknown-message");
    let hubs_own = encoded(Presence {
        channel_id: 1,
        present: true,
        instance: 1,
    });
    assert_eq!(reason_of(hubs_own), "unknown-message");
}

#[test]
fn an_orderly_shutdown_tells_everyone_when_to_come_back() {
    let mut net = Net::new();
    let (mint, stranger) = (net.connect(MINT), net.dial());
    net.core.shut_down(1_234);
    assert_eq!(close_of(&net.receive(mint)), ("shutdown", 1_234));
    assert_eq!(close_of(&net.receive(stranger)), ("shutdown", 1_234));
    let ended = net
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::Ended { .. }));
    assert_eq!(ended.count(), 2);
}
