//! One authenticated connection with its one channel.

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use winze_client::raw::introduce;
use winze_messages::families::hub::{ChannelOfferAccept, Credit, HubMessage, OpenChannel, Pong};
use winze_transport::{Frame, FrameReader, FrameWriter};

use super::message::Messages;
use super::{Hub, Member, Window};
use crate::error::BenchError;
use crate::limits::{FRAMES_PER_TURN_MAX, WRITE_BATCH_BYTES};
use crate::load::Endpoint;

/// What the hub logs of these.
const VENDOR: &str = "winze-bench";

/// A client with a channel.
pub struct HubPeer {
    name: String,
    reader: FrameReader<OwnedReadHalf>,
    writer: FrameWriter<OwnedWriteHalf>,
    frames: Vec<Frame>,
    extension: u16,
    messages: Messages,
    channel_id: u32,
    /// Ids whose far ends are there.
    present: usize,
    /// Totals that the hub takes, and that were sent.
    granted: Window,
    spent: Window,
    /// What this end takes beyond what it has taken; and the totals that it has taken, and has granted.
    window: Window,
    taken: Window,
    told: Window,
    /// Messages that came while something else was waited for.
    came: usize,
}

impl HubPeer {
    /// Dials, shakes hands, and is let in.
    ///
    /// # Errors
    /// [`BenchError::Peer`] and [`BenchError::Machine`].
    pub async fn connect(
        hub: &Hub,
        member: &Member,
        extension: u16,
        window: Window,
        messages: Messages,
    ) -> Result<HubPeer, BenchError> {
        let name = member.name.to_string();
        let failed = |error: &dyn std::fmt::Display| BenchError::peer(&name, error);
        let stream = TcpStream::connect(hub.address)
            .await
            .map_err(|error| failed(&error))?;
        let who = (&member.name, &member.secret);
        let connected = introduce(stream, hub.authority, who, extension, VENDOR)
            .await
            .map_err(|error| failed(&error))?;
        let nothing = Window {
            messages: 0,
            bytes: 0,
        };
        Ok(HubPeer {
            name,
            reader: connected.from_hub,
            writer: connected.to_hub,
            frames: Vec::new(),
            extension,
            messages,
            channel_id: 0,
            present: 0,
            granted: nothing,
            spent: nothing,
            window,
            taken: nothing,
            told: window,
            came: 0,
        })
    }

    /// Asks for the channel; it can be sent on once [`Self::far_ends_are_there`].
    pub(super) async fn open(&mut self, peer: &str) -> Result<(), BenchError> {
        self.say(OpenChannel {
            request_id: 1,
            extension: self.extension,
            peer: peer.to_owned(),
            label: String::new(),
            credit_messages: self.window.messages,
            credit_bytes: self.window.bytes,
        })
        .await?;
        self.wait_for(|message, peer| match message {
            HubMessage::OpenChannelSuccess(opened) => {
                peer.channel_id = opened.channel_id;
                peer.granted = Window {
                    messages: opened.credit_messages,
                    bytes: opened.credit_bytes,
                };
                true
            }
            _ => false,
        })
        .await
    }

    /// Waits until as many have taken the channel.
    pub(super) async fn far_ends_are_there(&mut self, wanted: usize) -> Result<(), BenchError> {
        while self.present < wanted {
            let before = self.present;
            self.wait_for(|_, peer| peer.present > before).await?;
        }
        Ok(())
    }

    /// Takes the channel that is offered.
    pub(super) async fn accept(&mut self) -> Result<(), BenchError> {
        self.wait_for(|message, peer| match message {
            HubMessage::ChannelOffer(offer) => {
                peer.channel_id = offer.channel_id;
                peer.granted = Window {
                    messages: offer.credit_messages,
                    bytes: offer.credit_bytes,
                };
                true
            }
            _ => false,
        })
        .await?;
        self.say(ChannelOfferAccept {
            channel_id: self.channel_id,
            credit_messages: self.window.messages,
            credit_bytes: self.window.bytes,
        })
        .await
    }

    async fn wait_for(
        &mut self,
        mut wanted: impl FnMut(&HubMessage, &mut HubPeer) -> bool,
    ) -> Result<(), BenchError> {
        loop {
            let frame = self.next_frame().await?;
            let message = self.hub_message(&frame)?;
            if wanted(&message, self) {
                return self.flush().await;
            }
        }
    }

    /// During setting up, where frames come one by one.
    async fn next_frame(&mut self) -> Result<Frame, BenchError> {
        let mut frames = Vec::new();
        match self.reader.read_batch(&mut frames, 1).await {
            Ok(1) => {}
            Ok(_) => return Err(BenchError::peer(&self.name, "the hub closed")),
            Err(error) => return Err(BenchError::peer(&self.name, error)),
        }
        frames
            .pop()
            .ok_or_else(|| BenchError::peer(&self.name, "a batch without frames"))
    }

    fn push(&mut self, frame: &Frame) -> Result<(), BenchError> {
        self.writer
            .push(frame)
            .map_err(|error| BenchError::peer(&self.name, error))
    }

    async fn flush(&mut self) -> Result<(), BenchError> {
        self.writer
            .flush()
            .await
            .map_err(|error| BenchError::peer(&self.name, error))
    }

