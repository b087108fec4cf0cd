use proptest::prelude::*;
use winze_messages::families::common::Reconnect;
use winze_messages::families::hub::{
    ChannelOffer, CloseChannel, Credit as CreditMsg, HubMessage, OpenChannelError, Ping, Pong,
    Presence, Reject,
};
use winze_messages::{EXT_EXTENSIONS, EXT_MINT_QUOTE, channel_frame};

use super::*;
use crate::limits::{CHANNELS_PER_PEER_MAX, CONTROL_WAITING_MAX, REOPEN_DELAY_MS_MIN};

#[test]
fn credit_is_kept_to_and_ordinals_count_what_was_sent() {
    let mut scene = Scene::connected();
    let key = scene.channel(credit(2, 100), 9);
    assert_eq!(scene.core.send(key, REQUEST, &[1; 50]), Ok(1));
    assert_eq!(scene.core.send_credit(key), credit(1, 46));
    assert_eq!(
        scene.core.send(key, REQUEST, &[1; 43]),
        Err(SendError::NoCredit)
    );
    assert_eq!(scene.core.send(key, REQUEST, &[2; 42]), Ok(2));
    assert_eq!(scene.core.send(key, REQUEST, &[]), Err(SendError::NoCredit));
    let sent = scene.take_all();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0], channel_frame(EXT_MINT_QUOTE, REQUEST, 1, &[1; 50]));

    while scene.core.poll_woken().is_some() {}
    scene
        .say(CreditMsg {
            channel_id: 1,
            messages: 3,
            bytes: 1_000,
        })
        .unwrap();
    assert_eq!(scene.core.poll_woken(), Some(Woken::Channel(key)));
    assert_eq!(scene.core.send_credit(key), credit(1, 900));
    // A smaller total than before is ignored.
    scene
        .say(CreditMsg {
            channel_id: 1,
            messages: 1,
            bytes: 1,
        })
        .unwrap();
    assert_eq!(scene.core.send_credit(key), credit(1, 900));
    assert!(matches!(
        scene.core.send(key, REQUEST, &[0; 65_533]),
        Err(SendError::TooLong { .. })
    ));
    assert_eq!(scene.core.send(key, REQUEST, &[]), Ok(3));
}

#[test]
fn a_hub_gets_credit_as_the_owner_takes_and_is_left_when_it_exceeds_it() {
    let mut scene = Scene::connected();
    let key = scene.channel(credit(9, 999), 9);
    for byte in 0..4 {
        scene.hear(from_mint(1, &[byte; 10])).unwrap();
    }
    assert!(scene.take_all().is_empty());
    scene.core.take_event(key);
    assert!(scene.take_all().is_empty());
    scene.core.take_event(key);
    let HubMessage::Credit(raised) = &scene.take_hub_messages()[0] else {
        panic!("half of the window was used");
    };
    assert_eq!((raised.messages, raised.bytes), (6, 262_144 + 28));

    scene.hear(from_mint(1, b"5")).unwrap();
    scene.hear(from_mint(1, b"6")).unwrap();
    assert_eq!(
        scene.hear(from_mint(1, b"7")),
        Err(SessionError::Misbehaved(Misbehaviour::CreditExceeded {
            channel_id: 1
        }))
    );
}

#[test]
fn an_owner_hears_of_every_change_before_it_can_send_again() {
    let mut scene = Scene::connected();
    let key = scene.channel(credit(9, 999), 9);
    scene.core.send(key, REQUEST, b"1").unwrap();
    let away = |instance: Option<u64>| Presence {
        channel_id: 1,
        present: instance.is_some(),
        instance: instance.unwrap_or(0),
    };
    // The mint restarts: the two notices are one by the time the owner looks.
    scene.say(away(None)).unwrap();
    scene.say(away(Some(10))).unwrap();
    assert_eq!(
        scene.core.send(key, REQUEST, b"2"),
        Err(SendError::EventsUnread)
    );
    assert_eq!(scene.events(key), [ChannelEvent::Present { instance: 10 }]);
    assert_eq!(scene.core.send(key, REQUEST, b"2"), Ok(2));
    scene.say(away(None)).unwrap();
    assert_eq!(scene.events(key), [ChannelEvent::Away]);
    assert_eq!(scene.core.send(key, REQUEST, b"3"), Err(SendError::Away));
    assert_eq!(scene.core.send_credit(key), Credit::default());

    scene
        .say(Reject {
            channel_id: 1,
            ordinal: 2,
            error_code: "peer-away".to_owned(),
            detail: String::new(),
        })
        .unwrap();
    // What was never sent cannot have been rejected.
    for ordinal in [0, 3, u64::MAX] {
        scene
            .say(Reject {
                channel_id: 1,
                ordinal,
                error_code: "malformed".to_owned(),
                detail: String::new(),
            })
            .unwrap();
    }
    assert!(matches!(
        scene.events(key)[..],
        [ChannelEvent::Reject { ordinal: 2, .. }]
    ));
}

