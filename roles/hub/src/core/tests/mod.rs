//! Stories about the core: scripted peers on a virtual clock.

#[cfg(test)]
mod channels;
#[cfg(test)]
mod flow;
pub mod fuzzed;
#[cfg(test)]
mod group_costs;
#[cfg(test)]
mod group_members;
mod group_opener;
mod group_sequences;
mod groups;
#[cfg(test)]
mod leaving;
mod memory;
mod noise;
#[cfg(test)]
mod reload;
mod rule_keeper;
#[cfg(test)]
mod runs;
mod sequences;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod vectors;

use std::collections::VecDeque;

use winze_messages::families::common::{CommonMessage, SetupConnection};
use winze_messages::families::extensions::{ExtensionsMessage, RequestExtensions};
use winze_messages::families::hub::*;
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_messages::{authentication, channel_frame};
use winze_transport::{SecretKey, Transcript};

use super::*;

/// An extension that the hub does not know and the list allows.
const VENDOR: u16 = 0x4a00;
const QUOTES: u16 = winze_messages::EXT_MINT_QUOTE;
const POOL: &str = "pool/a";
const OTHER_POOL: &str = "pool/b";
const MINT: &str = "mint/main";
/// A credit that no test uses up.
const PLENTY: Totals = Totals {
    messages: 1 << 40,
    bytes: 1 << 40,
};

/// What a client got.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Common(CommonMessage),
    Negotiation(ExtensionsMessage),
    Hub(HubMessage),
    Channel(Frame),
}

/// A hub and the time.
struct Net {
    core: HubCore,
    now_ms: u64,
    last_conn: u64,
}

fn key_of(who: &str) -> SecretKey {
    let byte = match who {
        POOL => 1,
        OTHER_POOL => 2,
        MINT => 3,
        "signer/1" => 11,
        "signer/2" => 12,
        "signer/3" => 13,
        _ => 99,
    };
    SecretKey::from_bytes(&[byte; 32]).unwrap()
}

fn listed(who: &str, may_open: &[u16]) -> ListedPeer {
    ListedPeer {
        name: who.parse().unwrap(),
        public_key: key_of(who).public_key(),
        may_open: may_open
            .iter()
            .map(|extension| (*extension, MINT.parse().unwrap()))
            .collect(),
    }
}

/// The list of most tests: both pools may open quote and vendor channels to the mint.
fn everybody() -> Vec<ListedPeer> {
    vec![
        listed(POOL, &[QUOTES, VENDOR]),
        listed(OTHER_POOL, &[QUOTES, VENDOR]),
        listed(MINT, &[]),
    ]
}

impl Net {
    fn new() -> Net {
        Net::with(HubLimits::default())
    }

    fn with(limits: HubLimits) -> Net {
        Net::listing(&everybody(), &[], limits)
    }

    /// A hub with another list.
    fn listing(peers: &[ListedPeer], groups: &[ListedGroup], limits: HubLimits) -> Net {
        assert_eq!(limits.problems(), []);
        Net {
            core: HubCore::new(peers, groups, limits).unwrap(),
            now_ms: 0,
            last_conn: 0,
        }
    }

    /// A client after its handshake.
    fn dial(&mut self) -> ConnId {
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        self.core.connected(conn, transcript(conn), self.now_ms);
        conn
    }

    /// A client that has done every step, and has read the answers to them.
    fn connect(&mut self, who: &str) -> ConnId {
        let conn = self.dial();
        let proof = proof(who, &transcript(conn));
        self.send(conn, [setup_connection(), request_extensions(), proof]);
        let seen = self.receive_frames(conn, 3);
        assert!(
            matches!(
                seen.last(),
                Some(Seen::Hub(HubMessage::AuthenticateSuccess(_)))
            ),
            "{who} was not let in: {seen:?}"
        );
        conn
    }

