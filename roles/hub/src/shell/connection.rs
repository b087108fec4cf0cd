//! One client's connection: handshake, then bytes in and out until either side ends it.

use std::cell::RefCell;
use std::future::ready;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::OsRng;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use winze_transport::{
    CodecError, FrameReader, FrameWriter, Limits, ReadError, ServerIdentity, Session, respond,
};

use super::linger::linger;
use super::shared::Shared;
use super::until;
use crate::core::reasons::CloseReason;
use crate::core::{ConnId, Outgoing, Transmit};
use crate::limits::{LINGER_MS, PAYLOAD_BYTES_BEFORE_AUTHENTICATION, READ_BATCH_FRAMES};

thread_local! {
    /// Room for what is on its way from the core to the cipher: the thread's and not the connection's, because it is empty
    /// again before another has its turn, and in the processor's cache.
    static OUTGOING: RefCell<Vec<Outgoing>> = const { RefCell::new(Vec::new()) };
}

/// A client that has connected.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) conn: ConnId,
    pub(super) address: SocketAddr,
    pub(super) identity: Arc<ServerIdentity>,
    pub(super) shared: Arc<Shared>,
    /// Says when the hub goes.
    pub(super) stopped: watch::Receiver<bool>,
}

/// Who a client was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// One that did no handshake: it has cost next to nothing.
    Nobody,
    /// One that did a handshake, and did not prove who it is.
    Stranger,
    /// A peer of the list.
    Peer,
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
    pub(super) async fn serve(self, mut stream: TcpStream) -> Served {
        // Batches are made here; the kernel must not wait for more. Without it only latency suffers.
        let _ = stream.set_nodelay(true);
        let Some(session) = self.handshake(&mut stream).await else {
            self.shared.count_handshake_failed();
            return Served::Nobody;
        };
        tracing::debug!(conn = self.conn.0, address = %self.address, "connected");
        let wake = self.shared.connected(self.conn, session.transcript);
        let registered = Registered(&self);
        let mut served = Served::Stranger;
        let (read_half, write_half) = stream.split();
        let outcome = self
            .exchange(read_half, write_half, session, &wake, &mut served)
            .await;
        drop(registered);
        if outcome == Outcome::SaidAll {
            linger(stream).await;
        }
        served
    }

    async fn handshake(&self, stream: &mut TcpStream) -> Option<Session> {
        let deadline = Duration::from_millis(self.shared.limits().handshake_timeout_ms);
        let address = self.address;
        let mut rng = OsRng;
        let session = timeout(deadline, respond(stream, &self.identity, &mut rng));
        let session = tokio::select! {
            session = session => session,
            // Nobody is there yet to say goodbye to, and a stranger that says nothing must not hold up the end.
            () = until(self.stopped.clone()) => return None,
        };
        match session {
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

    async fn exchange(
        &self,
        read_half: impl AsyncRead + Unpin,
        write_half: impl AsyncWrite + Unpin,
        session: Session,
        wake: &Notify,
        served: &mut Served,
    ) -> Outcome {
        let limits = self.shared.limits();
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
        // Not made anew for each turn: to wait and not to wait any more are a lock each.
        let mut woken = pin!(wake.notified());
        let mut reading = true;
        let mut left = Transmit::More;
        // Whether the core may have something: it says so when that comes true, so nobody asks in between.
        let mut due = true;
        let mut stalled_at = Instant::now();
        // Once the core has ended the connection: when its task gives up, however slowly the client reads on.
        let mut over_at = None;
        loop {
            if writer.pending_bytes() == 0 && left == Transmit::Last {
                return Outcome::SaidAll;
            }
            if writer.pending_bytes() == 0 && due {
                left = match self.push_due(&mut writer) {
                    Ok(left) => left,
                    Err(error) => {
                        tracing::error!(conn = self.conn.0, %error, "cannot encrypt a frame");
                        return Outcome::Broken;
                    }
                };
                due = left == Transmit::More;
                if left == Transmit::Last {
                    over_at = over_at.or_else(|| Some(self.over_at()));
                    reading = false;
                }
                if left != Transmit::More && writer.pending_bytes() > 0 {
                    // Mostly the socket takes it all at once. Where there is more, reading has its turn in between.
                    tokio::select! {
                        biased;
                        written = writer.write_some() => if let Err(error) = written {
                            tracing::debug!(conn = self.conn.0, %error, "connection lost");
                            return Outcome::Broken;
                        },
                        () = ready(()) => {}
                    }
                }
                if writer.pending_bytes() > 0 {
                    stalled_at = self.stalled_at(left, over_at);
                }
                if left == Transmit::Last {
                    continue;
                }
            }
            let pending = writer.pending_bytes() > 0;
            tokio::select! {
                read = reader.read_batch(&mut incoming, READ_BATCH_FRAMES), if reading => match read {
                    Ok(0) => {
                        self.shared.left(self.conn);
                        return Outcome::Broken;
                    }
                    Ok(_) => {
                        let now = self.shared.frames(self.conn, &mut incoming);
                        reading = now.open;
                        if now.authenticated {
                            *served = Served::Peer;
                        }
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
                    Ok(_) => stalled_at = self.stalled_at(left, over_at),
                    Err(error) => {
                        tracing::debug!(conn = self.conn.0, %error, "connection lost");
                        return Outcome::Broken;
                    }
                },
                // Made only where it is waited for: a timer has a share in what all threads share.
                () = async { sleep_until(stalled_at).await }, if pending => {
                    let waited = self.write_timeout(left).as_millis();
                    let detail = format!("nothing was read for {waited} ms");
                    self.shared.close(self.conn, CloseReason::Unread, detail);
                    return Outcome::Broken;
                }
                // While there is something to write, all that matters is whether the connection has ended. What else is
                // due is polled when that is written, whoever was woken for it.
                () = woken.as_mut(), if over_at.is_none() && (pending || left == Transmit::Drained) => {
                    woken.set(wake.notified());
                    due = true;
                    if pending && !self.shared.is_open(self.conn) {
                        over_at = Some(self.over_at());
                        stalled_at = self.stalled_at(left, over_at);
                    }
                }
            }
        }
    }

    /// Pushes what the core has for the client, up to a batch, and says what is left there.
    fn push_due<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut FrameWriter<W>,
    ) -> Result<Transmit, CodecError> {
        // Whoever leaves here early, or panics, takes what is in it along: it is for this client alone.
        let mut outgoing = OUTGOING.take();
        let left = self.shared.poll_transmit(self.conn, &mut outgoing);
        for message in outgoing.drain(..) {
            match &message {
                Outgoing::Own(frame) => writer.push(frame)?,
                Outgoing::Copy { frame, channel_id } => {
                    writer.push_for_channel(frame, *channel_id)?;
                }
            }
        }
        OUTGOING.set(outgoing);
        Ok(left)
    }

    /// When the last words of a connection that ends now are given up.
    fn over_at(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.shared.limits().write_timeout_ms)
    }

    /// When a client that takes nothing from now on has had its time, which ends at `over_at` in any case.
    fn stalled_at(&self, left: Transmit, over_at: Option<Instant>) -> Instant {
        let stalled_at = Instant::now() + self.write_timeout(left);
        over_at.map_or(stalled_at, |over_at| over_at.min(stalled_at))
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use winze_messages::families::common::SetupConnection;
    use winze_messages::families::extensions::RequestExtensions;
    use winze_messages::families::hub::{HubMessage, OpenChannel};
    use winze_messages::{EXT_HUB, authentication};
    use winze_transport::{Certificate, Frame, SecretKey, initiate};

    use super::*;
    use crate::core::{HubCore, ListedPeer};
    use crate::limits::HubLimits;

    const NOW_UNIX_S: u32 = 1_790_000_000;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_bytes(&[byte; 32]).unwrap()
    }

    fn client() -> Client {
        let (authority, static_key) = (key(1), key(2));
        let (from, until) = (NOW_UNIX_S - 60, NOW_UNIX_S + 60);
        let public_key = static_key.public_key();
        let certificate = Certificate::sign(&authority, public_key, from, until, &[0; 32]);
        let listed = ListedPeer {
            name: "mint/bad".parse().unwrap(),
            public_key: key(3).public_key(),
            may_open: Vec::new(),
        };
        let limits = HubLimits {
            write_timeout_ms: 500,
            ..HubLimits::default()
        };
        let core = HubCore::new(&[listed], &[], limits.clone()).unwrap();
        let identity = ServerIdentity::new(static_key, certificate).unwrap();
        let shared = Arc::new(Shared::new(core, limits, identity));
        Client {
            conn: ConnId(1),
            address: ([127, 0, 0, 1], 1).into(),
            identity: shared.identity(),
            shared,
            stopped: watch::channel(false).1,
        }
    }

    /// The steps, more requests than one batch has answers to, and a message that ends the connection.
    fn greetings_and_nonsense(transcript: &[u8; 32]) -> Vec<Frame> {
        let text = |text: &str| text.to_owned();
        let setup = SetupConnection {
            protocol: 0,
            min_version: 2,
            max_version: 2,
            flags: 0,
            endpoint_host: text("hub"),
            endpoint_port: 1,
            vendor: text(""),
            hardware_version: text(""),
            firmware: text(""),
            device_id: text(""),
        };
        let extensions = RequestExtensions {
            request_id: 1,
            requested_extensions: vec![EXT_HUB],
        };
        let name = "mint/bad".parse().unwrap();
        let proof = authentication::sign(&key(3), transcript, &name, &[0; 32]);
        let request = OpenChannel {
            request_id: 1,
            extension: 0x4802,
            peer: format!("{}/{}", "x".repeat(32), "y".repeat(32)),
            label: text(""),
            credit_messages: 0,
            credit_bytes: 0,
        };
        let hub = |message: HubMessage| message.to_frame().unwrap();
        let mut frames = vec![
            setup.to_frame().unwrap(),
            extensions.to_frame().unwrap(),
            hub(proof.into()),
        ];
        frames.extend((0..1_000).map(|_| hub(request.clone().into())));
        frames.push(Frame {
            extension_type: EXT_HUB,
            msg_type: 0xff,
            payload: Vec::new(),
        });
        frames
    }

    #[tokio::test]
    async fn one_whose_connection_has_ended_cannot_keep_its_place_by_reading_slowly() {
        let client = client();
        let shared = Arc::clone(&client.shared);
        let authority = key(1).public_key();
        let (mut far, mut near) = duplex(4_096);
        let mut rng = OsRng;
        let mut hub_rng = OsRng;
        let (dialled, session) = tokio::join!(
            initiate(&mut far, Some(authority), NOW_UNIX_S, &mut rng),
            respond(&mut near, &client.identity, &mut hub_rng)
        );
        let (dialled, session) = (dialled.unwrap(), session.unwrap());
        let wake = shared.connected(client.conn, session.transcript);
        let serving = tokio::spawn(async move {
            let (read_half, write_half) = tokio::io::split(near);
            let mut served = Served::Stranger;
            client
                .exchange(read_half, write_half, session, &wake, &mut served)
                .await
        });
        let (mut from_hub, mut to_hub) = tokio::io::split(far);
        let limits = Limits {
            payload_bytes_max: 65_536,
        };
        let mut encoder = winze_transport::FrameEncoder::new(dialled.sealer, limits);
        let mut bytes = Vec::new();
        for frame in greetings_and_nonsense(dialled.transcript.as_bytes()) {
            encoder.encode(&frame, &mut bytes).unwrap();
        }
        to_hub.write_all(&bytes).await.unwrap();

        let slowly = async move {
            let mut some = [0; 64];
            while from_hub.read(&mut some).await.is_ok_and(|read| read > 0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let reading = tokio::spawn(slowly);
        // Each read is progress in time. At this pace it would take the client minutes to read what waits for it.
        let patience = Duration::from_secs(30);
        let outcome = timeout(patience, serving).await.expect("its time is over");
        assert_eq!(outcome.unwrap(), Outcome::Broken);
        reading.abort();
    }
}
