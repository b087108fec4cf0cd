//! Stratum V2's encrypted transport: the Noise handshake, and frames over what it leaves.
//!
//! Both sides of `Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256` (Sv2 specification, chapter 4)
//! and the framing of chapter 3.2. On the wire it is what the Sv2 reference crates speak, byte
//! for byte; the tests hold it against them. Different from them is that a server needs no
//! authority's secret: it loads a certificate that was signed elsewhere.
//!
//! | start here | what |
//! |---|---|
//! | [`frame`] | a plaintext message and its six-byte header |
//! | [`keys`] | keys and certificates, and their text forms |
//! | [`noise`] | the handshake as consuming states, and the ciphers after it |
//! | [`codec`] | frames to encrypted bytes and back, without IO |
//! | [`stream`] | the above over any tokio byte stream, in batches, cancel-safe |
//! | [`limits`] | every limit and its reason |
//!
//! All but [`stream`] is free of IO, and all of it is free of sockets, clocks and randomness: a
//! caller brings the time in unix seconds and the random number generator.
//!
//! ```
//! use rand::rngs::OsRng;
//! use winze_transport::{
//!     Certificate, Frame, FrameDecoder, FrameEncoder, Initiator, Limits, Responder, SecretKey,
//!     ServerIdentity,
//! };
//!
//! // Once, where the authority's secret is kept:
//! let authority = SecretKey::generate(&mut OsRng);
//! let static_key = SecretKey::generate(&mut OsRng);
//! let (from, until) = (1_790_000_000, 1_800_000_000);
//! let certificate =
//!     Certificate::sign(&authority, static_key.public_key(), from, until, &[7; 32]);
//!
//! // On the server, for each connection; only bytes travel between the two sides:
//! let identity = ServerIdentity::new(static_key, certificate)?;
//! let (initiator, act_1) = Initiator::start(Some(authority.public_key()), &mut OsRng);
//! let (act_2, server) = Responder::respond(&identity, &act_1, &mut OsRng)?;
//! let client = initiator.finish(&act_2, from + 60)?;
//! assert_eq!(client.transcript, server.transcript);
//!
//! let limits = Limits { payload_bytes_max: 4096 };
//! let hello = Frame { extension_type: 0, msg_type: 0, payload: b"hello".to_vec() };
//! let mut wire = Vec::new();
//! FrameEncoder::new(client.sealer, limits).encode(&hello, &mut wire)?;
//! let mut decoder = FrameDecoder::new(server.opener, limits);
//! decoder.feed(&wire);
//! assert_eq!(decoder.next_frame()?, Some(hello));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod codec;
pub mod frame;
pub mod keys;
pub mod limits;
pub mod noise;
pub mod stream;

pub use codec::{
    CodecError, FrameDecoder, FrameEncoder, HEADER_BLOCK_BYTES, encrypted_frame_bytes,
};
pub use frame::{CHANNEL_BIT, Frame, FrameError, HEADER_BYTES, Header, PAYLOAD_BYTES_MAX};
pub use keys::{
    Certificate, CertificateError, IdentityError, KeyError, PublicKey, SecretKey, ServerIdentity,
    verify_schnorr,
};
pub use limits::Limits;
pub use noise::{
    ACT_1_BYTES, ACT_2_BYTES, CipherError, HandshakeError, Initiator, Opener, Responder, Sealer,
    Session, Transcript,
};
pub use stream::{EstablishError, FrameReader, FrameWriter, ReadError, initiate, respond};
