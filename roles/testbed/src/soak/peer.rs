//! A peer that costs its machine little: a socket, a cipher state, and no task until it has something to do.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use socket2::SockRef;
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use winze_client::raw::introduce;
use winze_messages::families::hub::{
    ChannelOfferAccept, Credit, HubMessage, OpenChannel, OpenChannelSuccess, Pong,
};
use winze_messages::{EXT_HUB, PeerName, channel_frame};
use winze_transport::{Frame, FrameReader, FrameWriter, PublicKey};

use super::error::SoakError;
use super::members::{EXTENSION, Member};

/// What the hub logs of these.
const VENDOR: &str = "winze-soak";
/// Type of the one message of the extension.
const MSG_TYPE: u8 = 1;
/// Frames taken in one turn.
const FRAMES_PER_TURN_MAX: usize = 256;
/// Segments that a peer with a small buffer takes, in bytes: the hub's kernel sizes its own buffer by this.
const SEGMENT_BYTES: u32 = 536;
/// What a peer here grants: it never holds anything back, unless by not reading.
const CREDIT: u64 = 1 << 40;

/// One authenticated connection.
pub(super) struct Peer {
    who: PeerName,
    from_hub: FrameReader<OwnedReadHalf>,
    to_hub: FrameWriter<OwnedWriteHalf>,
    frames: VecDeque<Frame>,
}

/// An end of a channel, with what may be sent on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pub id: u32,
    /// Totals of messages and payload bytes that the hub takes.
    granted: (u64, u64),
    /// Totals that were sent.
    spent: (u64, u64),
}

/// Where to dial, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    pub hub: SocketAddr,
    pub authority: PublicKey,
    /// Whether the kernels shall keep little for this peer.
    pub small_buffer: bool,
}

impl Peer {
    pub(super) async fn connect(dial: Dial, member: &Member) -> Result<Peer, SoakError> {
        let failed = || SoakError::peer(&member.name);
        let socket = TcpSocket::new_v4().map_err(failed())?;
        if dial.small_buffer {
            socket.set_recv_buffer_size(4_096).map_err(failed())?;
            let socket = SockRef::from(&socket);
            socket.set_tcp_mss(SEGMENT_BYTES).map_err(failed())?;
        }
        let source = SocketAddr::new(IpAddr::V4(member.source), 0);
        socket.bind(source).map_err(failed())?;
        let stream = socket.connect(dial.hub).await.map_err(failed())?;
        let who = (&member.name, &member.secret);
        let connected = introduce(stream, dial.authority, who, EXTENSION, VENDOR).await;
        let connected = connected.map_err(SoakError::peer(&member.name))?;
        Ok(Peer {
            who: member.name.clone(),
            from_hub: connected.from_hub,
            to_hub: connected.to_hub,
            frames: VecDeque::new(),
        })
    }

