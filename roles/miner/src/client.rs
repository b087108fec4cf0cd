//! One mining connection, message by message.
//!
//! [`MiningClient`] does what it is told, sensible or not: the miner drives it with real shares, tests
//! with duplicate, stale and broken ones.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use rand::rngs::OsRng;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use winze_messages::EXT_MINT_QUOTE;
use winze_transport::{
    CodecError, EstablishError, Frame, FrameReader, FrameWriter, Limits, PublicKey, ReadError,
    initiate,
};

use crate::incoming::{Incoming, MessageError};
use crate::limits::{
    FRAMES_PER_TURN_MAX, MESSAGES_BEFORE_OPEN_MAX, PAYLOAD_BYTES_MAX, STEP_TIMEOUT, WRITE_TIMEOUT,
};
use crate::outgoing::{self, OpenChannel};
use crate::proof::Target;
use crate::work::{ChannelKind, ChannelTerms, Share};

/// Where and how to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectConfig {
    /// The pool's mining port, `host:port`.
    pub address: String,
    /// The authority that signed the pool's certificate.
    pub authority: PublicKey,
    /// Ask for standard jobs only, as an end device does; otherwise jobs may come for a group.
    pub standard_jobs_only: bool,
    /// Ask for notices of quotes (extension 0x4802).
    pub quotes: bool,
}