#[test]
fn a_channel_outlives_its_connection_and_starts_anew_on_the_next() {
    let mut scene = Scene::connected();
    let key = scene.channel(credit(9, 999), 9);
    scene.core.send(key, REQUEST, b"unsent").unwrap();
    scene.hear(from_mint(1, b"untaken")).unwrap();
    scene.reconnect();
    scene.opened(5, credit(1, 99), None);
    assert_eq!(scene.events(key), [ChannelEvent::Lost, ChannelEvent::Away]);
    scene
        .say(Presence {
            channel_id: 5,
            present: true,
            instance: 11,
        })
        .unwrap();
    assert_eq!(scene.events(key), [ChannelEvent::Present { instance: 11 }]);
    assert_eq!(scene.core.send(key, REQUEST, b"again"), Ok(1));
    assert_eq!(
        scene.take_one(),
        channel_frame(EXT_MINT_QUOTE, REQUEST, 5, b"again")
    );
    // The hub's old id of it means nothing any more.
    scene.hear(from_mint(1, b"late")).unwrap();
    assert_eq!(scene.events(key), []);
}

#[test]
fn a_channel_that_is_refused_is_asked_for_again_ever_more_rarely() {
    let mut scene = Scene::connected();
    let key = scene
        .core
        .open(EXT_MINT_QUOTE, &mint(), "", scene.now_ms)
        .unwrap();
    for round in 0..3 {
        let HubMessage::OpenChannel(open) = scene.take_hub_messages().remove(0) else {
            panic!("round {round}");
        };
        scene
            .say(OpenChannelError {
                request_id: open.request_id,
                error_code: "not-allowed".to_owned(),
                detail: String::new(),
            })
            .unwrap();
        assert!(matches!(
            &scene.events(key)[..],
            [ChannelEvent::Closed { code, .. }] if code == "not-allowed"
        ));
        let delay_ms = REOPEN_DELAY_MS_MIN << round;
        scene.now_ms += delay_ms - 1;
        scene.say(Ping { nonce: 1 }).unwrap();
        scene.core.handle_timeout(scene.now_ms).unwrap();
        assert!(matches!(
            scene.take_hub_messages()[..],
            [HubMessage::Pong(_)]
        ));
        scene.now_ms += 1;
        scene.core.handle_timeout(scene.now_ms).unwrap();
    }
}

#[test]
fn a_handle_that_is_dropped_closes_the_channel_whatever_its_state() {
    let mut scene = Scene::connected();
    let open = scene.channel(credit(9, 999), 9);
    scene.core.close(open);
    assert!(
        matches!(&scene.take_hub_messages()[..], [HubMessage::CloseChannel(c)] if c.channel_id == 1)
    );
    // Before the hub has answered: closed as soon as it has.
    let opening = scene
        .core
        .open(EXT_MINT_QUOTE, &mint(), "", scene.now_ms)
        .unwrap();
    scene.core.close(opening);
    scene.opened(2, credit(1, 1), Some(1));
    assert!(
        matches!(&scene.take_hub_messages()[..], [HubMessage::CloseChannel(c)] if c.channel_id == 2)
    );
    // Its name is free again.
    scene
        .core
        .open(EXT_MINT_QUOTE, &mint(), "", scene.now_ms)
        .unwrap();
    assert!(matches!(
        scene.core.open(EXT_MINT_QUOTE, &mint(), "", scene.now_ms),
        Err(OpenError::AlreadyOpen { .. })
    ));
}

