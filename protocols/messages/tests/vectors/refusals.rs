//! `refusals.json`: frames that a hub refuses, and with which words.

use serde::Serialize;
use winze_messages::families::common::{CommonMessage, SetupConnectionSuccess};
use winze_messages::families::extensions::{ExtensionsMessage, RequestExtensions};
use winze_messages::families::hub::{
    Authenticate, HubMessage, OpenChannel, OpenChannelSuccess, Ping,
};
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteFailure, MintQuoteRequest, MintQuoteResponse, QuoteState,
};
use winze_messages::{
    DecodeError, EXT_COMMON, EXT_EXTENSIONS, EXT_HUB, EXT_MINT_QUOTE, MessageError, Refusal, Side,
    channel_frame, check_channel_payload,
};
use winze_transport::Frame;

use crate::frames::{body, request};
use crate::people::{mint_keys, pool_keys};
use crate::{VectorFile, committed, oracle};

/// The one channel of whoever sends these.
const CHANNEL_ID: u32 = 1;

#[derive(Serialize)]
pub struct RefusalVector {
    name: &'static str,
    /// Which end of the channel sent it; null for a message without the channel bit.
    from: Option<&'static str>,
    /// Whether the other end of the channel is there; null likewise.
    far_end_present: Option<bool>,
    frame: String,
    error_code: &'static str,
    /// Only where the message does not decode.
    malformed: Option<Malformed>,
}

#[derive(Serialize)]
struct Malformed {
    message: &'static str,
    field: &'static str,
    offset: usize,
    kind: &'static str,
}

impl From<DecodeError> for Malformed {
    fn from(error: DecodeError) -> Malformed {
        Malformed {
            message: error.message,
            field: error.field,
            offset: error.offset,
            kind: error.kind.code(),
        }
    }
}

pub fn file() -> VectorFile<RefusalVector> {
    VectorFile {
        origin: "Made by winze-messages, by damaging frames that decode.",
        description: "Unencrypted frames that are refused. For a message with the channel bit, \
                      `error_code` is that of `Reject`: it comes from the `from` end of a \
                      channel for 0x4802 that is accepted, whose id there is 1 and the only one. \
                      For one without, `error_code` is the reason code of `Close`, where the \
                      message comes in its step and is a client's to send; one that is the hub's \
                      shows what a client finds wrong with it. `malformed` \
                      says which field of which message is wrong, at which byte of the payload \
                      (from 0; the channel id counts), and how: cut-off (bytes are missing; the \
                      offset is where the number, the bytes of the text or the list's elements \
                      begin that do not fit), trailing-bytes, not-utf8, length \
                      (a length or count that the field does not have), value, character, order. \
                      Only the codes are part of the protocol; the rest is for a person who looks \
                      for a fault.",
        vectors: connection_refusals()
            .into_iter()
            .chain(channel_refusals())
            .collect(),
    }
}

/// From where a message on a channel comes.
#[derive(Clone, Copy)]
struct Sender {
    side: Side,
    far_end_present: bool,
}

/// What a hub says of a frame, by the decoders and, for what they do not know of, by section 3.5.
fn judge(frame: &Frame, from: Option<Sender>) -> (&'static str, Option<Malformed>) {
    if let Some(from) = from {
        if frame.channel_id() != Some(CHANNEL_ID) {
            return ("unknown-channel", None);
        }
        if frame.extension() != EXT_MINT_QUOTE {
            return ("wrong-extension", None);
        }
        return match check_channel_payload(
            EXT_MINT_QUOTE,
            frame.msg_type,
            &frame.payload,
            from.side,
        ) {
            Err(Refusal::Malformed(error)) => ("malformed", Some(error.into())),
            Err(refused) => (refused.code(), None),
            Ok(()) => {
                assert!(!from.far_end_present, "these are refusals");
                ("peer-away", None)
            }
        };
    }
    let decoded = match frame.extension() {
        EXT_COMMON => CommonMessage::decode(frame).map(drop),
        EXT_EXTENSIONS => ExtensionsMessage::decode(frame).map(drop),
        EXT_HUB => HubMessage::decode(frame).map(drop),
        // The family has no message without the channel bit.
        EXT_MINT_QUOTE => Err(MessageError::Unknown {
            extension_type: frame.extension_type,
            msg_type: frame.msg_type,
        }),
        other => panic!("{other:#06x} is ignored, not refused"),
    };
    match decoded.expect_err("these are refusals") {
        MessageError::Unknown { .. } => ("unknown-message", None),
        MessageError::Malformed(error) => ("malformed", Some(error.into())),
    }
}

