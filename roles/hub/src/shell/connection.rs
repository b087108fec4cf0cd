//! One client's connection: handshake, then bytes in and out until either side ends it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::OsRng;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use winze_transport::{
    CodecError, FrameReader, FrameWriter, Limits, ReadError, ServerIdentity, Session, respond,
};

use super::linger::linger;
use super::shared::Shared;
use crate::core::reasons::CloseReason;
use crate::core::{ConnId, Transmit};
use crate::limits::{LINGER_MS, PAYLOAD_BYTES_BEFORE_AUTHENTICATION, READ_BATCH_FRAMES};

/// A client that has connected.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) conn: ConnId,
    pub(super) address: SocketAddr,
    pub(super) identity: Arc<ServerIdentity>,
    pub(super) shared: Arc<Shared>,
}

/// How the exchange of frames came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The last words are written: the client shall get them.
    SaidAll,
    /// Nobody is there to read any more.
    Broken,
}

impl Client {
    /// Serves the client until its connection ends.
    pub(super) async fn serve(self, mut stream: TcpStream) {
        // Batches are made here; the kernel must not wait for more. Without it only latency suffers.
        let _ = stream.set_nodelay(true);
        let Some(session) = self.handshake(&mut stream).await else {
            self.shared.count_handshake_failed();
            return;
        };
        tracing::debug!(conn = self.conn.0, address = %self.address, "connected");
        let wake = self.shared.connected(self.conn, session.transcript);
        let registered = Registered(&self);
        let outcome = self.exchange(&mut stream, session, &wake).await;
        drop(registered);
        if outcome == Outcome::SaidAll {
            linger(stream).await;
        }
    }

    async fn handshake(&self, stream: &mut TcpStream) -> Option<Session> {
        let deadline = Duration::from_millis(self.shared.limits().handshake_timeout_ms);
        let address = self.address;
        match timeout(deadline, respond(stream, &self.identity, &mut OsRng)).await {
            Ok(Ok(session)) => Some(session),
            Ok(Err(error)) => {
                tracing::debug!(%address, %error, "handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!(%address, "handshake was not done in time");
                None
            }
        }
    }

    async fn exchange(&self, stream: &mut TcpStream, session: Session, wake: &Notify) -> Outcome {
        let limits = self.shared.limits();
        let (read_half, write_half) = stream.split();
        let mut intake = Limits {
            payload_bytes_max: PAYLOAD_BYTES_BEFORE_AUTHENTICATION,
        };
        let mut reader = FrameReader::new(read_half, session.opener, intake);
        let mut writer = FrameWriter::new(
            write_half,
            session.sealer,
            Limits {
                payload_bytes_max: limits.payload_bytes_max as usize,
            },
        );
        let mut incoming = Vec::new();
        let mut outgoing = Vec::new();
        let mut reading = true;
        let mut left = Transmit::More;
        let mut stalled_at = Instant::now();
        loop {
            if writer.pending_bytes() == 0 {
                if left == Transmit::Last {
                    return Outcome::SaidAll;
                }
                left = self.shared.poll_transmit(self.conn, &mut outgoing);
                for frame in outgoing.drain(..) {
                    if let Err(error) = writer.push(&frame) {
                        tracing::error!(conn = self.conn.0, %error, "cannot encrypt a frame");
                        return Outcome::Broken;
                    }
                }
                stalled_at = Instant::now() + self.write_timeout(left);
                if left == Transmit::Last {
                    reading = false;
                    continue;
                }
            }
            let pending = writer.pending_bytes() > 0;
            tokio::select! {
                read = reader.read_batch(&mut incoming, READ_BATCH_FRAMES), if reading => match read {
                    Ok(0) => return Outcome::Broken,
                    Ok(_) => {
                        let now = self.shared.frames(self.conn, &mut incoming);
                        reading = now.open;
                        if now.payload_bytes_max != intake.payload_bytes_max {
                            intake.payload_bytes_max = now.payload_bytes_max;
                            reader.set_limits(intake);
                        }
                    }
                    Err(error) => {
                        reading = false;
                        let Some(reason) = close_reason(&error) else {
                            tracing::debug!(conn = self.conn.0, %error, "connection lost");
                            return Outcome::Broken;
                        };
                        self.shared.close(self.conn, reason, error.to_string());
                    }
                },
                written = writer.write_some(), if pending => match written {
                    Ok(_) => stalled_at = Instant::now() + self.write_timeout(left),
                    Err(error) => {
                        tracing::debug!(conn = self.conn.0, %error, "connection lost");
                        return Outcome::Broken;
                    }
                },
                () = sleep_until(stalled_at), if pending => {
                    let waited = self.write_timeout(left).as_millis();
                    let detail = format!("nothing was read for {waited} ms");
                    self.shared.close(self.conn, CloseReason::Unread, detail);
                    return Outcome::Broken;
                }
                () = wake.notified(), if !pending && left == Transmit::Drained => {}
            }
        }
    }

    /// How long the client may take nothing. Last words do not wait as long: the connection is over.
    fn write_timeout(&self, left: Transmit) -> Duration {
        let limit_ms = self.shared.limits().write_timeout_ms;
        Duration::from_millis(match left {
            Transmit::Last => limit_ms.min(LINGER_MS),
            Transmit::More | Transmit::Drained => limit_ms,
        })
    }
}

/// Takes the connection out of the core, however its task ends.
struct Registered<'a>(&'a Client);

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.0.shared.closed(self.0.conn);
    }
}

/// What the client is told about a stream that cannot be read on. `None` where nobody is there to be told.
fn close_reason(error: &ReadError) -> Option<CloseReason> {
    match error {
        ReadError::Codec(CodecError::AnnouncedOverLimit { .. }) => {
            Some(CloseReason::PayloadTooLong)
        }
        ReadError::Codec(_) => Some(CloseReason::Malformed),
        ReadError::Io(_) | ReadError::CutOff => None,
    }
}
