//! Peers that keep no rules: each connection has one way of breaking them.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use winze_client::Identity;
use winze_hub::core::ConnId;
use winze_messages::families::common::SetupConnection;
use winze_messages::families::extensions::RequestExtensions;
use winze_messages::families::hub::{
    ChannelOfferAccept, ChannelOfferRefuse, CloseChannel, Credit, HubMessage, OpenChannel, Ping,
};
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteFailure, MintQuoteNotification, MintQuoteRequest,
    MintQuoteResponse, StoreQuery, StoreState,
};
use winze_messages::{
    EXT_HUB, EXT_MINT_QUOTE, PairKeys, Side, authentication, channel_frame, request_digest,
};
use winze_transport::{Frame, Transcript};

use crate::cast::{EVIL, MEMBERS, MINT, OPENER, POOLS, identity, key_of};
use crate::chat::{NUMBERED, VENDOR};
use crate::truth::Truth;

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Asks for another protocol, version or flags.
    WrongSetup,
    /// Does not ask for the hub's family.
    NoHubFamily,
    /// Signs another transcript.
    BadSignature,
    /// Has a key that is not listed.
    Unlisted,
    /// Claims another's name.
    WrongName,
    /// Says nothing.
    Silent,
    /// Sends what is not due.
    OutOfStep,
    /// Sends much before it is authenticated.
    TooMuch,
    /// Sends the hub what does not decode.
    Malformed,
    /// Sends the hub what it does not know.
    Unknown,
    /// Sends more than it has credit for.
    OverCredit,
    /// Asks and never reads.
    NeverReads,
    /// Asks a little, and never reads.
    Deaf,
    /// Authenticates and says no more.
    Idle,
    /// Sends messages that are refused, each in another way.
    Rejected,
    /// Asks for quotes: for its own hashes, and for those of others.
    Asks,
    /// Fills channels, closes them, opens others.
    Churns,
    /// Comes under the identity of another.
    Twin,
    /// Sends anything.
    Random,
}

/// Every script.
pub const SCRIPTS: &[Script] = &[
    Script::WrongSetup,
    Script::NoHubFamily,
    Script::BadSignature,
    Script::Unlisted,
    Script::WrongName,
    Script::Silent,
    Script::OutOfStep,
    Script::TooMuch,
    Script::Malformed,
    Script::Unknown,
    Script::OverCredit,
    Script::NeverReads,
    Script::Deaf,
    Script::Idle,
    Script::Rejected,
    Script::Asks,
    Script::Churns,
    Script::Twin,
    Script::Random,
];

/// One such connection.
pub struct Evil {
    /// What it does.
    pub script: Script,
    /// Its connection.
    pub conn: ConnId,
    /// When it leaves.
    pub leaves_at_ms: u64,
    transcript: Transcript,
    who: Identity,
    said_hello: bool,
    is_in: bool,
    quotes: Option<u32>,
    chat: Option<u32>,
    requests: u32,
    turns: u32,
}

impl Evil {
    /// A connection after its handshake.
    pub fn new(
        script: Script,
        conn: ConnId,
        transcript: Transcript,
        leaves_at_ms: u64,
        rng: &mut ChaCha8Rng,
    ) -> Evil {
        let who = match script {
            Script::Twin => {
                let known = [POOLS[0], POOLS[1], OPENER, MEMBERS[0]];
                known[rng.gen_range(0..known.len())]
            }
            Script::Unlisted => "pool/nobody",
            _ => EVIL,
        };
        Evil {
            script,
            conn,
            leaves_at_ms,
            transcript,
            who: identity(who),
            said_hello: false,
            is_in: false,
            quotes: None,
            chat: None,
            requests: 0,
            turns: 0,
        }
    }

    /// Whether it takes anything from its socket.
    pub fn reads(&self) -> bool {
        !matches!(self.script, Script::NeverReads | Script::Deaf) || !self.is_in
    }

