//! Ciphers and framing of one side after its handshake, without a socket.

use codec_sv2::{
    Decrypted, EncodableFrame, NoiseDecoder, NoiseEncoder, Transport, TransportDecryptState,
    TransportEncryptState,
};

/// Either side of an encrypted connection: `codec_sv2` with the states that a handshake left.
pub struct Peer {
    encoder: NoiseEncoder,
    encrypt: TransportEncryptState,
    decoder: NoiseDecoder,
    decrypt: Option<TransportDecryptState>,
}

impl Peer {
    /// The side whose handshake ended in `transport`.
    pub fn new(transport: Transport) -> Self {
        let (encrypt, decrypt) = transport.split();
        Peer {
            encoder: NoiseEncoder::new(),
            encrypt,
            decoder: NoiseDecoder::new(),
            decrypt: Some(decrypt),
        }
    }

    /// A frame as it goes over the wire.
    pub fn seal(&mut self, frame: impl EncodableFrame) -> Vec<u8> {
        let bytes = self
            .encoder
            .encode_transport(frame, &mut self.encrypt)
            .unwrap();
        AsRef::<[u8]>::as_ref(&bytes).to_vec()
    }

    /// Where the next bytes from the wire belong. Fill it, then call [`open`](Self::open).
    pub fn missing(&mut self) -> &mut [u8] {
        self.decoder.writable()
    }

    /// Header and payload of a frame that is complete, in plain; `None` where more is missing. Panics on a block that
    /// does not decrypt.
    pub fn open(&mut self) -> Option<Vec<u8>> {
        let state = self.decrypt.take().unwrap();
        let (frame, state) = match self.decoder.next_transport_frame(state).unwrap() {
            Decrypted::Frame(frame, state) => (Some(frame.as_bytes().to_vec()), state),
            Decrypted::Incomplete(_, state) => (None, state),
        };
        self.decrypt = Some(state);
        frame
    }
}
