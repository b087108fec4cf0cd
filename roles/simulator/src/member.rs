//! One that may be a member of a group: through the real session, it takes what it gets, and
//! answers.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use winze_client::session::{ChannelEvent, ChannelKey, ListenerKey, Woken};

use crate::cast::{MEMBERS, OPENER, identity};
use crate::chat::{Chat, VENDOR};
use crate::client::{Client, View};
use crate::ledger::{Addressed, Ledger};
use crate::opener::ADDRESSED;

/// The process of a member.
pub struct Process {
    /// Its connection.
    pub client: Client,
    /// What it answers, and what is said on channels beside the group's.
    pub chat: Chat,
    listener: ListenerKey,
    /// Its channels, each with a number that is another one after every change of the far end.
    channels: BTreeMap<ChannelKey, u64>,
}

/// See the [module](self).
pub struct Member {
    /// Its place among [`MEMBERS`].
    place: usize,
    /// `None` while it is down.
    pub process: Option<Process>,
    /// When it comes back.
    pub starts_at_ms: u64,
    /// It takes nothing off its channels before, and so gives no credit.
    pub rests_until_ms: u64,
    last_epoch: u64,
    last_session: u64,
}

impl Member {
    /// One that has never run.
    pub fn new(place: usize) -> Member {
        Member {
            place,
            process: None,
            starts_at_ms: 0,
            rests_until_ms: 0,
            last_epoch: 0,
            last_session: 0,
        }
    }

    /// Starts the process.
    pub fn start(&mut self, now_ms: u64) {
        let mut client = Client::new(identity(MEMBERS[self.place]), now_ms);
        let is_openers = Box::new(|name: &winze_client::ChannelName| name.peer == OPENER);
        let listener = client
            .session
            .listen(VENDOR, 4, is_openers)
            .expect("a new session has no listeners");
        self.process = Some(Process {
            client,
            chat: Chat::after(self.last_epoch),
            listener,
            channels: BTreeMap::new(),
        });
    }

    /// The process is gone.
    pub fn crash(&mut self, starts_at_ms: u64) {
        if let Some(process) = self.process.take() {
            self.last_epoch = process.chat.last_epoch() + 1;
        }
        self.starts_at_ms = starts_at_ms;
    }

    /// What the process does with what has come. The error is a broken promise.
    pub fn turn(
        &mut self,
        ledger: &mut Ledger,
        now_ms: u64,
        hub_is_honest: bool,
    ) -> Result<(), String> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        if now_ms < self.rests_until_ms {
            return Ok(());
        }
        let client = &mut process.client;
        if client.was_woken(Woken::Listener(process.listener)) {
            while let Some(key) = client.session.take_accepted(process.listener) {
                client.woken.insert(Woken::Channel(key));
                self.last_session += 1;
                process.channels.insert(key, self.last_session);
            }
        }
        let keys: Vec<ChannelKey> = process.channels.keys().copied().collect();
        for key in keys {
            let name = client
                .name(key)
                .filter(|_| client.was_woken(Woken::Channel(key)));
            let Some((name, _)) = name else {
                continue;
            };
            for event in client.take_events(key, 2) {
                let own = MEMBERS[self.place];
                process
                    .chat
                    .take_event(own, &name, key, &event, hub_is_honest)?;
                let session = process.channels.entry(key).or_default();
                match event {
                    ChannelEvent::Message {
                        msg_type: ADDRESSED,
                        bytes,
                    } if hub_is_honest => {
                        if let Some(message) = Addressed::read(&bytes) {
                            ledger.received(self.place, &name.label, message, *session)?;
                        }
                    }
                    ChannelEvent::Present { .. }
                    | ChannelEvent::Away
                    | ChannelEvent::Lost
                    | ChannelEvent::Closed { .. } => {
                        self.last_session += 1;
                        *session = self.last_session;
                    }
                    _ => {}
                }
            }
            if client.views.get(&key) == Some(&View::Closed) && !client.session.has_events(key) {
                client.session.close(key);
                client.views.remove(&key);
                process.channels.remove(&key);
            }
        }
        Ok(())
    }

    /// Answers on one of its channels.
    pub fn say(&mut self, rng: &mut ChaCha8Rng) {
        let Some(process) = &mut self.process else {
            return;
        };
        let place = rng.gen_range(0..process.channels.len().max(1));
        if let Some(key) = process.channels.keys().nth(place) {
            process
                .chat
                .say(&mut process.client, *key, rng.gen_range(0..200));
        }
    }
}