    /// The next frame. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Frame, SoakError> {
        while self.frames.is_empty() {
            let mut frames = Vec::new();
            let read = self.from_hub.read_batch(&mut frames, FRAMES_PER_TURN_MAX);
            if read.await.map_err(SoakError::peer(&self.who))? == 0 {
                return Err(self.failed("the hub closed the connection"));
            }
            self.frames.extend(frames);
        }
        match self.frames.pop_front() {
            Some(frame) => Ok(frame),
            None => Err(self.failed("a batch without frames")),
        }
    }

    pub(super) async fn send(&mut self, frame: &Frame) -> Result<(), SoakError> {
        self.to_hub
            .push(frame)
            .map_err(SoakError::peer(&self.who))?;
        let flushed = self.to_hub.flush().await;
        flushed.map_err(SoakError::peer(&self.who))
    }

    async fn say(&mut self, message: impl Into<HubMessage>) -> Result<(), SoakError> {
        let frame = message.into().to_frame();
        self.send(&frame.map_err(SoakError::peer(&self.who))?).await
    }

    /// Opens a channel; it can be sent on once [`Self::far_end_is_there`].
    pub(super) async fn open(&mut self, peer: &PeerName) -> Result<Channel, SoakError> {
        self.say(OpenChannel {
            request_id: 1,
            extension: EXTENSION,
            peer: peer.to_string(),
            label: String::new(),
            credit_messages: CREDIT,
            credit_bytes: CREDIT,
        })
        .await?;
        let opened: OpenChannelSuccess = self
            .wait_for("a channel", |message| match message {
                HubMessage::OpenChannelSuccess(opened) => Some(opened),
                _ => None,
            })
            .await?;
        let granted = (opened.credit_messages, opened.credit_bytes);
        Ok(Channel::new(opened.channel_id, granted))
    }

    /// Waits until the other end has taken the channel.
    pub(super) async fn far_end_is_there(&mut self, channel: &Channel) -> Result<(), SoakError> {
        self.wait_for("the far end", |message| match message {
            HubMessage::Presence(it) if it.channel_id == channel.id && it.present => Some(()),
            _ => None,
        })
        .await
    }

    /// Takes the next channel that is offered.
    pub(super) async fn accept(&mut self) -> Result<Channel, SoakError> {
        let offer = self
            .wait_for("an offer", |message| match message {
                HubMessage::ChannelOffer(offer) => Some(offer),
                _ => None,
            })
            .await?;
        self.say(ChannelOfferAccept {
            channel_id: offer.channel_id,
            credit_messages: CREDIT,
            credit_bytes: CREDIT,
        })
        .await?;
        let granted = (offer.credit_messages, offer.credit_bytes);
        Ok(Channel::new(offer.channel_id, granted))
    }

    /// Sends on a channel if the hub has granted as much; says whether.
    pub(super) async fn try_send(
        &mut self,
        channel: &mut Channel,
        body: &[u8],
    ) -> Result<bool, SoakError> {
        let frame = channel_frame(EXTENSION, MSG_TYPE, channel.id, body);
        if !channel.spend(frame.payload.len() as u64) {
            return Ok(false);
        }
        self.send(&frame).await?;
        Ok(true)
    }

    /// Takes what the hub says that is no message of a channel: answers a Ping, gives what was granted. Anything that
    /// ends a channel or the connection is an error.
    pub(super) async fn handle(&mut self, frame: &Frame) -> Result<Option<Credit>, SoakError> {
        if frame.extension() != EXT_HUB {
            return Ok(None);
        }
        match HubMessage::decode(frame).map_err(SoakError::peer(&self.who))? {
            HubMessage::Ping(ping) => {
                self.say(Pong { nonce: ping.nonce }).await?;
                Ok(None)
            }
            HubMessage::Credit(credit) => Ok(Some(credit)),
            other => Err(self.failed(&format!("{other:?}"))),
        }
    }

    async fn wait_for<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(HubMessage) -> Option<T>,
    ) -> Result<T, SoakError> {
        loop {
            let frame = self.next().await?;
            if frame.extension() != EXT_HUB {
                continue;
            }
            match HubMessage::decode(&frame).map_err(SoakError::peer(&self.who))? {
                HubMessage::Ping(ping) => self.say(Pong { nonce: ping.nonce }).await?,
                message @ (HubMessage::Close(_) | HubMessage::OpenChannelError(_)) => {
                    return Err(self.failed(&format!("{message:?} instead of {what}")));
                }
                message => {
                    if let Some(found) = wanted(message) {
                        return Ok(found);
                    }
                }
            }
        }
    }

    fn failed(&self, problem: &str) -> SoakError {
        SoakError::peer(&self.who)(problem)
    }
}

impl Channel {
    fn new(id: u32, granted: (u64, u64)) -> Channel {
        Channel {
            id,
            granted,
            spent: (0, 0),
        }
    }

    /// The hub takes more.
    pub(super) fn raise(&mut self, credit: &Credit) {
        if credit.channel_id == self.id {
            self.granted = (credit.messages, credit.bytes);
        }
    }

    fn spend(&mut self, bytes: u64) -> bool {
        let spent = (self.spent.0 + 1, self.spent.1 + bytes);
        let enough = spent.0 <= self.granted.0 && spent.1 <= self.granted.1;
        if enough {
            self.spent = spent;
        }
        enough
    }
}
