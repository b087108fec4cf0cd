//! The Sv2 reference crates as a peer: `noise_sv2` for the handshake, `codec_sv2` for frames.

use std::time::Duration;

use codec_sv2::{Handshake, InitiatorSent, Transport};
use framing_sv2::framing::SerializedFrame;
use rand_chacha::ChaCha20Rng;
use winze_reference::Peer;
use winze_transport::{ACT_1_BYTES, ACT_2_BYTES, Frame, PublicKey, SecretKey};

use crate::world::ONE_HOUR_S;

/// A client of the reference crates between act 1 and act 2.
pub struct ReferenceInitiator(Handshake<InitiatorSent>);

impl ReferenceInitiator {
    pub fn start(authority: PublicKey, rng: &mut ChaCha20Rng) -> (Self, [u8; ACT_1_BYTES]) {
        let initiator =
            noise_sv2::Initiator::from_raw_k_with_rng(authority.to_bytes(), rng).unwrap();
        let (act_1, sent) = Handshake::initiator(initiator).step_0().unwrap();
        (
            ReferenceInitiator(sent),
            act_1.payload().try_into().unwrap(),
        )
    }

    /// `None` where the reference crates refuse.
    pub fn finish(self, act_2: [u8; ACT_2_BYTES], now: u32) -> Option<ReferencePeer> {
        Some(ReferencePeer::new(self.0.step_2_with_now(act_2, now).ok()?))
    }
}

/// A server of the reference crates, which signs its own certificate for an hour from `now`.
/// Takes from `rng` in this order: ephemeral key, static key, the signature's randomness.
pub fn respond(
    authority: &SecretKey,
    act_1: [u8; ACT_1_BYTES],
    now: u32,
    rng: &mut ChaCha20Rng,
) -> ([u8; ACT_2_BYTES], ReferencePeer) {
    let responder = noise_sv2::Responder::from_authority_kp_with_rng(
        authority.public_key().as_bytes(),
        authority.expose_bytes(),
        Duration::from_secs(ONE_HOUR_S.into()),
        rng,
    )
    .unwrap();
    let (act_2, transport) = Handshake::responder(responder)
        .step_1_with_now_rng(act_1, now, rng)
        .unwrap();
    (
        act_2.payload().try_into().unwrap(),
        ReferencePeer::new(transport),
    )
}

/// Either side after the handshake.
pub struct ReferencePeer(Peer);

impl ReferencePeer {
    fn new(transport: Transport) -> Self {
        ReferencePeer(Peer::new(transport))
    }

    pub fn send(&mut self, frame: &Frame) -> Vec<u8> {
        self.0
            .seal(SerializedFrame::<Vec<u8>>::from_bytes(frame.to_bytes()).unwrap())
    }

    /// Takes the bytes of exactly one frame.
    pub fn receive(&mut self, mut wire: &[u8]) -> Frame {
        loop {
            let room = self.0.missing();
            let (now, later) = wire.split_at(room.len());
            room.copy_from_slice(now);
            wire = later;
            if let Some(frame) = self.0.open() {
                assert!(wire.is_empty(), "{} bytes left over", wire.len());
                return Frame::from_bytes(&frame).unwrap();
            }
        }
    }
}