fn offer(channel_id: u32, peer: &str, label: &str, instance: u64) -> ChannelOffer {
    ChannelOffer {
        channel_id,
        extension: EXT_MINT_QUOTE,
        peer: peer.to_owned(),
        label: label.to_owned(),
        peer_present: true,
        peer_instance: instance,
        credit_messages: 8,
        credit_bytes: 800,
    }
}

#[test]
fn a_listed_pools_channel_is_accepted_and_kept_over_reconnects() {
    let mut scene = Scene::connected();
    let listener = scene
        .core
        .listen(
            EXT_MINT_QUOTE,
            10,
            Box::new(|channel| channel.peer == "pool/a"),
        )
        .unwrap();
    scene.say(offer(3, "pool/b", "", 1)).unwrap();
    assert!(matches!(
        &scene.take_hub_messages()[..],
        [HubMessage::ChannelOfferRefuse(refuse)] if refuse.reason_code == "not-listed"
    ));
    scene.say(offer(4, "pool/a", "", 21)).unwrap();
    assert!(matches!(
        scene.take_hub_messages()[..],
        [HubMessage::ChannelOfferAccept(_)]
    ));
    let key = scene.core.take_accepted(listener).unwrap();
    assert_eq!(scene.events(key), [ChannelEvent::Present { instance: 21 }]);
    assert_eq!(scene.core.send(key, 0x81, b"answer"), Ok(1));

    scene.reconnect();
    scene.say(offer(1, "pool/a", "", 21)).unwrap();
    assert_eq!(scene.core.take_accepted(listener), None);
    assert_eq!(
        scene.events(key),
        [ChannelEvent::Lost, ChannelEvent::Present { instance: 21 }]
    );
    scene.take_all();
    assert_eq!(scene.core.send(key, 0x81, b"answer"), Ok(1));
    assert_eq!(scene.take_one().channel_id(), Some(1));
}

#[test]
fn two_offers_of_one_name_are_two_channels() {
    let mut scene = Scene::connected();
    let listener = scene
        .core
        .listen(EXT_MINT_QUOTE, 10, Box::new(|_| true))
        .unwrap();
    // The same opener reaches us by name and as a member of a group.
    scene.say(offer(3, "pool/a", "", 21)).unwrap();
    scene.say(offer(4, "pool/a", "", 21)).unwrap();
    let keys = [(); 2].map(|()| scene.core.take_accepted(listener).unwrap());
    for (key, bytes) in [(3, b"by name"), (4, b"a group")] {
        scene.hear(from_mint(key, bytes)).unwrap();
    }
    for (key, expected) in keys.into_iter().zip([b"by name", b"a group"]) {
        assert!(matches!(
            &scene.events(key)[..],
            [ChannelEvent::Present { instance: 21 }, ChannelEvent::Message { bytes, .. }]
                if bytes == expected
        ));
    }
    // One ends, and is offered again: its owner has it still, and the other's is left alone.
    scene
        .say(CloseChannel {
            channel_id: 3,
            reason_code: "closed-by-peer".to_owned(),
            detail: String::new(),
        })
        .unwrap();
    scene.say(offer(5, "pool/a", "", 21)).unwrap();
    assert_eq!(scene.core.take_accepted(listener), None);
    assert!(matches!(
        &scene.events(keys[0])[..],
        [ChannelEvent::Closed { .. }, ChannelEvent::Present { .. }]
    ));
    assert_eq!(scene.events(keys[1]), []);
}