fn refusal(
    name: &'static str,
    mut frame: Frame,
    from: Option<Sender>,
    damage: impl FnOnce(&mut Frame),
) -> RefusalVector {
    damage(&mut frame);
    let (error_code, malformed) = judge(&frame, from);
    RefusalVector {
        name,
        from: from.map(|from| match from.side {
            Side::Requester => "requester",
            Side::Responder => "responder",
        }),
        far_end_present: from.map(|from| from.far_end_present),
        frame: hex::encode(frame.to_bytes()),
        error_code,
        malformed,
    }
}

fn open_channel() -> Frame {
    OpenChannel {
        request_id: 7,
        extension: 0x4802,
        peer: "mint/main".to_owned(),
        label: "a".to_owned(),
        credit_messages: 1,
        credit_bytes: 65_536,
    }
    .to_frame()
    .unwrap()
}

fn ping() -> Frame {
    Ping { nonce: 1 }.to_frame().unwrap()
}

fn authenticate() -> Frame {
    Authenticate {
        role: "pool".to_owned(),
        name: "main".to_owned(),
        public_key: [0x11; 32],
        signature: [0x22; 64],
    }
    .to_frame()
    .unwrap()
}

fn request_extensions() -> Frame {
    RequestExtensions {
        request_id: 1,
        requested_extensions: vec![0x4801],
    }
    .to_frame()
    .unwrap()
}

fn connection_refusals() -> Vec<RefusalVector> {
    let success = OpenChannelSuccess {
        request_id: 1,
        channel_id: 1,
        peer_present: true,
        peer_instance: 1,
        credit_messages: 1,
        credit_bytes: 1,
    };
    vec![
        refusal("a ping without its last byte", ping(), None, |frame| {
            frame.payload.pop();
        }),
        refusal("a ping with one byte more", ping(), None, |frame| {
            frame.payload.push(0);
        }),
        refusal("a ping without a payload", ping(), None, |frame| {
            frame.payload.clear();
        }),
        refusal(
            "a text that ends after the payload",
            open_channel(),
            None,
            |frame| frame.payload[6] = 200,
        ),
        refusal("a text that is not UTF-8", open_channel(), None, |frame| {
            frame.payload[10] = 0xc0;
        }),
        refusal(
            "a character cut in two by the end of its text",
            open_channel(),
            None,
            |frame| frame.payload[15] = 0xc3,
        ),
        refusal(
            "a flag that is neither 0 nor 1",
            success.to_frame().unwrap(),
            None,
            |frame| frame.payload[8] = 2,
        ),
        refusal("a role in capitals", authenticate(), None, |frame| {
            frame.payload[1] = b'P';
        }),
        refusal("an empty role", authenticate(), None, |frame| {
            frame.payload.splice(0..5, [0]);
        }),
        refusal("a name of 33 characters", authenticate(), None, |frame| {
            let name = [vec![33], vec![b'x'; 33]].concat();
            frame.payload.splice(5..10, name);
        }),
        refusal(
            "a signature without its last byte",
            authenticate(),
            None,
            |frame| {
                frame.payload.pop();
            },
        ),
        refusal(
            "more extensions than a list may have",
            request_extensions(),
            None,
            |frame| {
                frame.payload[2..4].copy_from_slice(&513_u16.to_le_bytes());
                frame.payload.resize(4 + 2 * 513, 0);
            },
        ),
        refusal(
            "more extensions announced than there are",
            request_extensions(),
            None,
            |frame| frame.payload[2] = 2,
        ),
        refusal(
            "a setup answer that goes on",
            SetupConnectionSuccess {
                used_version: 2,
                flags: 0,
            }
            .to_frame()
            .unwrap(),
            None,
            |frame| frame.payload.extend([0, 0]),
        ),
        refusal(
            "a message that the hub family does not have",
            ping(),
            None,
            |frame| frame.msg_type = 0x20,
        ),
        refusal(
            "a quote request without the channel bit",
            sealed_request(&request()),
            None,
            |frame| frame.extension_type = EXT_MINT_QUOTE,
        ),
    ]
}

