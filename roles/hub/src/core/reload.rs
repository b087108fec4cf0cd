//! Another list of peers, and other limits, while the hub runs.

use winze_messages::names::PeerName;

use super::connection::Step;
use super::event::Ending;
use super::reasons::{ChannelCloseReason, CloseReason};
use super::{HubCore, ListErrors, ListedGroup, ListedPeer};
use crate::limits::HubLimits;

/// What changed with [`HubCore::reload`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Names that are let in from now on, or under another key than before.
    pub added: Vec<PeerName>,
    /// Names whose key is not let in any more.
    pub struck_off: Vec<PeerName>,
    /// How many of those were connected, and are not any more.
    pub connections_ended: usize,
    /// Channels of others that are not allowed any more, and of those that were struck off.
    pub channels_ended: usize,
}

impl HubCore {
    /// Takes another list of peers, and limits for all that comes. An identity that is not on it, or whose key is
    /// another one, loses its connection at once (`struck-off`); what it sent on its channels and nobody has read is gone.
    /// A channel that is not allowed any more ends for both ends (`not-allowed`), as does that of a member that has left a
    /// group; one that has joined is met by those who have the group's channel open. A client that asked for an extension
    /// which nobody could open until now is asked to reconnect. Nobody else notices.
    ///
    /// # Errors
    /// The list contradicts itself. Nothing has changed then.
    pub fn reload(
        &mut self,
        peers: &[ListedPeer],
        groups: &[ListedGroup],
        limits: HubLimits,
    ) -> Result<Reloaded, ListErrors> {
        let next = self.registry.relisted(peers, groups)?;
        let struck_off = self.registry.missing_in(&next);
        let added = next.missing_in(&self.registry);
        let mut reloaded = Reloaded {
            added: added.into_iter().map(|(name, _)| name).collect(),
            ..Reloaded::default()
        };
        // Under the list on which they still have a name.
        for (name, conn) in struck_off {
            if let Some(conn) = conn {
                let detail = format!("{name} was removed from the list");
                let ending = Ending::close(CloseReason::StruckOff, detail, 0);
                self.end_connection(conn, ending);
                reloaded.connections_ended += 1;
            }
            reloaded.struck_off.push(name);
        }
        let before = std::mem::replace(&mut self.registry, next);
        self.extensions = self.registry.extensions();
        self.limits = limits;
        reloaded.channels_ended = self.end_channels_not_allowed() + self.join_groups(&before);
        self.ask_who_would_negotiate_more();
        Ok(reloaded)
    }

    fn ask_who_would_negotiate_more(&mut self) {
        for (conn, connection) in &mut self.connections {
            let is_ready = matches!(connection.step(), Step::Ready { .. });
            if is_ready && connection.would_negotiate_more(&self.extensions) {
                connection.ask_to_reconnect();
                self.ready.insert(*conn);
            }
        }
    }

    fn end_channels_not_allowed(&mut self) -> usize {
        let registry = &self.registry;
        let ended = self.channels.remove_unless(|name| {
            let asked_for = name.group.unwrap_or(name.acceptor);
            let is_member = |group| registry.members(group).contains(&name.acceptor);
            registry.may_open(name.opener, name.extension, asked_for)
                && name.group.is_none_or(is_member)
        });
        let channels_ended = ended.len();
        for (_, channel) in ended {
            for end in [channel.opener, channel.acceptor].into_iter().flatten() {
                let text = "the list does not allow this channel any more".to_owned();
                self.say_closed(end, ChannelCloseReason::NotAllowed, text);
            }
        }
        channels_ended
    }
}
