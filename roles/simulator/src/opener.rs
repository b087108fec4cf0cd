//! The opener of channels to a group: through the real session, it says things to all members and
//! to single ones, and puts down what it hears of them.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use winze_client::session::{ChannelEvent, ChannelKey, GroupMemberState, Woken};

use crate::cast::{GROUP, MEMBERS, OPENER, identity};
use crate::chat::{Chat, VENDOR};
use crate::client::{Client, View};
use crate::ledger::{Addressed, Ledger, Seen, Standing};

/// A message of [`VENDOR`] to a group or to one of its members, with an [`Addressed`].
pub const ADDRESSED: u8 = 0x12;

/// How many channels to the group there are, labelled from "0" on.
const GROUPS: u8 = 2;

/// Within how many milliseconds the opener hears that a channel is open, if nothing goes wrong.
const HEARD_WITHIN_MS: u64 = 3_000;

/// After how many milliseconds the opener opens a channel anew that a member has refused.
const REOPENS_AFTER_MS: u64 = 1_000;

/// A channel to the group.
struct ToGroup {
    key: ChannelKey,
    label: u8,
    /// What was sent to all on this connection, in the order of its ordinals.
    sent: Vec<u64>,
    members: BTreeMap<ChannelKey, ToMember>,
    /// When it is closed and opened anew: a member has refused its channel.
    reopens_at_ms: Option<u64>,
}

/// The channel to one member of it.
struct ToMember {
    place: usize,
    is_open: bool,
    /// When the opener heard that it is open, in milliseconds.
    opened_ms: u64,
    /// What was sent to this one alone, by ordinal.
    sent: BTreeMap<u64, u64>,
}

/// The opener's process.
pub struct Process {
    /// Its connection.
    pub client: Client,
    /// What members answer, and what is said on channels to single peers.
    pub chat: Chat,
    groups: Vec<ToGroup>,
    /// Channels to the same peers that are no members' channels.
    beside: Vec<ChannelKey>,
}

/// See the [module](self).
#[derive(Default)]
pub struct Opener {
    /// `None` while it is down.
    pub process: Option<Process>,
    /// When it comes back.
    pub starts_at_ms: u64,
    last_epoch: u64,
}

/// What is so at the hub, for each member.
pub type Standings = Vec<Standing>;

impl Opener {
    /// Starts the process.
    pub fn start(&mut self, now_ms: u64) {
        let mut client = Client::new(identity(OPENER), now_ms);
        let expect = "a new session has no channels";
        let group = GROUP.parse().expect("the cast have names");
        let groups = (0..GROUPS).map(|label| ToGroup {
            key: client
                .session
                .open_group(VENDOR, &group, &label.to_string(), now_ms)
                .expect(expect),
            label,
            sent: Vec::new(),
            members: BTreeMap::new(),
            reopens_at_ms: None,
        });
        let groups = groups.collect();
        let beside = MEMBERS.iter().take(2).map(|member| {
            let member = member.parse().expect("the cast have names");
            client
                .session
                .open(VENDOR, &member, "0", now_ms)
                .expect(expect)
        });
        let beside = beside.collect();
        self.process = Some(Process {
            client,
            chat: Chat::after(self.last_epoch),
            groups,
            beside,
        });
    }

    /// The process is gone.
    pub fn crash(&mut self, starts_at_ms: u64, ledger: &mut Ledger) {
        if let Some(process) = self.process.take() {
            self.last_epoch = process.chat.last_epoch() + 1;
        }
        for label in 0..GROUPS {
            (0..MEMBERS.len()).for_each(|place| ledger.ended(place, label));
        }
        self.starts_at_ms = starts_at_ms;
    }

