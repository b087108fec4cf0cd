use rand::{CryptoRng, RngCore};
use secp256k1::ellswift::{ElligatorSwift, ElligatorSwiftParty};

use super::session::Transcript;
use super::symmetric::Symmetric;
use super::{
    ACT_1_BYTES, ACT_2_BYTES, ELLSWIFT_BYTES, ENCRYPTED_STATIC_KEY_BYTES, HandshakeError, Session,
    ecdh, encode_ellswift,
};
use crate::keys::{SIGNATURE_MESSAGE_BYTES, SecretKey, ServerIdentity};

/// The side that is dialled. It has one step and so no state between steps (Sv2 specification
/// 4.5.1.2 and 4.5.2.1).
#[derive(Debug)]
pub struct Responder;

impl Responder {
    /// Answers act 1 with act 2, which is to be sent. Any 64 bytes are an act 1: that it was
    /// altered shows when the initiator refuses our answer. Fails with [`HandshakeError::Seal`]
    /// alone.
    pub fn respond(
        identity: &ServerIdentity,
        act_1: &[u8; ACT_1_BYTES],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<([u8; ACT_2_BYTES], Session), HandshakeError> {
        let ephemeral = SecretKey::generate(rng);
        let ours = encode_ellswift(&ephemeral);
        let theirs = ElligatorSwift::from_array(*act_1);
        let static_key = encode_ellswift(identity.static_key());

        let mut act_2 = [0; ACT_2_BYTES];
        let (ephemeral_part, rest) = act_2.split_at_mut(ELLSWIFT_BYTES);
        let (static_block, certificate_block) = rest.split_at_mut(ENCRYPTED_STATIC_KEY_BYTES);
        ephemeral_part.copy_from_slice(&ours.to_array());
        static_block[..ELLSWIFT_BYTES].copy_from_slice(&static_key.to_array());
        certificate_block[..SIGNATURE_MESSAGE_BYTES]
            .copy_from_slice(&identity.certificate().to_signature_message());

        let mut symmetric = Symmetric::new();
        symmetric.mix_hash(act_1);
        // The payload of act 1, which is empty.
        symmetric.mix_hash(&[]);

        symmetric.mix_hash(ephemeral_part);
        symmetric.mix_key(&ecdh(theirs, ours, &ephemeral, ElligatorSwiftParty::B));
        symmetric
            .encrypt_and_hash(static_block)
            .map_err(HandshakeError::Seal)?;
        symmetric.mix_key(&ecdh(
            theirs,
            static_key,
            identity.static_key(),
            ElligatorSwiftParty::B,
        ));
        symmetric
            .encrypt_and_hash(certificate_block)
            .map_err(HandshakeError::Seal)?;

        let (sealer, opener) = symmetric.split_for_responder();
        let session = Session {
            sealer,
            opener,
            transcript: Transcript::new(act_1, &act_2),
            certificate: None,
        };
        Ok((act_2, session))
    }
}