    fn push_hub(&mut self, message: impl Into<HubMessage>) -> Result<(), BenchError> {
        let frame = message.into().to_frame();
        self.push(&frame.map_err(|error| BenchError::peer(&self.name, error))?)
    }

    async fn say(&mut self, message: impl Into<HubMessage>) -> Result<(), BenchError> {
        self.push_hub(message)?;
        self.flush().await
    }

    /// What the hub says itself. What ends the channel or refuses a message ends the measurement.
    fn hub_message(&mut self, frame: &Frame) -> Result<HubMessage, BenchError> {
        let message =
            HubMessage::decode(frame).map_err(|error| BenchError::peer(&self.name, error))?;
        match &message {
            HubMessage::Credit(credit) if credit.channel_id == self.channel_id => {
                self.granted = Window {
                    messages: credit.messages,
                    bytes: credit.bytes,
                };
            }
            HubMessage::Ping(ping) => self.push_hub(Pong { nonce: ping.nonce })?,
            HubMessage::Presence(presence) => match presence.present {
                true => self.present += 1,
                false => return Err(BenchError::peer(&self.name, "the far end went away")),
            },
            HubMessage::GroupMember(member) => self.present += usize::from(member.peer_present),
            HubMessage::OpenChannelError(_)
            | HubMessage::Reject(_)
            | HubMessage::CloseChannel(_)
            | HubMessage::Close(_) => {
                return Err(BenchError::peer(&self.name, format!("{message:?}")));
            }
            _ => {}
        }
        Ok(message)
    }

    /// Takes what one read brings; sends what is to be said about it.
    async fn read(&mut self) -> Result<(), BenchError> {
        let mut frames = std::mem::take(&mut self.frames);
        match self
            .reader
            .read_batch(&mut frames, FRAMES_PER_TURN_MAX)
            .await
        {
            Ok(0) => return Err(BenchError::peer(&self.name, "the hub closed")),
            Ok(_) => {}
            Err(error) => return Err(BenchError::peer(&self.name, error)),
        }
        let extension = self.extension;
        let messages = frames.iter().filter(|frame| frame.extension() == extension);
        if !self.messages.check(messages) {
            return Err(BenchError::peer(
                &self.name,
                "another message than was sent",
            ));
        }
        for frame in frames.drain(..) {
            if frame.extension() == extension {
                self.came += 1;
                self.taken.messages += 1;
                self.taken.bytes += frame.payload.len() as u64;
            } else {
                self.hub_message(&frame)?;
            }
        }
        self.frames = frames;
        self.grant()?;
        if self.writer.pending_bytes() > 0 {
            self.flush().await?;
        }
        Ok(())
    }

    /// Raises the credit once half of a window was taken, as our client does.
    fn grant(&mut self) -> Result<(), BenchError> {
        let next = Window {
            messages: self.taken.messages + self.window.messages,
            bytes: self.taken.bytes + self.window.bytes,
        };
        let due = next.messages - self.told.messages >= self.window.messages / 2
            || next.bytes - self.told.bytes >= self.window.bytes / 2;
        if !due {
            return Ok(());
        }
        self.told = next;
        self.push_hub(Credit {
            channel_id: self.channel_id,
            messages: next.messages,
            bytes: next.bytes,
        })
    }
}

impl HubPeer {
    /// How many messages the hub takes now, as far as they are not more than are flushed at once.
    fn room(&self) -> usize {
        let bytes = self.messages.payload_bytes() as u64;
        let unflushed = WRITE_BATCH_BYTES.saturating_sub(self.writer.pending_bytes()) as u64;
        let credit = (self.granted.messages.saturating_sub(self.spent.messages))
            .min(self.granted.bytes.saturating_sub(self.spent.bytes) / bytes);
        usize::try_from(credit.min(unflushed.div_ceil(bytes))).unwrap_or(usize::MAX)
    }

    /// Makes as many, and pushes them.
    fn push_messages(&mut self, messages: usize) -> Result<(), BenchError> {
        let (writer, spent) = (&mut self.writer, &mut self.spent);
        let mut pushed = Ok(());
        self.messages.make(self.channel_id, messages, |frame| {
            spent.messages += 1;
            spent.bytes += frame.payload.len() as u64;
            if pushed.is_ok() {
                pushed = writer.push(&frame);
            }
        });
        pushed.map_err(|error| BenchError::peer(&self.name, error))
    }
}

#[async_trait]
impl Endpoint for HubPeer {
    async fn send(&mut self, messages: usize) -> Result<(), BenchError> {
        let mut left = messages;
        while left > 0 {
            let now = left.min(self.room());
            if now == 0 {
                self.flush().await?;
                self.read().await?;
                continue;
            }
            self.push_messages(now)?;
            left -= now;
            if self.writer.pending_bytes() >= WRITE_BATCH_BYTES {
                self.flush().await?;
            }
        }
        self.flush().await
    }

    async fn receive(&mut self) -> Result<usize, BenchError> {
        while self.came == 0 {
            self.read().await?;
        }
        Ok(std::mem::take(&mut self.came))
    }
}
