use std::collections::BTreeMap;

use winze_client::limits::{GROUP_MEMBERS_MAX, REJECTS_WAITING_MAX};
use winze_client::session::{ChannelKey, ListenerKey, SessionConfig, SessionCore};
use winze_client::{ChannelEvent, Credit, Identity};
use winze_fuzz_harness::next_frame;
use winze_messages::families::common::SetupConnectionSuccess;
use winze_messages::families::extensions::RequestExtensionsSuccess;
use winze_messages::families::hub::{AuthenticateSuccess, HubMessage};
use winze_messages::{EXT_HUB, EXT_MINT_QUOTE};
use winze_transport::{Frame, SecretKey, Transcript};

const WINDOW: Credit = Credit {
    messages: 4,
    bytes: 2_000,
};
const PAYLOAD_BYTES_MAX: usize = 1_000;
const ACCEPTED_MAX: usize = 6;
/// The client's number for its first request for extensions, on every connection.
const REQUEST_ID: u16 = 1;

/// A hub that says anything, to a client that opens channels and groups, accepts, sends, reads and closes as the bytes
/// say. It never keeps more than its windows, never sends more than its credit, and stands for the next connection.
pub fn session(data: &[u8]) {
    let Some((&how, mut rest)) = data.split_first() else {
        return;
    };
    let mut client = Client::new();
    client.connect(how & 1 == 0);
    while let Some((&op, behind)) = rest.split_first() {
        rest = behind;
        let place = usize::from(op / 8);
        match op % 8 {
            0..=3 => match next_frame(&mut rest) {
                Some(frame) => client.hear(frame),
                None => return,
            },
            4 => client.read(place),
            5 => client.send(place),
            6 if place < 20 => client.open(place),
            6 if place < 24 => client.open_group(place),
            6 => client.close(place),
            _ if place < 24 => client.pass(place as u64 * 100),
            _ => client.connect(place.is_multiple_of(2)),
        }
        client.write();
    }
    for place in 0..client.channels.len() {
        client.read(place);
    }
}

struct Client {
    core: SessionCore,
    listener: ListenerKey,
    now_ms: u64,
    channels: Vec<ChannelKey>,
    groups: Vec<ChannelKey>,
    /// By channel id.
    credit: BTreeMap<u32, Account>,
}

/// The messages of a channel, as a hub counts them.
#[derive(Default)]
struct Account {
    granted: u64,
    sent: u64,
    /// Of a member's channel: that of the group, on which whatever is sent counts here as well.
    group: Option<u32>,
}

impl Account {
    fn granting(granted: u64) -> Account {
        Account {
            granted,
            ..Account::default()
        }
    }
}

impl Client {
    fn new() -> Client {
        let secret = SecretKey::from_bytes(&[7; 32]).expect("a small number is a key");
        let identity = Identity::new("pool", "main", secret).expect("a good name");
        let config = SessionConfig {
            endpoint_host: "hub.example".to_owned(),
            endpoint_port: 1,
            extensions: vec![EXT_MINT_QUOTE],
            setup_timeout_ms: 5_000,
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            window: WINDOW,
            unsent_messages_max: 8,
        };
        let mut core = SessionCore::new(identity, config);
        let listener = core
            .listen(EXT_MINT_QUOTE, ACCEPTED_MAX, Box::new(|_| true))
            .expect("the first listener");
        Client {
            core,
            listener,
            now_ms: 0,
            channels: Vec::new(),
            groups: Vec::new(),
            credit: BTreeMap::new(),
        }
    }

    /// A new connection, where wanted with a hub that is let say anything only after it has let the client in.
    fn connect(&mut self, let_in: bool) {
        self.credit.clear();
        self.core
            .connected(&Transcript::from_bytes([3; 32]), [1; 32], self.now_ms)
            .expect("nothing waits to be written");
        if let_in {
            for frame in way_in() {
                self.core
                    .handle_frame(frame, self.now_ms)
                    .expect("the hub keeps to the steps");
            }
            assert!(self.core.is_ready());
        }
    }