    /// What the process does with what has come. The error is a broken promise.
    pub fn turn(
        &mut self,
        ledger: &mut Ledger,
        standings: &Standings,
        now_ms: u64,
        hub_is_honest: bool,
    ) -> Result<(), String> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        for key in process.beside.clone() {
            if process.client.was_woken(Woken::Channel(key)) {
                let chat = &mut process.chat;
                chat.take_events(&mut process.client, key, 4, hub_is_honest)?;
            }
        }
        for group in &mut process.groups {
            group.reopen(&mut process.client, ledger, now_ms);
            group.take_events(&mut process.client, ledger)?;
            let keys: Vec<ChannelKey> = group.members.keys().copied().collect();
            for key in keys {
                if !process.client.was_woken(Woken::Channel(key)) {
                    continue;
                }
                let Some((name, _)) = process.client.name(key) else {
                    continue;
                };
                for event in process.client.take_events(key, 4) {
                    let chat = &mut process.chat;
                    chat.take_event(OPENER, &name, key, &event, hub_is_honest)?;
                    if hub_is_honest {
                        let heard =
                            group.hear_of(key, &event, &process.client, ledger, standings, now_ms);
                        heard?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Says something to all, to one, or beside the group.
    pub fn say(&mut self, ledger: &mut Ledger, rng: &mut ChaCha8Rng) {
        let Some(process) = &mut self.process else {
            return;
        };
        let client = &mut process.client;
        let filler_bytes = rng.gen_range(0..700);
        if rng.gen_ratio(1, 8) {
            let key = process.beside[rng.gen_range(0..process.beside.len())];
            process.chat.say(client, key, filler_bytes);
            return;
        }
        let group = &mut process.groups[rng.gen_range(0..usize::from(GROUPS))];
        let states = client.session.members(group.key);
        let only = match states.is_empty() || rng.gen_ratio(3, 4) {
            true => None,
            false => Some(&states[rng.gen_range(0..states.len())]),
        };
        // One whose channel was not taken yet is spoken to with all others.
        let only = only.filter(|only| group.members.contains_key(&only.channel));
        let message = Addressed {
            serial: ledger.next_serial(),
            label: group.label,
            only_for: only.and_then(|state| Some(place_of(&state.peer)? as u8)),
        };
        let bytes = message.to_bytes(filler_bytes);
        let payload_bytes = bytes.len() as u64 + 4;
        let key = only.map_or(group.key, |state| state.channel);
        let Ok(ordinal) = client.session.send(key, ADDRESSED, &bytes) else {
            return;
        };
        let counts_for: Vec<(usize, Seen)> = states
            .iter()
            .filter(|state| only.is_none_or(|only| only.channel == state.channel))
            .filter_map(|state| {
                let place = place_of(&state.peer)?;
                Some((place, group.seen(state, payload_bytes, client)))
            })
            .collect();
        for (place, seen) in counts_for {
            ledger.sent(place, group.label, message.serial, seen);
        }
        match only.and_then(|only| group.members.get_mut(&only.channel)) {
            Some(member) => {
                member.sent.insert(ordinal, message.serial);
            }
            None => group.sent.push(message.serial),
        }
    }

    /// Who is there, on each channel to the group.
    pub fn members_present(&self) -> Vec<usize> {
        let groups = self.process.iter().flat_map(|process| {
            process.groups.iter().map(|group| {
                let members = process.client.session.members(group.key);
                members.iter().filter(|state| state.is_present).count()
            })
        });
        groups.collect()
    }
}

impl ToGroup {
    fn seen(&self, state: &GroupMemberState, payload_bytes: u64, client: &Client) -> Seen {
        let credit = state.send_credit;
        let member = self.members.get(&state.channel);
        Seen {
            has_credit: credit.messages > 0 && credit.bytes >= payload_bytes,
            instance: match client.views.get(&state.channel) {
                Some(View::Present(instance)) if state.is_present => Some(*instance),
                _ => None,
            },
            open_since_ms: member
                .map_or(0, |member| member.opened_ms.saturating_sub(HEARD_WITHIN_MS)),
        }
    }

    /// The group goes on without a member that has refused its channel, until it is opened anew: one
    /// that is slow refuses while it holds its older channels.
    fn reopen(&mut self, client: &mut Client, ledger: &mut Ledger, now_ms: u64) {
        if self.reopens_at_ms.is_none_or(|at_ms| now_ms < at_ms) {
            return;
        }
        let members = std::mem::take(&mut self.members);
        for key in members.keys().chain([&self.key]) {
            client.session.close(*key);
            client.views.remove(key);
        }
        (0..MEMBERS.len()).for_each(|place| ledger.ended(place, self.label));
        self.sent.clear();
        self.reopens_at_ms = None;
        let group = GROUP.parse().expect("the cast have names");
        let label = self.label.to_string();
        self.key = client
            .session
            .open_group(VENDOR, &group, &label, now_ms)
            .expect("the older channel was closed");
    }

    fn take_events(&mut self, client: &mut Client, ledger: &mut Ledger) -> Result<(), String> {
        if !client.was_woken(Woken::Channel(self.key)) {
            return Ok(());
        }
        for event in client.take_events(self.key, usize::MAX) {
            match event {
                ChannelEvent::Lost | ChannelEvent::Closed { .. } => {
                    self.sent.clear();
                    (0..MEMBERS.len()).for_each(|place| ledger.ended(place, self.label));
                }
                ChannelEvent::Reject { ordinal, .. } => {
                    if let Some(serial) = self.sent_as(ordinal) {
                        ledger.told_for_all(self.label, serial)?;
                    }
                }
                ChannelEvent::RejectsOverflowed => {
                    (0..MEMBERS.len()).for_each(|place| ledger.ended(place, self.label));
                }
                _ => {}
            }
        }
        while let Some(key) = client.session.take_member(self.key) {
            let name = client.name(key).map(|(name, _)| name.peer);
            if let Some(place) = name.and_then(|name| place_of(&name)) {
                let member = ToMember {
                    place,
                    is_open: false,
                    opened_ms: 0,
                    sent: BTreeMap::new(),
                };
                self.members.insert(key, member);
                client.woken.insert(Woken::Channel(key));
            }
        }
        Ok(())
    }

    fn hear_of(
        &mut self,
        key: ChannelKey,
        event: &ChannelEvent,
        client: &Client,
        ledger: &mut Ledger,
        standings: &Standings,
        now_ms: u64,
    ) -> Result<(), String> {
        let to_all = match event {
            ChannelEvent::GroupReject { ordinal, .. } => self.sent_as(*ordinal),
            _ => None,
        };
        let (label, of_group) = (self.label, self.key);
        let Some(member) = self.members.get_mut(&key) else {
            return Ok(());
        };
        let (place, standing) = (member.place, standings[member.place]);
        match event {
            ChannelEvent::Lost | ChannelEvent::Closed { .. } => {
                if matches!(event, ChannelEvent::Closed { code, .. } if code == "refused") {
                    self.reopens_at_ms.get_or_insert(now_ms + REOPENS_AFTER_MS);
                }
                member.is_open = false;
                member.sent.clear();
                ledger.ended(place, label);
            }
            ChannelEvent::Present { .. } | ChannelEvent::Away => {
                if !std::mem::replace(&mut member.is_open, true) {
                    member.opened_ms = now_ms;
                    let states = client.session.members(of_group);
                    let state = states.iter().find(|state| state.channel == key);
                    let before = state.map_or(u64::MAX, |state| state.messages_before);
                    let before = usize::try_from(before).unwrap_or(usize::MAX);
                    for serial in self.sent.iter().skip(before) {
                        ledger.sent(place, label, *serial, Seen::default());
                    }
                }
                ledger.may_be_lost(place, label);
            }
            ChannelEvent::GroupReject { code, .. } => {
                if let Some(serial) = to_all {
                    ledger.told(place, label, serial, code, standing)?;
                }
            }
            ChannelEvent::Reject { ordinal, code, .. } => {
                if let Some(serial) = member.sent.get(ordinal) {
                    ledger.told(place, label, *serial, code, standing)?;
                }
            }
            ChannelEvent::RejectsOverflowed => ledger.ended(place, label),
            ChannelEvent::Message { .. } => {}
        }
        Ok(())
    }

    fn sent_as(&self, ordinal: u64) -> Option<u64> {
        let place = usize::try_from(ordinal.checked_sub(1)?).ok()?;
        self.sent.get(place).copied()
    }
}

fn place_of(name: &str) -> Option<usize> {
    MEMBERS.iter().position(|member| *member == name)
}
