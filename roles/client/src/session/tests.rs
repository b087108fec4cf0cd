use proptest::prelude::*;
use winze_messages::authentication;
use winze_messages::families::common::{
    CommonMessage, SetupConnectionError, SetupConnectionSuccess,
};
use winze_messages::families::extensions::{ExtensionsMessage, RequestExtensionsSuccess};
use winze_messages::families::hub::{
    Authenticate, AuthenticateError, AuthenticateSuccess, ChannelOffer, Close, Credit as CreditMsg,
    HubMessage, OpenChannelError, OpenChannelSuccess, Ping, Presence, Reject,
};
use winze_messages::{EXT_EXTENSIONS, EXT_MINT_QUOTE, channel_frame};
use winze_transport::SecretKey;

use super::*;
use crate::limits::{CHANNELS_PER_PEER_MAX, CONTROL_WAITING_MAX, REOPEN_DELAY_MS_MIN};

const REQUEST: u8 = 0x80;

/// A client's core with a hub that a test plays by hand.
struct Scene {
    core: SessionCore,
    now_ms: u64,
    /// What the client has written and the test has not looked at.
    written: Vec<Frame>,
}

fn identity() -> Identity {
    let secret = SecretKey::from_bytes(&[7; 32]).unwrap();
    Identity::new("pool", "main", secret).unwrap()
}

fn mint() -> PeerName {
    "mint/main".parse().unwrap()
}

fn transcript() -> Transcript {
    Transcript::from_bytes([3; 32])
}

impl Scene {
    fn new() -> Scene {
        let config = SessionConfig {
            endpoint_host: "hub.example".to_owned(),
            endpoint_port: 4801,
            extensions: vec![EXT_MINT_QUOTE],
            setup_timeout_ms: 5_000,
            payload_bytes_max: 65_536,
            window: Credit {
                messages: 4,
                bytes: 262_144,
            },
            unsent_messages_max: 8,
        };
        Scene {
            core: SessionCore::new(identity(), config),
            now_ms: 0,
            written: Vec::new(),
        }
    }

    /// Up to the point where the client waits for `Authenticate.Success`.
    fn authenticating() -> (Scene, Authenticate) {
        let mut scene = Scene::new();
        scene.core.connected(&transcript(), [1; 32], 0).unwrap();
        let hello = scene.take_one();
        let CommonMessage::SetupConnection(hello) = CommonMessage::decode(&hello).unwrap() else {
            panic!("{hello:?}");
        };
        assert_eq!(
            (hello.protocol, hello.min_version, hello.max_version),
            (0, 2, 2)
        );
        scene.hear(setup_success()).unwrap();
        let request = scene.take_one();
        let ExtensionsMessage::RequestExtensions(request) =
            ExtensionsMessage::decode(&request).unwrap()
        else {
            panic!("{request:?}");
        };
        assert_eq!(request.requested_extensions, [EXT_HUB, EXT_MINT_QUOTE]);
        scene
            .hear(extensions_success(
                request.request_id,
                &[EXT_HUB, EXT_MINT_QUOTE],
            ))
            .unwrap();
        let proof = scene.take_one();
        let HubMessage::Authenticate(proof) = HubMessage::decode(&proof).unwrap() else {
            panic!("{proof:?}");
        };
        (scene, proof)
    }

    fn connected() -> Scene {
        let (mut scene, _) = Scene::authenticating();
        scene.let_in();
        scene
    }

    fn let_in(&mut self) {
        self.hear(
            AuthenticateSuccess {
                payload_bytes_max: 65_536,
                channels_max: 256,
                ping_interval_ms: 1_000,
                idle_timeout_ms: 3_000,
            }
            .to_frame()
            .unwrap(),
        )
        .unwrap();
        assert!(self.core.is_ready());
    }

