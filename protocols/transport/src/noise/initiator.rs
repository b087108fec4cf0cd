use std::fmt;

use rand::{CryptoRng, RngCore};
use secp256k1::ellswift::{ElligatorSwift, ElligatorSwiftParty};

use super::session::Transcript;
use super::symmetric::Symmetric;
use super::{
    ACT_1_BYTES, ACT_2_BYTES, ELLSWIFT_BYTES, ENCRYPTED_CERTIFICATE_BYTES,
    ENCRYPTED_STATIC_KEY_BYTES, HandshakeError, Session, ecdh, encode_ellswift,
};
use crate::keys::{
    CERTIFICATE_VERSION, Certificate, CertificateError, PublicKey, SIGNATURE_MESSAGE_BYTES,
    SecretKey,
};

/// The side that dials, between act 1 and act 2 (Sv2 specification 4.5.1.1 and 4.5.2.2).
pub struct Initiator {
    symmetric: Symmetric,
    ephemeral: SecretKey,
    act_1: [u8; ACT_1_BYTES],
    authority: Option<PublicKey>,
}

impl Initiator {
    /// Begins a handshake and returns act 1, which is to be sent.
    ///
    /// `authority` is who has to vouch for the responder. Without one anybody may answer: the
    /// connection is then secret and whole, but with whom is unknown.
    pub fn start(
        authority: Option<PublicKey>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> (Initiator, [u8; ACT_1_BYTES]) {
        let ephemeral = SecretKey::generate(rng);
        let act_1 = encode_ellswift(&ephemeral).to_array();
        let mut symmetric = Symmetric::new();
        symmetric.mix_hash(&act_1);
        // The payload of act 1 is empty, and there is no key yet to encrypt it with.
        symmetric.mix_hash(&[]);
        let initiator = Initiator {
            symmetric,
            ephemeral,
            act_1,
            authority,
        };
        (initiator, act_1)
    }

    /// Takes the responder's answer and ends the handshake. `now_unix_s` is what the certificate
    /// is judged by.
    pub fn finish(
        self,
        act_2: &[u8; ACT_2_BYTES],
        now_unix_s: u32,
    ) -> Result<Session, HandshakeError> {
        let Initiator {
            mut symmetric,
            ephemeral,
            act_1,
            authority,
        } = self;
        let transcript = Transcript::new(&act_1, act_2);
        let ours = ElligatorSwift::from_array(act_1);
        let (their_ephemeral, mut static_block, mut certificate_block) = split_act_2(act_2);

        symmetric.mix_hash(&their_ephemeral);
        let theirs = ElligatorSwift::from_array(their_ephemeral);
        symmetric.mix_key(&ecdh(ours, theirs, &ephemeral, ElligatorSwiftParty::A));

        let their_static = symmetric
            .decrypt_and_hash(&mut static_block)
            .map_err(|_| HandshakeError::StaticKeyNotAuthentic)?;
        let their_static = ElligatorSwift::from_array(sized(their_static));
        symmetric.mix_key(&ecdh(
            ours,
            their_static,
            &ephemeral,
            ElligatorSwiftParty::A,
        ));

        let message = symmetric
            .decrypt_and_hash(&mut certificate_block)
            .map_err(|_| HandshakeError::CertificateNotAuthentic)?;
        let static_point = secp256k1::PublicKey::from_ellswift(their_static);
        let certificate = judge(
            &sized(message),
            static_point.x_only_public_key().0.into(),
            authority,
            now_unix_s,
        )?;

        let (sealer, opener) = symmetric.split_for_initiator();
        Ok(Session {
            sealer,
            opener,
            transcript,
            certificate,
        })
    }
}

/// Without an authority only the version counts, as in the reference crate.
fn judge(
    message: &[u8; SIGNATURE_MESSAGE_BYTES],
    static_key: PublicKey,
    authority: Option<PublicKey>,
    now_unix_s: u32,
) -> Result<Option<Certificate>, CertificateError> {
    let [v0, v1, ..] = *message;
    let version = u16::from_le_bytes([v0, v1]);
    if version != CERTIFICATE_VERSION {
        return Err(CertificateError::Version { found: version });
    }
    let Some(authority) = authority else {
        return Ok(None);
    };
    let certificate = Certificate::from_signature_message(message, static_key, authority);
    certificate.verify(&authority, now_unix_s)?;
    Ok(Some(certificate))
}

type Act2Parts = (
    [u8; ELLSWIFT_BYTES],
    [u8; ENCRYPTED_STATIC_KEY_BYTES],
    [u8; ENCRYPTED_CERTIFICATE_BYTES],
);

fn split_act_2(act_2: &[u8; ACT_2_BYTES]) -> Act2Parts {
    let (ephemeral, rest) = act_2.split_at(ELLSWIFT_BYTES);
    let (static_block, certificate_block) = rest.split_at(ENCRYPTED_STATIC_KEY_BYTES);
    (
        sized(ephemeral),
        sized(static_block),
        sized(certificate_block),
    )
}

fn sized<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes
        .try_into()
        .expect("the parts of act 2 have fixed lengths that add up to it")
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiator")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}