    /// What it sends now.
    pub fn turn(
        &mut self,
        frames: Vec<Frame>,
        rng: &mut ChaCha8Rng,
        truth: &mut Truth,
    ) -> Vec<Frame> {
        let mut out = Vec::new();
        if !self.said_hello {
            self.said_hello = true;
            self.hello(&mut out, rng);
        }
        for frame in frames {
            self.take(&frame, &mut out);
        }
        if self.is_in && rng.gen_ratio(1, 3) {
            self.turns += 1;
            self.act(&mut out, rng, truth);
        }
        out
    }

    fn hello(&mut self, out: &mut Vec<Frame>, rng: &mut ChaCha8Rng) {
        match self.script {
            Script::Silent => return,
            Script::OutOfStep => {
                say(out, HubMessage::Ping(Ping { nonce: 1 }));
                return;
            }
            Script::TooMuch => {
                for _ in 0..6 {
                    out.push(Frame {
                        extension_type: 0x5000,
                        msg_type: 1,
                        payload: vec![0; 4_000],
                    });
                }
                return;
            }
            _ => {}
        }
        let wrong = match self.script {
            Script::WrongSetup => rng.gen_range(1..=3),
            _ => 0,
        };
        let setup = SetupConnection {
            protocol: u8::from(wrong == 1),
            min_version: 2 + u16::from(wrong == 2),
            max_version: 3,
            flags: u32::from(wrong == 3),
            endpoint_host: "hub".to_owned(),
            endpoint_port: 1,
            vendor: "evil".to_owned(),
            hardware_version: String::new(),
            firmware: String::new(),
            device_id: String::new(),
        };
        let mut extensions = vec![EXT_MINT_QUOTE, VENDOR];
        if self.script != Script::NoHubFamily {
            extensions.push(EXT_HUB);
        }
        let negotiation = RequestExtensions {
            request_id: 1,
            requested_extensions: extensions,
        };
        let transcript = match self.script {
            Script::BadSignature => [9; 32],
            _ => *self.transcript.as_bytes(),
        };
        let name = match self.script {
            Script::WrongName => MINT.parse().expect("the cast have names"),
            _ => self.who.peer().clone(),
        };
        let proof = authentication::sign(self.who.secret(), &transcript, &name, &[0; 32]);
        out.extend(setup.to_frame());
        out.extend(negotiation.to_frame());
        say(out, HubMessage::Authenticate(proof));
    }

    fn take(&mut self, frame: &Frame, out: &mut Vec<Frame>) {
        match HubMessage::decode(frame) {
            Ok(HubMessage::AuthenticateSuccess(_)) => {
                self.is_in = true;
                self.open(out, EXT_MINT_QUOTE, "");
                self.open(out, VENDOR, "evil");
            }
            Ok(HubMessage::OpenChannelSuccess(opened)) => match opened.request_id {
                1 => self.quotes = Some(opened.channel_id),
                _ => self.chat = Some(opened.channel_id),
            },
            _ => self.take_query(frame, out),
        }
    }

    /// Says how far its store has come, and may well lie: that is its own affair.
    fn take_query(&self, frame: &Frame, out: &mut Vec<Frame>) {
        let is_query =
            frame.extension() == EXT_MINT_QUOTE && frame.msg_type == StoreQuery::MSG_TYPE;
        let body = frame.payload.get(4..4 + 32).filter(|_| is_query);
        let (Some(body), Script::Asks) = (body, self.script) else {
            return;
        };
        let state = StoreState {
            requests: 1,
            answers: match frame.payload.last() {
                Some(0..32) => u64::MAX,
                _ => 0,
            },
        };
        let mut numbers = Vec::new();
        state
            .encode_body(&mut numbers)
            .expect("it has a fixed size");
        let digest = request_digest(EXT_MINT_QUOTE, StoreQuery::MSG_TYPE, body);
        let sealed = keys_of(EVIL).seal(StoreState::MSG_TYPE, &numbers, 0, Some(digest));
        let channel_id = frame.channel_id().unwrap_or(0);
        out.push(channel_frame(
            EXT_MINT_QUOTE,
            StoreState::MSG_TYPE,
            channel_id,
            &sealed,
        ));
    }

