use winze_messages::authentication;
use winze_messages::families::common::SetupConnectionError;
use winze_messages::families::hub::{
    AuthenticateError, AuthenticateSuccess, Close, HubMessage, OpenChannelSuccess, Ping,
};

use super::*;

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
