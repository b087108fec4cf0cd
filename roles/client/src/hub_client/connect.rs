use std::io;
use std::time::Duration;

use rand::rngs::OsRng;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use winze_transport::{CodecError, EstablishError, ReadError, Session, initiate};

use super::HubClientConfig;
use crate::session::SessionError;

/// Why a connection came to nothing, or to its end.
#[derive(Debug, Error)]
pub(super) enum ConnectionError {
    #[error("cannot reach {address}: {source}")]
    Dial { address: String, source: io::Error },
    #[error("{address} did not finish the handshake within {timeout_ms} ms")]
    ConnectTimeout { address: String, timeout_ms: u64 },
    #[error(transparent)]
    Handshake(#[from] EstablishError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("write: {0}")]
    Write(io::Error),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("the hub closed the connection without a word")]
    Ended,
    #[error("the hub took nothing for {timeout_ms} ms")]
    WriteTimeout { timeout_ms: u64 },
}

/// Dials and does the handshake.
pub(super) async fn connect(
    config: &HubClientConfig,
) -> Result<(TcpStream, Session), ConnectionError> {
    let established = timeout(Duration::from_millis(config.connect_timeout_ms), async {
        let dial_error = |source| ConnectionError::Dial {
            address: config.address.clone(),
            source,
        };
        let mut stream = TcpStream::connect(&config.address)
            .await
            .map_err(dial_error)?;
        // Batches are made here; the kernel is not to hold them back.
        stream.set_nodelay(true).map_err(dial_error)?;
        let now_unix_s = winze_runtime::clock::now_unix_s_u32();
        let session = initiate(&mut stream, Some(config.authority), now_unix_s, &mut OsRng).await?;
        Ok((stream, session))
    })
    .await;
    established.unwrap_or_else(|_| {
        Err(ConnectionError::ConnectTimeout {
            address: config.address.clone(),
            timeout_ms: config.connect_timeout_ms,
        })
    })
}