fn sealed_request(request: &MintQuoteRequest) -> Frame {
    let body = body(|out| request.encode_body(out));
    let sealed = pool_keys().seal(MintQuoteRequest::MSG_TYPE, &body, 1, None);
    channel_frame(
        EXT_MINT_QUOTE,
        MintQuoteRequest::MSG_TYPE,
        CHANNEL_ID,
        &sealed,
    )
}

fn sealed_by_mint(msg_type: u8, body: &[u8]) -> Frame {
    let sealed = mint_keys().seal(msg_type, body, 1, None);
    channel_frame(EXT_MINT_QUOTE, msg_type, CHANNEL_ID, &sealed)
}

fn channel_refusals() -> Vec<RefusalVector> {
    let sender = |side, far_end_present| {
        Some(Sender {
            side,
            far_end_present,
        })
    };
    let requester = sender(Side::Requester, true);
    let responder = sender(Side::Responder, true);
    let requester_alone = sender(Side::Requester, false);
    let request = || sealed_request(&request());
    let response = MintQuoteResponse {
        quote_id: "q".to_owned(),
        header_hash: [1; 32],
        amount: 1,
        unit: "hash".to_owned(),
        expires_at_unix_s: 0,
        state: QuoteState::Paid,
    };
    let response = || {
        sealed_by_mint(
            MintQuoteResponse::MSG_TYPE,
            &body(|out| response.encode_body(out)),
        )
    };
    let keyset = KeysetAnnouncement {
        unit: "hash".to_owned(),
        keyset_id: vec![0; 8],
        keys: vec![(1, [2; 33]), (2, [3; 33])],
    };
    let keyset = || {
        sealed_by_mint(
            KeysetAnnouncement::MSG_TYPE,
            &body(|out| keyset.encode_body(out)),
        )
    };
    // Places in the payload of `request()` without a description.
    let (unit, description, locking_key, keyset_id) = (12, 49, 50, 84);
    vec![
        refusal(
            "a request cut off in its channel id",
            request(),
            requester,
            |frame| {
                frame.payload.truncate(3);
            },
        ),
        refusal(
            "a request without a payload",
            request(),
            requester,
            |frame| frame.payload.clear(),
        ),
        refusal(
            "a vendor's message cut off in its channel id",
            channel_frame(0x4abc, 0x01, CHANNEL_ID, &[]),
            requester,
            |frame| {
                frame.payload.pop();
            },
        ),
        refusal(
            "a malformed request on a channel that there is not",
            request(),
            requester,
            |frame| {
                frame.payload.pop();
                frame.set_channel_id(CHANNEL_ID + 1);
            },
        ),
        refusal(
            "a signing message on a channel for quotes",
            channel_frame(0x4803, 0x00, CHANNEL_ID, &[1, 2, 3]),
            requester,
            |_| {},
        ),
        refusal(
            "a ping with the channel bit",
            channel_frame(EXT_HUB, Ping::MSG_TYPE, CHANNEL_ID, &[0; 4]),
            requester,
            |_| {},
        ),
        refusal(
            "a request while the mint is away",
            request(),
            requester_alone,
            |_| {},
        ),
        refusal(
            "a malformed request while the mint is away",
            request(),
            requester_alone,
            |frame| {
                frame.payload.pop();
            },
        ),
        refusal(
            "a request without its authenticator",
            request(),
            requester,
            |frame| {
                frame.payload.truncate(keyset_id + 34);
            },
        ),
        refusal(
            "a request cut off in its MAC",
            request(),
            requester,
            |frame| {
                frame.payload.pop();
            },
        ),
        refusal(
            "a request with bytes left over",
            request(),
            requester,
            |frame| {
                frame.payload.extend([1, 2, 3]);
            },
        ),
        refusal("a unit that is not UTF-8", request(), requester, |frame| {
            frame.payload[unit + 1] = 0xff;
        }),
        refusal("two descriptions", request(), requester, |frame| {
            frame.payload[description] = 2;
        }),
        refusal("a locking key of 32 bytes", request(), requester, |frame| {
            frame.payload[locking_key] = 32;
            frame.payload.remove(locking_key + 33);
        }),
        refusal("a keyset id of 9 bytes", request(), requester, |frame| {
            frame.payload[keyset_id] = 9;
        }),
        refusal(
            "a request longer than any can be",
            request(),
            requester,
            |frame| {
                frame.payload.resize(674, 0);
            },
        ),
        refusal(
            "a state that quotes do not have",
            response(),
            responder,
            |frame| {
                let state = frame.payload.len() - 48 - 1;
                frame.payload[state] = 4;
            },
        ),
        refusal("a keyset without keys", keyset(), responder, |frame| {
            let keys = 4 + 5 + 9;
            frame.payload.splice(keys..keys + 1 + 2 * 41, [0]);
        }),
        refusal("a count of 65 keys", keyset(), responder, |frame| {
            frame.payload[4 + 5 + 9] = 65;
        }),
        refusal("keys that are not in order", keyset(), responder, |frame| {
            frame.payload[4 + 5 + 9 + 1] = 2;
        }),
        refusal("a request by the responder", request(), responder, |_| {}),
        refusal("a response by the requester", response(), requester, |_| {}),
        refusal(
            "a response by the requester, too long",
            response(),
            requester,
            |frame| frame.payload.resize(614, 0),
        ),
        refusal(
            "a pool's word to its miner, on a channel of the hub",
            MintQuoteFailure {
                header_hash: [1; 32],
                error_code: 1,
                error_message: String::new(),
            }
            .to_frame(CHANNEL_ID)
            .unwrap(),
            requester,
            |_| {},
        ),
        refusal(
            "a message that the mint-quote family does not have",
            request(),
            requester,
            |frame| frame.msg_type = 0x8f,
        ),
    ]
}

