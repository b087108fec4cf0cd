//! ChaCha20-Poly1305 (RFC 8439) with the nonce of the Noise framework, as Sv2 encrypts with it
//! (specification 4.4.1): text by text, or many short ones in one go.
//!
//! A text by itself is `ring`'s. But Sv2 encrypts each message twice, a header of 6 bytes and a
//! payload of some two hundred, and for texts so short a library that is handed one at a time
//! spends most of its time waiting for its own results: ChaCha20 is one long chain of operations,
//! and so is Poly1305. What stands in one buffer are many such texts under one key, with nonces
//! that follow one another. So [`Aead::seal_run`] and [`Aead::open_run`] compute sixteen blocks of
//! ChaCha20 at a time, of whichever texts they belong to, and Poly1305 of eight texts at a time,
//! each in a lane of a vector register. On a processor without the instructions, a run goes
//! through `ring`, text by text; nobody can tell which it was but by the clock.
//!
//! Nothing in a payload, a key or a MAC decides about a branch or an address. Lengths do, also those that headers say
//! before it is known whether they are authentic: whoever listens sees them in the sizes of what is sent, and whoever forges
//! one learns no more than that it was refused.

mod lanes;
mod one;
mod run;

pub use one::{Aead, MAC_BYTES, Refused};
pub use run::{HEADER_BYTES, RUN_FRAMES_MAX, RUN_PAYLOAD_BYTES_MAX, frame_bytes, is_for_run};
