//! `OpenChannel`: whether there may be such a channel, whether there is room for it, and its opener's end.

use std::sync::Arc;

use winze_messages::families::hub::{OpenChannel, OpenChannelError, detail};
use winze_messages::names::{PeerName, is_label};

use super::channels::ChannelName;
use super::credit::Totals;
use super::end::{End, EndRef, Far};
use super::event::{Ending, Event};
use super::reasons::OpenRefusal;
use super::registry::PeerId;
use super::{ConnId, HubCore, encoded};

/// Why a channel is not opened, and more of it for a person.
pub(super) type Refusal = (OpenRefusal, String);

/// What of a request is not in the channel's name.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) conn: ConnId,
    /// The number of the opener's connection.
    pub(super) instance: u64,
    pub(super) request_id: u32,
    /// What the opener takes.
    pub(super) credit: Totals,
}

impl HubCore {
    /// `OpenChannel` from a client.
    pub(super) fn open_channel(
        &mut self,
        conn: ConnId,
        message: OpenChannel,
    ) -> Result<(), Ending> {
        let Some((opener, instance)) = self.identity(conn) else {
            return Ok(());
        };
        let request = Request {
            conn,
            instance,
            request_id: message.request_id,
            credit: Totals {
                messages: message.credit_messages,
                bytes: message.credit_bytes,
            },
        };
        let opened = self
            .permitted_name(conn, opener, &message)
            .and_then(|name| {
                if self.registry.is_group(name.acceptor) {
                    self.open_group(&request, name)
                } else {
                    self.open(&request, name)
                }
            });
        let Err((reason, text)) = opened else {
            return Ok(());
        };
        self.counters.open_refused(reason);
        let error = OpenChannelError {
            request_id: request.request_id,
            error_code: reason.as_str().to_owned(),
            detail: detail(&text),
        };
        self.events.push(Event::OpenRefused {
            opener: self.registry.name(opener).clone(),
            reason,
            detail: text,
        });
        self.answer(conn, encoded(error))
    }

    fn open(&mut self, request: &Request, name: ChannelName) -> Result<(), Refusal> {
        self.make_room(request.conn, std::slice::from_ref(&name))?;
        let (opener, acceptor, extension) = (name.opener, name.acceptor, name.extension);
        let inbound = self.new_inbound();
        let end = |name| End::opened(name, request.request_id, inbound, request.credit);
        if let Some(opened) = self.place_opener(request.conn, name, end) {
            self.meet(opened, request.instance, acceptor);
        }
        self.events.push(Event::ChannelOpened {
            opener: self.registry.name(opener).clone(),
            acceptor: self.registry.name(acceptor).clone(),
            extension,
        });
        Ok(())
    }

    /// Puts the opener's end where there is room for it. `None` when the connection is gone.
    pub(super) fn place_opener(
        &mut self,
        conn: ConnId,
        name: ChannelName,
        end: impl FnOnce(Arc<ChannelName>) -> End,
    ) -> Option<EndRef> {
        let connection = self.connections.get_mut(&conn)?;
        let (name, channel) = self.channels.entry(name);
        let channel_id = connection
            .add_end(end(name))
            .expect("there is room only where ids are left");
        let opened = EndRef { conn, channel_id };
        channel.opener = Some(opened);
        Some(opened)
    }

    /// Joins an opener's end to the acceptor's, or has the channel offered.
    pub(super) fn meet(&mut self, opened: EndRef, instance: u64, acceptor: PeerId) {
        let name = self.end_mut(opened).map(|end| Arc::clone(&end.name));
        let channel = name.and_then(|name| self.channels.get(&name));
        if let Some(waiting) = channel.and_then(|channel| channel.acceptor) {
            let far = Far {
                end: opened,
                instance,
            };
            self.join(far, waiting);
        } else if let Some(present) = self.registry.present(acceptor) {
            self.offer_waiting(present.conn);
        }
        self.schedule(opened);
    }