    fn send(&mut self, conn: ConnId, frames: impl IntoIterator<Item = Frame>) {
        let mut batch = frames.into_iter().collect();
        self.core.frames(conn, &mut batch, self.now_ms);
    }

    fn say(&mut self, conn: ConnId, message: impl Into<HubMessage>) {
        self.send(conn, [encoded(message)]);
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.core.tick(self.now_ms);
    }

    /// Everything that is due to a client now.
    fn receive(&mut self, conn: ConnId) -> Vec<Seen> {
        let mut frames = Vec::new();
        while self.core.poll_transmit(conn, 1 << 16, &mut frames) == Transmit::More {}
        frames.into_iter().map(seen).collect()
    }

    /// The next few frames, no more.
    fn receive_frames(&mut self, conn: ConnId, count: usize) -> Vec<Seen> {
        let mut frames = Vec::new();
        while frames.len() < count
            && self.core.poll_transmit(conn, 1, &mut frames) == Transmit::More
        {}
        frames.into_iter().map(seen).collect()
    }

    /// The channel that a pool opens to the mint; whatever else the pool got is gone.
    fn open(&mut self, conn: ConnId, extension: u16, label: &str) -> OpenChannelSuccess {
        self.say(conn, open_channel(extension, label));
        let opened = self.receive(conn).into_iter().find_map(|seen| match seen {
            Seen::Hub(HubMessage::OpenChannelSuccess(message)) => Some(message),
            _ => None,
        });
        opened.expect("the list allows it")
    }

    /// The one offer that waits for a client.
    fn offer(&mut self, conn: ConnId) -> ChannelOffer {
        let offers: Vec<ChannelOffer> = self
            .receive(conn)
            .into_iter()
            .filter_map(|seen| match seen {
                Seen::Hub(HubMessage::ChannelOffer(message)) => Some(message),
                _ => None,
            })
            .collect();
        assert_eq!(offers.len(), 1, "{offers:?}");
        offers.into_iter().next().unwrap()
    }

    fn accept(&mut self, conn: ConnId, channel_id: u32, credit: Totals) {
        self.say(
            conn,
            ChannelOfferAccept {
                channel_id,
                credit_messages: credit.messages,
                credit_bytes: credit.bytes,
            },
        );
    }

    /// A pool and the mint, joined by a channel; nothing waits for either.
    fn joined(&mut self, extension: u16, mint_credit: Totals) -> Joined {
        let (pool, mint) = (self.connect(POOL), self.connect(MINT));
        let pool_id = self.open(pool, extension, "").channel_id;
        let mint_id = self.offer(mint).channel_id;
        self.accept(mint, mint_id, mint_credit);
        let told = self.receive(pool);
        assert!(
            matches!(told[..], [Seen::Hub(HubMessage::Presence(_))]),
            "{told:?}"
        );
        Joined {
            pool,
            pool_id,
            mint,
            mint_id,
        }
    }

    /// As [`Self::joined`], while `noisy` has an open channel to the mint that the mint accepts.
    fn joined_beside(&mut self, noisy: ConnId) -> Joined {
        let (pool, mint) = (self.connect(POOL), self.connect(MINT));
        let noisy_offer = self.offer(mint).channel_id;
        self.accept(mint, noisy_offer, PLENTY);
        let pool_id = self.open(pool, VENDOR, "").channel_id;
        let mint_id = self.offer(mint).channel_id;
        self.accept(mint, mint_id, PLENTY);
        self.receive(noisy);
        self.receive(pool);
        Joined {
            pool,
            pool_id,
            mint,
            mint_id,
        }
    }

    /// Another list, with the same limits.
    fn relist(&mut self, peers: &[ListedPeer]) -> Reloaded {
        let limits = self.core.limits.clone();
        self.core.reload(peers, &[], limits).unwrap()
    }

    fn events(&mut self) -> VecDeque<Event> {
        self.core.take_events().into()
    }
}