    fn open(&mut self, out: &mut Vec<Frame>, extension: u16, label: &str) {
        self.requests += 1;
        say(
            out,
            HubMessage::OpenChannel(OpenChannel {
                request_id: self.requests,
                extension,
                peer: MINT.to_owned(),
                label: label.to_owned(),
                credit_messages: 4,
                credit_bytes: 8_192,
            }),
        );
    }

    fn act(&mut self, out: &mut Vec<Frame>, rng: &mut ChaCha8Rng, truth: &mut Truth) {
        let quotes = self.quotes.unwrap_or(0);
        let chat = self.chat.unwrap_or(0);
        let of_quotes =
            |msg_type, body: &[u8]| channel_frame(EXT_MINT_QUOTE, msg_type, quotes, body);
        match self.script {
            Script::Malformed => match rng.gen_range(0..2) {
                0 => out.push(Frame {
                    extension_type: EXT_HUB,
                    msg_type: OpenChannel::MSG_TYPE,
                    payload: vec![1, 2, 3],
                }),
                _ => say(
                    out,
                    HubMessage::ChannelOfferAccept(ChannelOfferAccept {
                        channel_id: quotes,
                        credit_messages: 1,
                        credit_bytes: 1,
                    }),
                ),
            },
            Script::Unknown => out.push(Frame {
                extension_type: EXT_HUB,
                msg_type: 0x77,
                payload: Vec::new(),
            }),
            Script::OverCredit => {
                out.extend((0..20).map(|_| channel_frame(VENDOR, NUMBERED, chat, &[0; 40])));
            }
            Script::NeverReads => {
                for _ in 0..400 {
                    self.open(out, VENDOR, "\u{1}");
                }
            }
            Script::Deaf => {
                if self.turns == 1 {
                    (0..150).for_each(|_| self.open(out, VENDOR, "\u{1}"));
                } else {
                    say(out, HubMessage::Ping(Ping { nonce: 1 }));
                }
            }
            Script::Rejected => {
                let nothing: &[u8] = &[];
                match rng.gen_range(0..9) {
                    0 => out.push(channel_frame(EXT_MINT_QUOTE, 0x80, 4_000_000, nothing)),
                    1 => out.push(channel_frame(VENDOR, NUMBERED, quotes, nothing)),
                    2 => out.push(of_quotes(0x99, nothing)),
                    3 => out.push(of_quotes(MintQuoteResponse::MSG_TYPE, nothing)),
                    4 => out.push(of_quotes(MintQuoteRequest::MSG_TYPE, &[0; 3])),
                    5 => out.push(of_quotes(MintQuoteRequest::MSG_TYPE, &[0; 1_000])),
                    6 => out.push(of_quotes(MintQuoteError::MSG_TYPE, nothing)),
                    7 => out.extend(
                        MintQuoteNotification {
                            header_hash: [1; 32],
                            quote_id: "x".to_owned(),
                            amount: 1,
                            unit: "hash".to_owned(),
                            expires_at_unix_s: 0,
                        }
                        .to_frame(quotes),
                    ),
                    _ => out.extend(
                        MintQuoteFailure {
                            header_hash: [1; 32],
                            error_code: 1,
                            error_message: String::new(),
                        }
                        .to_frame(quotes),
                    ),
                }
                if rng.gen_ratio(1, 6) {
                    out.push(of_quotes(KeysetAnnouncement::MSG_TYPE, nothing));
                }
            }
            Script::Asks if self.turns <= 6 => {
                out.push(of_quotes(MintQuoteRequest::MSG_TYPE, &ask(rng, truth)));
            }
            Script::Churns => match rng.gen_range(0..4) {
                0 => {
                    let label = format!("{}", rng.gen_range(0..6));
                    self.open(out, VENDOR, &label);
                }
                1 => self.open(out, VENDOR, "unwanted"),
                2 => say(
                    out,
                    HubMessage::CloseChannel(CloseChannel {
                        channel_id: chat,
                        reason_code: "done".to_owned(),
                        detail: String::new(),
                    }),
                ),
                _ => out.push(channel_frame(VENDOR, NUMBERED, chat, b"")),
            },
            Script::Random => self.anything(out, rng),
            _ => {}
        }
    }

