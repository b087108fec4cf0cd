//! Numbered messages of an extension that the hub does not know: they show whether channels keep
//! their order, lose nothing while both ends are there, and never reach a stranger.

use std::collections::BTreeMap;

use winze_client::session::{ChannelEnd, ChannelEvent, ChannelKey, ChannelName};

use crate::client::Client;

/// The vendor's extension.
pub const VENDOR: u16 = 0x4a00;

/// One message of it.
pub const NUMBERED: u8 = 0x11;

/// The end of one chat channel: what it sends, and what it has received.
#[derive(Default)]
struct Talk {
    /// Rises with everything after which numbers start again from 1.
    epoch: u64,
    sent: u64,
    heard: Option<(u64, u64)>,
}

/// All chat channels of one client.
#[derive(Default)]
pub struct Chat {
    talks: BTreeMap<ChannelKey, Talk>,
    last_epoch: u64,
    /// Messages that arrived.
    pub received: u64,
}

impl Chat {
    /// Continues the numbering of epochs over a restart of the process.
    pub fn after(last_epoch: u64) -> Chat {
        Chat {
            last_epoch,
            ..Chat::default()
        }
    }

    /// The last epoch that it began.
    pub fn last_epoch(&self) -> u64 {
        self.last_epoch
    }

    /// Takes the events of a channel. The error is a broken promise.
    pub fn take_events(
        &mut self,
        client: &mut Client,
        key: ChannelKey,
        events_max: usize,
        hub_is_honest: bool,
    ) -> Result<(), String> {
        let Some((name, _)) = client.name(key) else {
            return Ok(());
        };
        let own = client.identity.peer().to_string();
        for event in client.take_events(key, events_max) {
            self.take_event(&own, &name, key, &event, hub_is_honest)?;
        }
        Ok(())
    }

    /// Takes one event of a channel that is `own`'s. The error is a broken promise.
    pub fn take_event(
        &mut self,
        own: &str,
        name: &ChannelName,
        key: ChannelKey,
        event: &ChannelEvent,
        hub_is_honest: bool,
    ) -> Result<(), String> {
        let talk = self.talks.entry(key).or_default();
        match event {
            ChannelEvent::Message { msg_type, bytes } if hub_is_honest => {
                self.received += 1;
                if *msg_type != NUMBERED {
                    return Ok(());
                }
                let Some((from, label, epoch, number)) = read(bytes) else {
                    return Ok(());
                };
                if from != name.peer || label != name.label {
                    return Err(format!(
                        "{own} got what {from} sent on {label:?}, on its channel {:?} with {}",
                        name.label, name.peer
                    ));
                }
                if let Some((last_epoch, last)) = talk.heard {
                    let follows = match epoch == last_epoch {
                        true => number == last + 1,
                        false => epoch > last_epoch,
                    };
                    if !follows {
                        return Err(format!(
                            "{own} got number {number} of epoch {epoch} from {from} on {label:?} \
                             after number {last} of epoch {last_epoch}"
                        ));
                    }
                }
                talk.heard = Some((epoch, number));
            }
            ChannelEvent::Present { .. }
            | ChannelEvent::Away
            | ChannelEvent::Lost
            | ChannelEvent::Closed { .. } => {
                self.last_epoch += 1;
                talk.epoch = self.last_epoch;
                talk.sent = 0;
                talk.heard = None;
            }
            _ => {}
        }
        Ok(())
    }

    /// Says something, if the channel takes it.
    pub fn say(&mut self, client: &mut Client, key: ChannelKey, filler_bytes: usize) {
        let Some((name, end)) = client.name(key) else {
            return;
        };
        let talk = self.talks.entry(key).or_default();
        let mut bytes = Vec::new();
        bytes.extend((talk.sent + 1).to_le_bytes());
        bytes.extend(talk.epoch.to_le_bytes());
        let own = client.identity.peer().to_string();
        let own = format!("{own} {}", name.label);
        bytes.push(own.len() as u8);
        bytes.extend(own.as_bytes());
        bytes.push(u8::from(end == ChannelEnd::Opener));
        bytes.resize(bytes.len() + filler_bytes, 0);
        if client.session.send(key, NUMBERED, &bytes).is_ok() {
            talk.sent += 1;
        }
    }
}

fn read(bytes: &[u8]) -> Option<(String, String, u64, u64)> {
    let (number, rest) = bytes.split_first_chunk()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    let (len, rest) = rest.split_first()?;
    let text = std::str::from_utf8(rest.get(..usize::from(*len))?).ok()?;
    let (from, label) = text.split_once(' ')?;
    Some((
        from.to_owned(),
        label.to_owned(),
        u64::from_le_bytes(*epoch),
        u64::from_le_bytes(*number),
    ))
}
