//! A connection to the hub without a session behind it, for load generators and tests: whoever has it reads and writes
//! frames, and keeps the hub protocol by itself.

use rand::RngCore;
use rand::rngs::OsRng;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use winze_messages::codec::EncodeError;
use winze_messages::families::common::{CommonMessage, SetupConnection};
use winze_messages::families::extensions::{ExtensionsMessage, RequestExtensions};
use winze_messages::families::hub::{HubMessage, Ping, Pong};
use winze_messages::{EXT_HUB, MessageError, PeerName, authentication};
use winze_runtime::clock::now_unix_s_u32;
use winze_transport::{
    CodecError, EstablishError, Frame, FrameReader, FrameWriter, Limits, PAYLOAD_BYTES_MAX,
    PublicKey, ReadError, SecretKey, initiate,
};

/// Both halves of an authenticated connection. Nothing that the hub has said is lost: what came behind its last answer is
/// the reader's next.
pub struct RawConnection {
    /// What the hub says.
    pub from_hub: FrameReader<OwnedReadHalf>,
    /// What is said to it.
    pub to_hub: FrameWriter<OwnedWriteHalf>,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum RawError {
    /// The socket.
    #[error(transparent)]
    Socket(#[from] std::io::Error),
    /// The handshake.
    #[error(transparent)]
    Handshake(#[from] EstablishError),
    /// What the hub sent is no frame.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What the hub sent is no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A message of our own cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A frame of our own cannot be encrypted.
    #[error(transparent)]
    Encrypt(#[from] CodecError),
    /// It closed the connection.
    #[error("the hub closed the connection")]
    Closed,
    /// It answered a step of the introduction with something else than its success.
    #[error("the hub said {0}")]
    Refused(String),
}

/// Shakes hands over `stream` with a hub that `authority` has vouched for, sets the connection up for `extension` and proves
/// with its name and key who this is (specification, section 3.1). `vendor` is what the hub logs. No deadline: the caller has one.
///
/// # Errors
/// [`RawError`]; the connection is of no use then.
pub async fn introduce(
    mut stream: TcpStream,
    authority: PublicKey,
    (name, secret): (&PeerName, &SecretKey),
    extension: u16,
    vendor: &str,
) -> Result<RawConnection, RawError> {
    stream.set_nodelay(true)?;
    let hub = stream.peer_addr()?;
    let session = initiate(&mut stream, Some(authority), now_unix_s_u32(), &mut OsRng).await?;
    let limits = Limits {
        payload_bytes_max: PAYLOAD_BYTES_MAX,
    };
    let (read_half, write_half) = stream.into_split();
    let mut connection = RawConnection {
        from_hub: FrameReader::new(read_half, session.opener, limits),
        to_hub: FrameWriter::new(write_half, session.sealer, limits),
    };
    let setup = SetupConnection {
        protocol: 0,
        min_version: 2,
        max_version: 2,
        flags: 0,
        endpoint_host: hub.ip().to_string(),
        endpoint_port: hub.port(),
        vendor: vendor.to_owned(),
        hardware_version: String::new(),
        firmware: String::new(),
        device_id: String::new(),
    };
    connection.send(&setup.to_frame()?).await?;
    match CommonMessage::decode(&connection.next().await?)? {
        CommonMessage::SetupConnectionSuccess(_) => {}
        other => return Err(RawError::Refused(format!("{other:?}"))),
    }
    let extensions = RequestExtensions {
        request_id: 1,
        requested_extensions: vec![EXT_HUB, extension],
    };
    connection.send(&extensions.to_frame()?).await?;
    match ExtensionsMessage::decode(&connection.next().await?)? {
        ExtensionsMessage::RequestExtensionsSuccess(_) => {}
        other => return Err(RawError::Refused(format!("{other:?}"))),
    }
    let mut aux_rand = [0; 32];
    OsRng.fill_bytes(&mut aux_rand);
    let transcript = session.transcript.as_bytes();
    let proof = authentication::sign(secret, transcript, name, &aux_rand);
    connection
        .send(&HubMessage::from(proof).to_frame()?)
        .await?;
    loop {
        match HubMessage::decode(&connection.next().await?)? {
            HubMessage::AuthenticateSuccess(_) => return Ok(connection),
            HubMessage::Ping(Ping { nonce }) => {
                let pong = HubMessage::from(Pong { nonce });
                connection.send(&pong.to_frame()?).await?;
            }
            other => return Err(RawError::Refused(format!("{other:?}"))),
        }
    }
}

impl RawConnection {
    /// One frame, at once.
    async fn send(&mut self, frame: &Frame) -> Result<(), RawError> {
        self.to_hub.push(frame)?;
        Ok(self.to_hub.flush().await?)
    }

    /// The next frame, and no more.
    async fn next(&mut self) -> Result<Frame, RawError> {
        let mut frames = Vec::with_capacity(1);
        self.from_hub.read_batch(&mut frames, 1).await?;
        frames.pop().ok_or(RawError::Closed)
    }
}