#[test]
fn one_pool_cannot_take_all_the_channels_of_a_mint() {
    let mut scene = Scene::connected();
    scene
        .core
        .listen(EXT_MINT_QUOTE, 10, Box::new(|_| true))
        .unwrap();
    for id in 1..=20 {
        scene.say(offer(id, "pool/a", &id.to_string(), 1)).unwrap();
    }
    scene.say(offer(21, "pool/b", "", 1)).unwrap();
    let answers = scene.take_hub_messages();
    let accepted: Vec<usize> = answers
        .iter()
        .enumerate()
        .filter(|(_, answer)| matches!(answer, HubMessage::ChannelOfferAccept(_)))
        .map(|(index, _)| index + 1)
        .collect();
    let mut expected: Vec<usize> = (1..=CHANNELS_PER_PEER_MAX).collect();
    expected.push(21);
    assert_eq!(accepted, expected);
}

#[test]
fn a_channel_whose_pool_is_away_gives_way_to_one_that_is_there() {
    let mut scene = Scene::connected();
    let listener = scene
        .core
        .listen(EXT_MINT_QUOTE, CHANNELS_PER_PEER_MAX, Box::new(|_| true))
        .unwrap();
    let channels = u32::try_from(CHANNELS_PER_PEER_MAX).unwrap();
    let mut keys = Vec::new();
    for id in 1..=channels {
        scene.say(offer(id, "pool/a", &id.to_string(), 1)).unwrap();
        keys.push(scene.core.take_accepted(listener).unwrap());
    }
    scene
        .say(Presence {
            channel_id: 2,
            present: false,
            instance: 0,
        })
        .unwrap();
    scene.take_all();
    for key in &keys {
        scene.events(*key);
    }
    // Of the same pool, and then, with all of its own there, of another one: there is room once.
    scene.say(offer(50, "pool/a", "new", 2)).unwrap();
    scene.say(offer(51, "pool/b", "", 3)).unwrap();
    let answers = scene.take_hub_messages();
    assert!(
        matches!(
            &answers[..],
            [
                HubMessage::CloseChannel(close),
                HubMessage::ChannelOfferAccept(accept),
                HubMessage::ChannelOfferRefuse(refuse),
            ] if close.channel_id == 2 && accept.channel_id == 50 && refuse.channel_id == 51
        ),
        "{answers:?}"
    );
    // Its owner hears of it, and what it does afterwards is about nothing.
    assert!(matches!(
        &scene.events(keys[1])[..],
        [ChannelEvent::Closed { .. }]
    ));
    scene.core.close(keys[1]);
    assert!(scene.take_hub_messages().is_empty());

    // An old name is as good as a new one.
    scene.core.close(keys[0]);
    scene.take_all();
    scene.say(offer(52, "pool/a", "2", 2)).unwrap();
    assert!(matches!(
        scene.take_hub_messages()[..],
        [HubMessage::ChannelOfferAccept(_)]
    ));
}

#[test]
fn a_hub_that_makes_us_answer_and_does_not_read_is_left() {
    let mut scene = Scene::connected();
    let mut left = None;
    for id in 1..=CONTROL_WAITING_MAX as u32 + 1 {
        left = scene.say(offer(id, "pool/a", "", 1)).err();
    }
    assert!(matches!(
        left,
        Some(SessionError::Misbehaved(
            Misbehaviour::ControlOverflow { .. }
        ))
    ));
}

#[test]
fn channels_take_turns_and_control_goes_first() {
    let mut scene = Scene::connected();
    let mut keys = Vec::new();
    for (id, label) in [(1, "a"), (2, "b")] {
        keys.push(
            scene
                .core
                .open(EXT_MINT_QUOTE, &mint(), label, scene.now_ms)
                .unwrap(),
        );
        scene.opened(id, credit(100, 10_000), Some(1));
        scene.core.take_event(keys[keys.len() - 1]);
    }
    for _ in 0..8 {
        scene.core.send(keys[0], REQUEST, b"a").unwrap();
    }
    assert_eq!(
        scene.core.send(keys[0], REQUEST, b"a"),
        Err(SendError::Unsent)
    );
    scene.core.send(keys[1], REQUEST, b"b").unwrap();
    scene.core.send(keys[1], REQUEST, b"b").unwrap();
    while scene.core.poll_woken().is_some() {}
    scene.say(Ping { nonce: 1 }).unwrap();
    let order: Vec<Option<u32>> = (0..5)
        .map(|_| scene.core.poll_transmit().unwrap().channel_id())
        .collect();
    assert_eq!(order, [None, Some(1), Some(2), Some(1), Some(2)]);
    // The owner that had found no room is told when there is.
    assert_eq!(scene.core.poll_woken(), None);
    scene.take_all();
    assert_eq!(scene.core.poll_woken(), Some(Woken::Channel(keys[0])));
}