#[derive(Clone, Copy)]
struct Joined {
    pool: ConnId,
    pool_id: u32,
    mint: ConnId,
    mint_id: u32,
}

fn seen(frame: Frame) -> Seen {
    let extension = frame.extension();
    if extension == winze_messages::EXT_COMMON {
        Seen::Common(CommonMessage::decode(&frame).unwrap())
    } else if frame.is_channel_msg() {
        Seen::Channel(frame)
    } else if extension == winze_messages::EXT_EXTENSIONS {
        Seen::Negotiation(ExtensionsMessage::decode(&frame).unwrap())
    } else {
        Seen::Hub(HubMessage::decode(&frame).unwrap())
    }
}

fn transcript(conn: ConnId) -> Transcript {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&conn.0.to_le_bytes());
    Transcript::from_bytes(bytes)
}

fn setup_connection() -> Frame {
    setup_with(|_| {})
}

fn setup_with(change: impl FnOnce(&mut SetupConnection)) -> Frame {
    let mut message = SetupConnection {
        protocol: 0,
        min_version: 2,
        max_version: 2,
        flags: 0,
        endpoint_host: "hub".to_owned(),
        endpoint_port: 1,
        vendor: "winze".to_owned(),
        hardware_version: String::new(),
        firmware: String::new(),
        device_id: String::new(),
    };
    change(&mut message);
    message.to_frame().unwrap()
}

fn request_extensions() -> Frame {
    negotiate(&[EXT_HUB, QUOTES, VENDOR])
}

fn negotiate(extensions: &[u16]) -> Frame {
    RequestExtensions {
        request_id: 5,
        requested_extensions: extensions.to_vec(),
    }
    .to_frame()
    .unwrap()
}

/// `who` proves itself with its own key.
fn proof(who: &str, transcript: &Transcript) -> Frame {
    let name = who.parse().unwrap();
    encoded(authentication::sign(
        &key_of(who),
        transcript.as_bytes(),
        &name,
        &[0; 32],
    ))
}

fn open_channel(extension: u16, label: &str) -> OpenChannel {
    OpenChannel {
        request_id: 1,
        extension,
        peer: MINT.to_owned(),
        label: label.to_owned(),
        credit_messages: PLENTY.messages,
        credit_bytes: PLENTY.bytes,
    }
}

/// A vendor's message with so many bytes of payload, the first of which behind the channel id says which it is.
fn vendor(channel_id: u32, number: u8, payload_bytes: usize) -> Frame {
    let mut body = vec![0; payload_bytes - 4];
    if let Some(first) = body.first_mut() {
        *first = number;
    }
    channel_frame(VENDOR, 0x11, channel_id, &body)
}

/// The numbers of the vendor messages among what was seen, and nothing but those.
fn numbers(seen: Vec<Seen>) -> Vec<u8> {
    let number = |seen| match seen {
        Seen::Channel(frame) => frame.payload[4],
        other => panic!("only channel messages were expected: {other:?}"),
    };
    seen.into_iter().map(number).collect()
}

/// A request for a quote; its authenticator is for the ends to look at.
fn quote_request(channel_id: u32) -> Frame {
    let request = MintQuoteRequest {
        amount: 1,
        unit: "hash".to_owned(),
        header_hash: [8; 32],
        description: None,
        locking_key: [2; 33],
        keyset_id: vec![0; 8],
    };
    let mut bytes = Vec::new();
    request.encode_body(&mut bytes).unwrap();
    bytes.extend([0; 48]);
    channel_frame(QUOTES, MintQuoteRequest::MSG_TYPE, channel_id, &bytes)
}

/// The last words of a connection that ended with `Close`.
fn close_of(seen: &[Seen]) -> (&str, u32) {
    match seen.last() {
        Some(Seen::Hub(HubMessage::Close(close))) => {
            (close.reason_code.as_str(), close.retry_after_ms)
        }
        other => panic!("the last message is no Close: {other:?}"),
    }
}
