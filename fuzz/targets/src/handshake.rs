use std::sync::OnceLock;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use winze_transport::{
    ACT_1_BYTES, ACT_2_BYTES, Certificate, Initiator, Responder, SecretKey, ServerIdentity, Session,
};

/// Both acts, each changed by the bytes of `data` (exclusive or), or replaced by them where its first bit is set. Only
/// acts that arrive as they were sent make a session, and then both sides name it alike.
pub fn handshake(data: &[u8]) {
    let (&how, changes) = data.split_first().unwrap_or((&0, &[]));
    let (changes_1, changes_2) = changes.split_at(changes.len().min(ACT_1_BYTES));
    let mut rng = ChaCha20Rng::seed_from_u64(1);

    let (initiator, sent_1) =
        Initiator::start(Some(server().certificate().authority_key), &mut rng);
    let mut act_1 = sent_1;
    disturb(&mut act_1, changes_1, how & 1 != 0);
    let (sent_2, answering) = Responder::respond(server(), &act_1, &mut rng)
        .expect("the responder answers whatever it is sent");
    let mut act_2: [u8; ACT_2_BYTES] = sent_2;
    disturb(&mut act_2, changes_2, how & 2 != 0);

    let initiated = initiator.finish(&act_2, 1_000);
    assert_eq!(initiated.is_ok(), act_1 == sent_1 && act_2 == sent_2);
    if let Ok(initiated) = initiated {
        assert_eq!(initiated.transcript, answering.transcript);
        assert_eq!(initiated.certificate.as_ref(), Some(server().certificate()));
    }
}

/// The two ends of a connection, dialling side first; always the same one.
pub(crate) fn connection() -> (Session, Session) {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let (initiator, act_1) = Initiator::start(None, &mut rng);
    let (act_2, server) =
        Responder::respond(server(), &act_1, &mut rng).expect("any act 1 is answered");
    let client = initiator
        .finish(&act_2, 1_000)
        .expect("nothing was altered");
    (client, server)
}

fn disturb(act: &mut [u8], changes: &[u8], replace: bool) {
    for (byte, change) in act.iter_mut().zip(changes) {
        *byte = if replace { *change } else { *byte ^ *change };
    }
}

fn server() -> &'static ServerIdentity {
    static SERVER: OnceLock<ServerIdentity> = OnceLock::new();
    SERVER.get_or_init(|| {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let authority = SecretKey::generate(&mut rng);
        let key = SecretKey::generate(&mut rng);
        let certificate = Certificate::sign(&authority, key.public_key(), 0, 2_000, &[0; 32]);
        ServerIdentity::new(key, certificate).expect("they were made for one another")
    })
}