    fn hear(&mut self, frame: Frame) {
        let message = HubMessage::decode(&frame);
        if self.core.handle_frame(frame, self.now_ms).is_err() {
            self.connect(true);
            return;
        }
        match message {
            Ok(HubMessage::OpenChannelSuccess(message)) => {
                let account = Account::granting(message.credit_messages);
                self.credit.insert(message.channel_id, account);
            }
            Ok(HubMessage::ChannelOffer(message)) => {
                let account = Account::granting(message.credit_messages);
                self.credit.insert(message.channel_id, account);
            }
            Ok(HubMessage::Credit(message)) => {
                if let Some(account) = self.credit.get_mut(&message.channel_id) {
                    account.granted = message.messages.max(account.granted);
                }
            }
            // Of a group that is not open any more the client takes no notice.
            Ok(HubMessage::GroupMember(message)) => {
                let group = self.credit.get(&message.group_channel_id);
                let sent = group.map_or(0, |group| group.sent);
                let account = Account {
                    granted: message.credit_messages,
                    sent: sent.saturating_sub(message.group_messages),
                    group: Some(message.group_channel_id),
                };
                self.credit.insert(message.channel_id, account);
            }
            _ => {}
        }
        while let Some(key) = self.core.take_accepted(self.listener) {
            self.channels.push(key);
        }
        for group in &self.groups {
            while let Some(key) = self.core.take_member(*group) {
                self.channels.push(key);
            }
            assert!(self.core.members(*group).len() <= GROUP_MEMBERS_MAX);
        }
        self.channels
            .retain(|key| self.core.channel(*key).is_some());
    }

    fn channel(&self, place: usize) -> Option<ChannelKey> {
        let place = place.checked_rem(self.channels.len())?;
        self.channels.get(place).copied()
    }

    fn open(&mut self, place: usize) {
        let label = place.to_string();
        let mint = "mint/main".parse().expect("a good name");
        let opened = self.core.open(EXT_MINT_QUOTE, &mint, &label, self.now_ms);
        self.channels.extend(opened);
    }

    fn open_group(&mut self, place: usize) {
        let label = place.to_string();
        let group = "group/signers".parse().expect("a good name");
        let opened = self
            .core
            .open_group(EXT_MINT_QUOTE, &group, &label, self.now_ms);
        if let Ok(key) = opened {
            self.channels.push(key);
            self.groups.push(key);
        }
    }

    fn send(&mut self, place: usize) {
        if let Some(key) = self.channel(place) {
            let room = self.core.send_credit(key);
            let sent = self.core.send(key, 0x80, &[0; 40]);
            assert!(sent.is_err() || room.messages > 0);
        }
    }

    fn close(&mut self, place: usize) {
        if let Some(key) = self.channel(place) {
            self.core.close(key);
            self.channels.retain(|held| *held != key);
            self.groups.retain(|held| *held != key);
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        if self.core.handle_timeout(self.now_ms).is_err() {
            self.connect(true);
        }
    }

    /// Takes everything that waits for the owner of a channel: no more than a hub may make a client keep.
    fn read(&mut self, place: usize) {
        let Some(key) = self.channel(place) else {
            return;
        };
        let (mut events, mut kept) = (0, Credit::default());
        while let Some(event) = self.core.take_event(key) {
            events += 1;
            if let ChannelEvent::Message { bytes, .. } = event {
                kept.messages += 1;
                kept.bytes += bytes.len() as u64;
            }
        }
        assert!(kept.messages <= WINDOW.messages && kept.bytes <= WINDOW.bytes);
        assert!(events <= 2 * (REJECTS_WAITING_MAX + WINDOW.messages as usize + 2));
    }

    fn write(&mut self) {
        while let Some(frame) = self.core.poll_transmit() {
            let Some(channel_id) = frame.channel_id() else {
                continue;
            };
            for account in self.credit.values_mut() {
                if account.group == Some(channel_id) {
                    account.sent += 1;
                }
            }
            let account = self
                .credit
                .get_mut(&channel_id)
                .expect("a message for a channel that the hub never named");
            account.sent += 1;
            assert!(
                account.sent <= account.granted,
                "more than the hub takes on {channel_id}"
            );
        }
        assert!(!self.core.wants_to_transmit());
    }
}

fn way_in() -> [Frame; 3] {
    let setup = SetupConnectionSuccess {
        used_version: 2,
        flags: 0,
    };
    let extensions = RequestExtensionsSuccess {
        request_id: REQUEST_ID,
        supported_extensions: vec![EXT_HUB, EXT_MINT_QUOTE],
    };
    let authenticated = AuthenticateSuccess {
        payload_bytes_max: PAYLOAD_BYTES_MAX as u32,
        channels_max: 256,
        ping_interval_ms: 1_000,
        idle_timeout_ms: 3_000,
    };
    [
        setup.to_frame(),
        extensions.to_frame(),
        authenticated.to_frame(),
    ]
    .map(|frame| frame.expect("within its bounds"))
}