    /// Breaks the connection and sets up a new one.
    fn reconnect(&mut self) {
        self.core.disconnected();
        self.core
            .connected(&transcript(), [1; 32], self.now_ms)
            .unwrap();
        self.hear(setup_success()).unwrap();
        self.hear(extensions_success(1, &[EXT_HUB, EXT_MINT_QUOTE]))
            .unwrap();
        self.written.clear();
        while self.core.poll_transmit().is_some() {}
        self.let_in();
    }

    fn hear(&mut self, frame: Frame) -> Result<(), SessionError> {
        self.core.handle_frame(frame, self.now_ms)
    }

    fn say(&mut self, message: impl Into<HubMessage>) -> Result<(), SessionError> {
        let frame = message.into().to_frame().unwrap();
        self.hear(frame)
    }

    fn take_all(&mut self) -> Vec<Frame> {
        self.written
            .extend(std::iter::from_fn(|| self.core.poll_transmit()));
        std::mem::take(&mut self.written)
    }

    fn take_one(&mut self) -> Frame {
        let mut frames = self.take_all();
        assert_eq!(frames.len(), 1, "{frames:?}");
        frames.remove(0)
    }

    fn take_hub_messages(&mut self) -> Vec<HubMessage> {
        self.take_all()
            .iter()
            .map(|frame| HubMessage::decode(frame).unwrap())
            .collect()
    }

    /// Opens a channel to the mint, which is there as `instance`.
    fn channel(&mut self, credit: Credit, instance: u64) -> ChannelKey {
        let key = self
            .core
            .open(EXT_MINT_QUOTE, &mint(), "", self.now_ms)
            .unwrap();
        self.opened(1, credit, Some(instance));
        assert_eq!(
            self.core.take_event(key),
            Some(ChannelEvent::Present { instance })
        );
        key
    }

    /// The hub answers the `OpenChannel` that waits.
    fn opened(&mut self, channel_id: u32, credit: Credit, instance: Option<u64>) {
        let HubMessage::OpenChannel(open) = self.take_hub_messages().remove(0) else {
            panic!("an OpenChannel is awaited");
        };
        assert_eq!((open.extension, &*open.peer), (EXT_MINT_QUOTE, "mint/main"));
        self.say(OpenChannelSuccess {
            request_id: open.request_id,
            channel_id,
            peer_present: instance.is_some(),
            peer_instance: instance.unwrap_or(0),
            credit_messages: credit.messages,
            credit_bytes: credit.bytes,
        })
        .unwrap();
    }

    fn events(&mut self, key: ChannelKey) -> Vec<ChannelEvent> {
        std::iter::from_fn(|| self.core.take_event(key)).collect()
    }
}

fn setup_success() -> Frame {
    SetupConnectionSuccess {
        used_version: 2,
        flags: 0,
    }
    .to_frame()
    .unwrap()
}

fn extensions_success(request_id: u16, supported: &[u16]) -> Frame {
    RequestExtensionsSuccess {
        request_id,
        supported_extensions: supported.to_vec(),
    }
    .to_frame()
    .unwrap()
}

fn credit(messages: u64, bytes: u64) -> Credit {
    Credit { messages, bytes }
}

fn from_mint(channel_id: u32, bytes: &[u8]) -> Frame {
    channel_frame(EXT_MINT_QUOTE, 0x81, channel_id, bytes)
}

#[test]
fn the_way_in_ends_with_a_proof_for_this_connection() {
    let (mut scene, proof) = Scene::authenticating();
    assert_eq!((&*proof.role, &*proof.name), ("pool", "main"));
    assert_eq!(
        authentication::verify(&proof, transcript().as_bytes()),
        Ok(identity().public_key())
    );
    assert!(authentication::verify(&proof, &[4; 32]).is_err());
    assert_eq!(scene.core.payload_bytes_max(), 4_096);
    scene.let_in();
    assert_eq!(scene.core.payload_bytes_max(), 65_536);
}

