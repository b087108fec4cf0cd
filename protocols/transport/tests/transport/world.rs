//! The people in these stories: an authority that signs, and a hub that it vouches for.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use winze_transport::{
    Certificate, FrameDecoder, FrameEncoder, Initiator, Limits, Responder, SecretKey,
    ServerIdentity, Session,
};

/// When these stories happen, in unix seconds.
pub const NOW: u32 = 1_794_000_000;
pub const ONE_HOUR_S: u32 = 3_600;

pub const LIMITS: Limits = Limits {
    payload_bytes_max: 2_000_000,
};

/// Payloads around the ends of the first and the second block, and one of many blocks.
pub const BORDERS_BYTES: [usize; 10] = [
    0, 1, 65_518, 65_519, 65_520, 131_037, 131_038, 131_039, 131_040, 1_000_003,
];

pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub fn authority() -> SecretKey {
    SecretKey::from_bytes(&[0x11; 32]).unwrap()
}

/// The hub, with a certificate by `authority` for the hour before and after [`NOW`].
pub fn hub(authority: &SecretKey) -> ServerIdentity {
    hub_certified_for(authority, NOW - ONE_HOUR_S, NOW + ONE_HOUR_S)
}

pub fn hub_certified_for(authority: &SecretKey, from: u32, until: u32) -> ServerIdentity {
    let static_key = SecretKey::from_bytes(&[0x22; 32]).unwrap();
    let certificate =
        Certificate::sign(authority, static_key.public_key(), from, until, &[0x33; 32]);
    ServerIdentity::new(static_key, certificate).unwrap()
}

/// A client and the hub after their handshake.
pub fn connected(seed: u64) -> (Session, Session) {
    let rng = &mut rng(seed);
    let (client, act_1) = Initiator::start(Some(authority().public_key()), rng);
    let (act_2, hub) = Responder::respond(&hub(&authority()), &act_1, rng).unwrap();
    (client.finish(&act_2, NOW).unwrap(), hub)
}

/// One direction of such a connection, client to hub.
pub fn codec_pair(seed: u64) -> (FrameEncoder, FrameDecoder) {
    let (client, hub) = connected(seed);
    (
        FrameEncoder::new(client.sealer, LIMITS),
        FrameDecoder::new(hub.opener, LIMITS),
    )
}

/// A frame whose payload differs from byte to byte and from frame to frame.
pub fn frame(number: u8, payload_bytes: usize) -> winze_transport::Frame {
    winze_transport::Frame {
        extension_type: 0x4802,
        msg_type: number,
        payload: (0..payload_bytes)
            .map(|i| (i % 251) as u8 ^ number)
            .collect(),
    }
}
