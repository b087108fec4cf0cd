use std::io;

use rand::{CryptoRng, RngCore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::keys::{PublicKey, ServerIdentity};
use crate::noise::{ACT_1_BYTES, ACT_2_BYTES, HandshakeError, Initiator, Responder, Session};

/// Does the handshake as the side that dialled; see [`Initiator::start`] for `authority`.
///
/// Waits for as long as the peer takes: put a deadline around it. A stream on which this failed
/// or was cancelled is to be closed. Nothing beyond act 2 is read from the stream.
pub async fn initiate<S>(
    stream: &mut S,
    authority: Option<PublicKey>,
    now_unix_s: u32,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Session, EstablishError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (initiator, act_1) = Initiator::start(authority, rng);
    stream.write_all(&act_1).await?;
    stream.flush().await?;
    let act_2 = read_act::<ACT_2_BYTES>(stream, 2).await?;
    Ok(initiator.finish(&act_2, now_unix_s)?)
}

/// Does the handshake as the side that was dialled.
///
/// Waits for as long as the peer takes: put a deadline around it. A stream on which this failed
/// or was cancelled is to be closed. Nothing beyond act 1 is read from the stream.
pub async fn respond<S>(
    stream: &mut S,
    identity: &ServerIdentity,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Session, EstablishError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let act_1 = read_act::<ACT_1_BYTES>(stream, 1).await?;
    let (act_2, session) = Responder::respond(identity, &act_1, rng)?;
    stream.write_all(&act_2).await?;
    stream.flush().await?;
    Ok(session)
}

async fn read_act<const N: usize>(
    stream: &mut (impl AsyncRead + Unpin),
    act: u8,
) -> Result<[u8; N], EstablishError> {
    let mut bytes = [0; N];
    match stream.read_exact(&mut bytes).await {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(EstablishError::PeerClosed { act })
        }
        Err(error) => Err(error.into()),
    }
}

/// Why there is no session.
#[derive(Debug, Error)]
pub enum EstablishError {
    /// The network, or this machine.
    #[error("handshake: {0}")]
    Io(#[from] io::Error),
    /// The peer closed the connection before it had sent its act whole.
    #[error("handshake: the peer closed the connection before the end of its act {act}")]
    PeerClosed {
        /// The act that was awaited, 1 or 2.
        act: u8,
    },
    /// The peer's act was refused.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}