#[test]
fn a_hub_that_says_no_is_understood() {
    let mut scene = Scene::new();
    scene.core.connected(&transcript(), [1; 32], 0).unwrap();
    let no = SetupConnectionError {
        flags: 0,
        error_code: "protocol-version-mismatch".to_owned(),
    };
    assert!(matches!(
        scene.hear(no.to_frame().unwrap()),
        Err(SessionError::Refused {
            step: Step::SetupConnection,
            ..
        })
    ));

    let (mut scene, _) = Scene::authenticating();
    let no = AuthenticateError {
        error_code: "too-many-takeovers".to_owned(),
        retry_after_ms: 60_000,
    };
    assert_eq!(
        scene.say(no),
        Err(SessionError::Refused {
            step: Step::Authenticate,
            code: "too-many-takeovers".to_owned(),
            retry_after_ms: 60_000
        })
    );

    let mut scene = Scene::connected();
    let close = Close {
        reason_code: "replaced".to_owned(),
        detail: String::new(),
        retry_after_ms: 9,
    };
    assert!(matches!(
        scene.say(close),
        Err(SessionError::Closed {
            retry_after_ms: 9,
            ..
        })
    ));
}

#[test]
fn a_hub_that_skips_a_step_or_makes_things_up_is_left() {
    // Authenticated before it was asked.
    let mut scene = Scene::new();
    scene.core.connected(&transcript(), [1; 32], 0).unwrap();
    let early = AuthenticateSuccess {
        payload_bytes_max: 1,
        channels_max: 1,
        ping_interval_ms: 1,
        idle_timeout_ms: 1,
    };
    assert!(scene.say(early).is_err());

    // A channel message before there can be a channel.
    let (mut scene, _) = Scene::authenticating();
    assert!(scene.hear(from_mint(1, b"x")).is_err());

    // An offer of a hub family that it does not have.
    let mut scene = Scene::new();
    scene.core.connected(&transcript(), [1; 32], 0).unwrap();
    scene.hear(setup_success()).unwrap();
    assert!(
        scene
            .hear(extensions_success(1, &[EXT_MINT_QUOTE]))
            .is_err()
    );

    // A channel that was not asked for, a message that does not decode, an unknown one.
    let invented = OpenChannelSuccess {
        request_id: 77,
        channel_id: 1,
        peer_present: true,
        peer_instance: 1,
        credit_messages: 1,
        credit_bytes: 1,
    };
    assert!(Scene::connected().say(invented).is_err());
    let mut frame = Ping { nonce: 1 }.to_frame().unwrap();
    frame.payload.push(0);
    assert!(Scene::connected().hear(frame.clone()).is_err());
    frame.msg_type = 0x70;
    assert!(Scene::connected().hear(frame.clone()).is_err());
    // An extension that nobody knows is ignored, before authentication and after.
    frame.extension_type = 0x5000;
    Scene::connected().hear(frame.clone()).unwrap();
    Scene::authenticating().0.hear(frame).unwrap();
}

#[test]
fn a_hub_that_falls_silent_is_asked_and_then_left() {
    let (mut scene, _) = Scene::authenticating();
    assert_eq!(scene.core.next_timeout_ms(), Some(5_000));
    assert!(matches!(
        scene.core.handle_timeout(5_000),
        Err(SessionError::SetupTimeout {
            step: Step::Authenticate
        })
    ));

    let mut scene = Scene::connected();
    assert_eq!(scene.core.next_timeout_ms(), Some(1_000));
    scene.core.handle_timeout(1_000).unwrap();
    assert!(matches!(
        scene.take_hub_messages()[..],
        [HubMessage::Ping(_)]
    ));
    // Any sign of life will do, and its own pings are answered, several by one.
    scene.now_ms = 2_900;
    scene.say(Ping { nonce: 5 }).unwrap();
    scene.say(Ping { nonce: 6 }).unwrap();
    assert!(matches!(&scene.take_hub_messages()[..], [HubMessage::Pong(pong)] if pong.nonce == 6));
    scene.core.handle_timeout(3_900).unwrap();
    assert_eq!(scene.core.next_timeout_ms(), Some(5_900));
    assert_eq!(
        scene.core.handle_timeout(5_900),
        Err(SessionError::IdleTimeout { silent_ms: 3_000 })
    );
}

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