    fn anything(&self, out: &mut Vec<Frame>, rng: &mut ChaCha8Rng) {
        let channel_id = match rng.gen_range(0..3) {
            0 => self.quotes.unwrap_or(0),
            1 => self.chat.unwrap_or(0),
            _ => rng.gen_range(0..12),
        };
        match rng.gen_range(0..5) {
            0 => say(
                out,
                HubMessage::Credit(Credit {
                    channel_id,
                    messages: rng.r#gen(),
                    bytes: rng.r#gen(),
                }),
            ),
            1 => say(
                out,
                HubMessage::ChannelOfferRefuse(ChannelOfferRefuse {
                    channel_id: rng.gen_range(50..60),
                    reason_code: "no".to_owned(),
                }),
            ),
            2 => say(out, HubMessage::Ping(Ping { nonce: rng.r#gen() })),
            3 => {
                let body: Vec<u8> = (0..rng.gen_range(0..200)).map(|_| rng.r#gen()).collect();
                let extension = *[EXT_MINT_QUOTE, VENDOR, 0, 1, EXT_HUB]
                    .get(rng.gen_range(0..5))
                    .unwrap_or(&VENDOR);
                out.push(channel_frame(extension, rng.r#gen(), channel_id, &body));
            }
            _ => {
                let payload = (0..rng.gen_range(0..60)).map(|_| rng.r#gen()).collect();
                let extension_type = *[EXT_HUB, 0x5000, 0, 1]
                    .get(rng.gen_range(0..4))
                    .unwrap_or(&1);
                out.push(Frame {
                    extension_type,
                    msg_type: rng.gen_range(0..20),
                    payload,
                });
            }
        }
    }
}

/// A request under the hostile peer's own key, or under nobody's.
fn ask(rng: &mut ChaCha8Rng, truth: &mut Truth) -> Vec<u8> {
    let known: Vec<[u8; 32]> = truth.promised.keys().map(|(_, hash)| *hash).collect();
    let header_hash = match rng.gen_range(0..3) {
        0 => known
            .get(rng.gen_range(0..known.len().max(1)))
            .copied()
            .unwrap_or([3; 32]),
        _ => rng.r#gen(),
    };
    let request = MintQuoteRequest {
        amount: rng.gen_range(0..5),
        unit: "hash".to_owned(),
        header_hash,
        description: None,
        locking_key: [3; 33],
        keyset_id: vec![1; 8],
    };
    let mut body = Vec::new();
    request
        .encode_body(&mut body)
        .expect("every field is within its bounds");
    let own = rng.gen_ratio(2, 3);
    if own {
        truth.asked_by_evil.insert(header_hash);
    }
    let keys = keys_of(if own { EVIL } else { "pool/nobody" });
    keys.seal(MintQuoteRequest::MSG_TYPE, &body, 1, None)
}

fn keys_of(name: &str) -> PairKeys {
    let mint = key_of(MINT).public_key();
    PairKeys::derive(
        &key_of(name),
        &mint,
        EXT_MINT_QUOTE,
        Side::Requester,
        "pool",
        "mint",
    )
}

fn say(out: &mut Vec<Frame>, message: HubMessage) {
    out.extend(message.to_frame());
}