#[test]
fn frozen_refusals_are_refused_for_the_frozen_reasons() {
    for vector in committed("refusals.json") {
        let frame = Frame::from_bytes(&oracle::bytes(&vector["frame"])).unwrap();
        let side = match vector["from"].as_str() {
            Some("requester") => Some(Side::Requester),
            Some("responder") => Some(Side::Responder),
            None => None,
            Some(other) => panic!("no such side: {other}"),
        };
        let from = side.map(|side| Sender {
            side,
            far_end_present: vector["far_end_present"].as_bool().unwrap(),
        });
        let (error_code, malformed) = judge(&frame, from);
        assert_eq!(error_code, vector["error_code"], "{}", vector["name"]);
        assert_eq!(
            serde_json::to_value(malformed).unwrap(),
            vector["malformed"],
            "{}",
            vector["name"]
        );
    }
}

#[test]
fn each_way_to_be_wrong_is_among_the_refusals() {
    let vectors = committed("refusals.json");
    for kind in [
        "cut-off",
        "trailing-bytes",
        "not-utf8",
        "length",
        "value",
        "character",
        "order",
    ] {
        assert!(
            vectors
                .iter()
                .any(|vector| vector["malformed"]["kind"] == kind),
            "{kind}"
        );
    }
    for code in [
        "unknown-channel",
        "wrong-extension",
        "unknown-message",
        "wrong-direction",
        "payload-too-long",
        "malformed",
        "peer-away",
    ] {
        assert!(
            vectors.iter().any(|vector| vector["error_code"] == code),
            "{code}"
        );
    }
}
