use winze_transport::Initiator;

use crate::world::{authority, connected, hub, rng};

#[test]
fn debug_of_what_holds_a_secret_shows_what_is_public_and_no_more() {
    let trusted = authority().public_key();
    let (initiator, _) = Initiator::start(Some(trusted), &mut rng(1));
    assert_eq!(
        format!("{initiator:?}"),
        format!("Initiator {{ authority: Some({trusted}), .. }}")
    );

    let (_, hub_session) = connected(1);
    assert_eq!(
        format!("{hub_session:?}"),
        format!(
            "Session {{ sealer: Sealer {{ .. }}, opener: Opener {{ .. }}, transcript: {:?}, \
             certificate: None }}",
            hub_session.transcript
        )
    );

    let identity = hub(&authority());
    let key = identity.static_key();
    assert_eq!(
        format!("{identity:?}"),
        format!(
            "ServerIdentity {{ static_key: SecretKey {{ public_key: {}, .. }}, certificate: {:?} }}",
            key.public_key(),
            identity.certificate()
        )
    );
}