#[test]
fn a_family_that_the_hub_does_not_offer_is_the_channels_problem_alone() {
    let (mut scene, _) = {
        let mut scene = Scene::new();
        scene.core.connected(&transcript(), [1; 32], 0).unwrap();
        scene.hear(setup_success()).unwrap();
        scene.hear(extensions_success(1, &[EXT_HUB])).unwrap();
        scene.take_all();
        (scene, ())
    };
    let key = scene.core.open(EXT_MINT_QUOTE, &mint(), "", 0).unwrap();
    scene.let_in();
    assert!(scene.take_all().is_empty());
    assert!(matches!(
        &scene.events(key)[..],
        [ChannelEvent::Closed { code, .. }] if code == "extension-not-negotiated"
    ));
    assert!(matches!(
        scene.core.open(0x4803, &mint(), "", 0),
        Err(OpenError::NotNegotiated { extension: 0x4803 })
    ));
}

proptest! {
    /// Whatever an authenticated hub sends, the core neither panics nor holds more than its bounds.
    #[test]
    fn a_hostile_hub_ends_its_connection_at_worst(
        frames in prop::collection::vec(
            (
                prop_oneof![Just(EXT_HUB), Just(EXT_MINT_QUOTE | 0x8000), Just(EXT_EXTENSIONS), any::<u16>()],
                0..0x12u8,
                prop::collection::vec(prop_oneof![Just(0u8), Just(1u8), any::<u8>()], 0..40),
            ),
            0..60,
        ),
    ) {
        let mut scene = Scene::connected();
        let key = scene.channel(credit(3, 300), 9);
        scene.core.listen(EXT_MINT_QUOTE, 3, Box::new(|_| true)).unwrap();
        let mut messages = 0;
        for (extension_type, msg_type, payload) in frames {
            if scene.hear(Frame { extension_type, msg_type, payload }).is_err() {
                scene.reconnect();
            }
            let _ = scene.core.send(key, REQUEST, b"x");
            scene.core.poll_transmit();
            messages += 1;
        }
        let events = scene.events(key);
        prop_assert!(events.len() <= messages + 2);
    }
}

#[test]
fn a_pool_that_is_asked_to_reconnect_takes_answers_and_sends_no_more_requests() {
    let mut scene = Scene::connected();
    let key = scene.channel(credit(10, 100_000), 7);
    scene.core.send(key, 0x80, b"request").unwrap();
    let reconnect = Reconnect {
        new_host: "elsewhere".to_owned(),
        new_port: 1,
    };
    scene.hear(reconnect.to_frame().unwrap()).unwrap();
    scene.take_all();
    let refused = scene.core.send(key, 0x80, b"request").unwrap_err();
    assert!(matches!(refused, SendError::NoCredit), "{refused:?}");
    assert_eq!(scene.core.send_credit(key), Credit::default());
    scene.hear(from_mint(1, b"answer")).unwrap();
    assert!(matches!(
        scene.core.take_event(key),
        Some(ChannelEvent::Message { .. })
    ));

    // A hub that says no more is left after a while, for the one that is configured.
    let at_ms = scene.now_ms + crate::limits::RECONNECT_WITHIN_MS;
    scene.hear(Pong { nonce: 1 }.to_frame().unwrap()).unwrap();
    scene.now_ms = at_ms - 2_000;
    scene.hear(Pong { nonce: 1 }.to_frame().unwrap()).unwrap();
    assert_eq!(scene.core.handle_timeout(at_ms - 1), Ok(()));
    assert_eq!(
        scene.core.handle_timeout(at_ms),
        Err(SessionError::Reconnect)
    );
    scene.now_ms = at_ms;
    scene.reconnect();
    scene.opened(1, credit(10, 100_000), Some(8));
    scene.events(key);
    scene.core.send(key, 0x80, b"request").unwrap();
}
