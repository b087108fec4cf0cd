//! Handshake and frames over any tokio byte stream. No sockets are opened and no clock is read
//! here: deadlines are for the caller to put around these calls.

mod buffers;
mod establish;
mod reader;
mod writer;

pub use establish::{EstablishError, initiate, respond};
pub use reader::{FrameReader, ReadError};
pub use writer::FrameWriter;