    /// Checks everything about a request that does not depend on how many channels there are.
    fn permitted_name(
        &self,
        conn: ConnId,
        opener: PeerId,
        request: &OpenChannel,
    ) -> Result<ChannelName, Refusal> {
        let peer: PeerName = request
            .peer
            .parse()
            .map_err(|error| (OpenRefusal::BadPeerName, format!("{error}")))?;
        if !is_label(&request.label) {
            let text = "a label is 0 to 64 printable ASCII characters".to_owned();
            return Err((OpenRefusal::BadLabel, text));
        }
        let extension = request.extension;
        let acceptor = self
            .registry
            .by_name(&peer)
            .filter(|acceptor| self.registry.may_open(opener, extension, *acceptor))
            .ok_or_else(|| {
                let text = format!("extension {extension:#06x} to {peer} is not on the list");
                (OpenRefusal::NotAllowed, text)
            })?;
        let connection = self.connections.get(&conn);
        if !connection.is_some_and(|connection| connection.negotiated(extension)) {
            let text = format!("extension {extension:#06x} was not negotiated");
            return Err((OpenRefusal::ExtensionNotNegotiated, text));
        }
        let name = ChannelName {
            acceptor,
            opener,
            group: None,
            extension,
            label: request.label.clone(),
        };
        if self
            .channels
            .get(&name)
            .is_some_and(|channel| channel.opener.is_some())
        {
            let text = format!("a channel to {peer} with this extension and label is open");
            return Err((OpenRefusal::AlreadyOpen, text));
        }
        Ok(name)
    }

    /// Checks the bounds on channels for one more of each name, by the same opener. Acceptors' ends that their opener has
    /// left give way, once there is room for all.
    pub(super) fn make_room(&mut self, conn: ConnId, names: &[ChannelName]) -> Result<(), Refusal> {
        let connection = self.connections.get(&conn);
        let (ends, ids) = connection.map_or((0, 0), |connection| {
            (connection.ends_len(), connection.ids_left())
        });
        if ends + names.len() > self.limits.channels_max as usize {
            let text = format!(
                "this connection has {ends} channels, and {} are asked for",
                names.len()
            );
            return Err((OpenRefusal::TooManyChannels, text));
        }
        if (ids as usize) < names.len() {
            let text = "this connection has used every channel id".to_owned();
            return Err((OpenRefusal::TooManyChannels, text));
        }
        let mut left = Vec::new();
        for name in names {
            left.extend(self.room_of_pair(name)?);
        }
        for left in left {
            self.close_left(&left);
        }
        Ok(())
    }

    /// Channels from `opener` that are over and that `acceptor` has yet to take the end of.
    pub(super) fn ends_closing(&self, opener: PeerId, acceptor: PeerId) -> usize {
        self.registry
            .present(acceptor)
            .and_then(|present| self.connections.get(&present.conn))
            .map_or(0, |connection| connection.ends_closing_of(opener))
    }

    /// Checks the bounds on channels between two peers, or a peer and a group. What has to give way, if something has to.
    /// Ends that wait for the acceptor to take the rest have a bound of their own: else an opener that fills and closes one
    /// channel after the other would take all of the acceptor's places.
    fn room_of_pair(&self, name: &ChannelName) -> Result<Option<Arc<ChannelName>>, Refusal> {
        if self.channels.get(name).is_some() {
            return Ok(None);
        }
        let peer = self.registry.name(name.acceptor);
        let closing = self.ends_closing(name.opener, name.acceptor);
        if closing >= self.limits.channels_per_pair_max as usize {
            let text = format!("{peer} has yet to take the end of {closing} channels");
            return Err((OpenRefusal::TooManyChannels, text));
        }
        let of_pair = self.channels.of_pair(name.opener, name.acceptor).count();
        if of_pair < self.limits.channels_per_pair_max as usize {
            return Ok(None);
        }
        self.channels
            .of_pair(name.opener, name.acceptor)
            .find(|(_, channel)| channel.opener.is_none())
            .map(|(left, _)| Some(Arc::clone(left)))
            .ok_or_else(|| {
                let text = format!("there are {of_pair} channels to {peer}");
                (OpenRefusal::TooManyChannels, text)
            })
    }
}