/// Why a mining connection did not come about, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The pool cannot be reached.
    #[error("cannot connect to the pool at {address}: {source}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A step took too long.
    #[error("the pool did not complete {step} within {seconds} s")]
    TooSlow {
        /// What was waited for.
        step: &'static str,
        /// How long.
        seconds: u64,
    },
    /// The Noise handshake failed.
    #[error("the Noise handshake with the pool failed: {0}")]
    Handshake(#[from] EstablishError),
    /// The clock is before 1970 or after 2106, so no certificate can be judged.
    #[error("this machine's clock does not fit the certificate's 32-bit seconds")]
    Clock,
    /// The pool refused `SetupConnection`.
    #[error("the pool refused the connection: {error_code} (flags {flags:#x})")]
    SetupRefused {
        /// The pool's reason.
        error_code: String,
        /// Flags that it does not support.
        flags: u32,
    },
    /// The pool refused the channel.
    #[error("the pool refused the channel: {error_code}")]
    OpenRefused {
        /// The pool's reason.
        error_code: String,
    },
    /// Something else came where an answer was due.
    #[error("the pool sent something else where {expected} was due")]
    Unexpected {
        /// What was due.
        expected: &'static str,
    },
    /// The pool closed the connection.
    #[error("the pool closed the connection")]
    Closed,
    /// Reading failed.
    #[error("reading from the pool failed: {0}")]
    Read(#[from] ReadError),
    /// Writing failed.
    #[error("writing to the pool failed: {0}")]
    Write(#[source] io::Error),
    /// A message of ours could not be encrypted.
    #[error("a message to the pool cannot be sent: {0}")]
    Seal(#[from] CodecError),
    /// A message is not what its type asks for.
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// A mining connection after `SetupConnection` and extension negotiation.
pub struct MiningClient {
    reader: FrameReader<OwnedReadHalf>,
    writer: FrameWriter<OwnedWriteHalf>,
    /// Whole frames of the last read that nobody has asked for. At most one read's worth, as no
    /// more is read before they are gone.
    frames: Vec<Frame>,
    /// Decoded, and put off while an answer was awaited; at most [`MESSAGES_BEFORE_OPEN_MAX`].
    put_off: VecDeque<Incoming>,
    quotes: bool,
}

impl MiningClient {
    /// Dials, shakes hands, sets up the connection, and negotiates the quote extension if asked to.
    ///
    /// # Errors
    /// [`ClientError`]: each step has [`STEP_TIMEOUT`].
    pub async fn connect(config: &ConnectConfig) -> Result<MiningClient, ClientError> {
        let connect = |source| ClientError::Connect {
            address: config.address.clone(),
            source,
        };
        let mut tcp = step("the TCP connection", TcpStream::connect(&config.address))
            .await?
            .map_err(connect)?;
        // A share is a small message that should go at once.
        tcp.set_nodelay(true).map_err(connect)?;
        let peer = tcp.peer_addr().map_err(connect)?;

        let now_unix_s = now_unix_s().ok_or(ClientError::Clock)?;
        let authority = Some(config.authority);
        let mut rng = OsRng;
        let handshake = initiate(&mut tcp, authority, now_unix_s, &mut rng);
        let session = step("the Noise handshake", handshake).await??;

        let limits = Limits {
            payload_bytes_max: PAYLOAD_BYTES_MAX,
        };
        let (read_half, write_half) = tcp.into_split();
        let mut client = MiningClient {
            reader: FrameReader::new(read_half, session.opener, limits),
            writer: FrameWriter::new(write_half, session.sealer, limits),
            frames: Vec::new(),
            put_off: VecDeque::new(),
            quotes: false,
        };
        let host = peer.ip().to_string();
        step(
            "SetupConnection and extension negotiation",
            client.set_up(config, &host, peer.port()),
        )
        .await??;
        Ok(client)
    }

    /// Whether the pool tells this connection about quotes.
    pub fn has_quotes(&self) -> bool {
        self.quotes
    }

    /// Opens a channel and waits for its answer; what else arrives meanwhile is given by
    /// [`receive`](Self::receive) afterwards, in order.
    ///
    /// # Errors
    /// [`ClientError::OpenRefused`] with the pool's code; others where the connection is no good.
    pub async fn open_channel(&mut self, open: &OpenChannel) -> Result<ChannelTerms, ClientError> {
        self.send(&open.to_frame()?).await?;
        step(
            "the opening of a channel",
            self.await_opened(open.request_id),
        )
        .await?
    }

    /// The next message. Cancel-safe.
    ///
    /// # Errors
    /// [`ClientError::Closed`] where the pool closed; others where the connection is no good.
    pub async fn receive(&mut self) -> Result<Incoming, ClientError> {
        if let Some(message) = self.put_off.pop_front() {
            return Ok(message);
        }
        self.receive_new().await
    }

    /// Submits a share under a sequence number of the caller's choice.
    ///
    /// # Errors
    /// [`ClientError`] where it cannot be sent.
    pub async fn submit(
        &mut self,
        kind: ChannelKind,
        channel_id: u32,
        sequence_number: u32,
        share: &Share,
    ) -> Result<(), ClientError> {
        let frame = outgoing::submit(kind, channel_id, sequence_number, share)?;
        self.send(&frame).await
    }

    /// Tells the pool another hash rate, and asks for a target no easier than `maximum_target`.
    ///
    /// # Errors
    /// [`ClientError`] where it cannot be sent.
    pub async fn update_channel(
        &mut self,
        channel_id: u32,
        nominal_hash_rate: f32,
        maximum_target: Target,
    ) -> Result<(), ClientError> {
        let frame = outgoing::update_channel(channel_id, nominal_hash_rate, maximum_target)?;
        self.send(&frame).await
    }

    /// Closes a channel of this connection.
    ///
    /// # Errors
    /// [`ClientError`] where it cannot be sent.
    pub async fn close_channel(
        &mut self,
        channel_id: u32,
        reason_code: &str,
    ) -> Result<(), ClientError> {
        self.send(&outgoing::close_channel(channel_id, reason_code)?)
            .await
    }

    /// Sends any frame, at once. Not cancel-safe in one respect: a frame whose sending was cancelled
    /// goes out with the next one.
    ///
    /// # Errors
    /// [`ClientError::TooSlow`] after [`WRITE_TIMEOUT`]; [`ClientError::Write`].
    pub async fn send(&mut self, frame: &Frame) -> Result<(), ClientError> {
        self.writer.push(frame)?;
        match timeout(WRITE_TIMEOUT, self.writer.flush()).await {
            Ok(written) => written.map_err(ClientError::Write),
            Err(_) => Err(too_slow("taking what is sent", WRITE_TIMEOUT)),
        }
    }

    async fn set_up(
        &mut self,
        config: &ConnectConfig,
        host: &str,
        port: u16,
    ) -> Result<(), ClientError> {
        let setup = outgoing::setup_connection(host, port, config.standard_jobs_only)?;
        self.send(&setup).await?;
        match self.receive_new().await? {
            Incoming::SetupSuccess(_) => {}
            Incoming::SetupRefused { error_code, flags } => {
                return Err(ClientError::SetupRefused { error_code, flags });
            }
            _ => {
                return Err(ClientError::Unexpected {
                    expected: "SetupConnection.Success",
                });
            }
        }
        if !config.quotes {
            return Ok(());
        }
        self.send(&outgoing::request_quote_extension()?).await?;
        self.quotes = match self.receive_new().await? {
            Incoming::ExtensionsAccepted(accepted) => accepted.contains(&EXT_MINT_QUOTE),
            Incoming::ExtensionsRefused { .. } => false,
            _ => {
                return Err(ClientError::Unexpected {
                    expected: "RequestExtensions.Success",
                });
            }
        };
        Ok(())
    }

    async fn await_opened(&mut self, request_id: u32) -> Result<ChannelTerms, ClientError> {
        loop {
            match self.receive_new().await? {
                Incoming::StandardOpened(opened) if opened.request_id == request_id => {
                    return Ok(ChannelTerms {
                        kind: ChannelKind::Standard,
                        channel_id: opened.channel_id,
                        group_channel_id: opened.group_channel_id,
                        target: Target::from_le_bytes(opened.target.to_array()),
                        extranonce_prefix: opened.extranonce_prefix.as_bytes().to_vec(),
                        extranonce_bytes: 0,
                    });
                }
                Incoming::ExtendedOpened(opened) if opened.request_id == request_id => {
                    let extranonce_bytes = usize::from(opened.extranonce_size);
                    if extranonce_bytes > EXTRANONCE_BYTES_MAX {
                        return Err(ClientError::Unexpected {
                            expected: "an extranonce of at most 32 bytes",
                        });
                    }
                    return Ok(ChannelTerms {
                        kind: ChannelKind::Extended,
                        channel_id: opened.channel_id,
                        group_channel_id: opened.group_channel_id,
                        target: Target::from_le_bytes(opened.target.to_array()),
                        extranonce_prefix: opened.extranonce_prefix.as_bytes().to_vec(),
                        extranonce_bytes,
                    });
                }
                Incoming::OpenRefused {
                    request_id: refused,
                    error_code,
                } if refused == request_id => {
                    return Err(ClientError::OpenRefused { error_code });
                }
                _ if self.put_off.len() == MESSAGES_BEFORE_OPEN_MAX => {
                    return Err(ClientError::Unexpected {
                        expected: "an answer to OpenMiningChannel",
                    });
                }
                other => self.put_off.push_back(other),
            }
        }
    }

    async fn receive_new(&mut self) -> Result<Incoming, ClientError> {
        if self.frames.is_empty() {
            let count = self
                .reader
                .read_batch(&mut self.frames, FRAMES_PER_TURN_MAX)
                .await?;
            if count == 0 {
                return Err(ClientError::Closed);
            }
        }
        Ok(Incoming::decode(self.frames.remove(0))?)
    }
}

/// What fits the field that a submit carries it in (`B0_32`).
const EXTRANONCE_BYTES_MAX: usize = 32;

async fn step<T>(name: &'static str, future: impl Future<Output = T>) -> Result<T, ClientError> {
    timeout(STEP_TIMEOUT, future)
        .await
        .map_err(|_| too_slow(name, STEP_TIMEOUT))
}

fn too_slow(step: &'static str, after: Duration) -> ClientError {
    ClientError::TooSlow {
        step,
        seconds: after.as_secs(),
    }
}

fn now_unix_s() -> Option<u32> {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    u32::try_from(since.as_secs()).ok()
}
