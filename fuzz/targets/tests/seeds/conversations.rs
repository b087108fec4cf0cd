//! Beginnings that get a state machine somewhere, for the fuzzer to go on from.

use stratum_core::binary_sv2::{Encodable, GetSize};
use stratum_core::common_messages_sv2::{
    MESSAGE_TYPE_SETUP_CONNECTION, Protocol, SetupConnectionOwned,
};
use stratum_core::mining_sv2::{
    CloseChannelOwned, MESSAGE_TYPE_CLOSE_CHANNEL, MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL,
    MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL, MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED,
    MESSAGE_TYPE_SUBMIT_SHARES_STANDARD, MESSAGE_TYPE_UPDATE_CHANNEL,
    OpenExtendedMiningChannelOwned, OpenStandardMiningChannelOwned, SubmitSharesExtendedOwned,
    SubmitSharesStandard, UpdateChannelOwned,
};
use winze_messages::families::extensions::RequestExtensions;
use winze_messages::families::hub::{
    ChannelOffer, CloseChannel, Credit, GroupMember, HubMessage, OpenChannelSuccess, Ping,
    Presence, Reject,
};
use winze_messages::{EXT_MINT_QUOTE, channel_frame};
use winze_pool::mining::wire;
use winze_transport::{Certificate, Frame, SecretKey};

const MINER: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798.rig1";

/// Target, name and bytes of each.
pub fn all() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let secret = SecretKey::from_bytes(&[5; 32]).unwrap();
    let certificate = Certificate::sign(&secret, secret.public_key(), 1, 2_000_000_000, &[0; 32]);
    let certificate = toml::to_string(&certificate).unwrap();
    vec![
        (
            "texts",
            "public-key",
            secret.public_key().to_string().into(),
        ),
        ("texts", "secret-key", secret.to_text().as_bytes().to_vec()),
        ("texts", "certificate", certificate.into()),
        ("texts", "peer", b"mint/main".to_vec()),
        ("texts", "miner", MINER.into()),
        ("session", "opener", opener()),
        ("session", "acceptor", acceptor()),
        ("session", "group", group()),
        ("mining", "standard", mining(false)),
        ("mining", "extended", mining(true)),
        ("hub_sequences", "joined", hub_operations()),
        ("hub_groups", "joined", group_operations()),
    ]
}

/// A client opens a channel, is heard and refused, loses the far end, and is closed.
fn opener() -> Vec<u8> {
    let mut said = vec![0, 6];
    hub_says(
        &mut said,
        OpenChannelSuccess {
            request_id: 1,
            channel_id: 1,
            peer_present: true,
            peer_instance: 3,
            credit_messages: 2,
            credit_bytes: 1_000,
        },
    );
    said.extend([4, 5, 5, 5]);
    hub_says(&mut said, credit(1, 8));
    said.extend([5, 5]);
    frame(&mut said, &channel_frame(EXT_MINT_QUOTE, 0x81, 1, &[1; 60]));
    hub_says(
        &mut said,
        Reject {
            channel_id: 1,
            ordinal: 2,
            error_code: "peer-away".to_owned(),
            detail: String::new(),
        },
    );
    said.push(4);
    hub_says(
        &mut said,
        Presence {
            channel_id: 1,
            present: false,
            instance: 0,
        },
    );
    hub_says(&mut said, close(1));
    said.extend([4, 7 + 8 * 20, 7 + 8 * 24]);
    said
}

/// A client opens a group, sends to all and to one, hears what was not delivered, and of a member that joins, leaves and
/// is back.
fn group() -> Vec<u8> {
    let mut said = vec![0, 6 + 8 * 20];
    hub_says(
        &mut said,
        OpenChannelSuccess {
            request_id: 1,
            channel_id: 1,
            peer_present: false,
            peer_instance: 0,
            credit_messages: 9,
            credit_bytes: 1_000,
        },
    );
    let member = |channel_id, number: u8, group_messages| GroupMember {
        group_channel_id: 1,
        channel_id,
        peer: format!("signer/{number}"),
        group_messages,
        group_bytes: 44 * group_messages,
        peer_present: true,
        peer_instance: 3,
        credit_messages: 2,
        credit_bytes: 1_000,
    };
    hub_says(&mut said, member(2, 1, 0));
    hub_says(&mut said, member(3, 2, 0));
    said.extend([4, 4 + 8, 4 + 16, 5, 5 + 8, 5, 5 + 16, 5]);
    for ordinal in 1..=3 {
        hub_says(
            &mut said,
            Reject {
                channel_id: 2,
                ordinal,
                error_code: "no-credit".to_owned(),
                detail: String::new(),
            },
        );
    }
    hub_says(&mut said, credit(2, 9));
    hub_says(&mut said, member(4, 3, 1));
    said.extend([4 + 24, 5 + 24, 5, 4 + 8]);
    hub_says(&mut said, close(4));
    hub_says(&mut said, member(5, 3, 3));
    hub_says(&mut said, member(6, 1, 3));
    said.extend([4 + 8, 5 + 8, 5, 6 + 8 * 25]);
    hub_says(&mut said, close(1));
    said.extend([4, 7 + 8 * 20, 7 + 8 * 24]);
    said
}

/// A client is offered channels, one of them twice, and hears messages on them.
fn acceptor() -> Vec<u8> {
    let mut said = vec![0];
    for (channel_id, label) in [(1, "a"), (2, "b"), (3, "a")] {
        hub_says(
            &mut said,
            ChannelOffer {
                channel_id,
                extension: EXT_MINT_QUOTE,
                peer: "pool/main".to_owned(),
                label: label.to_owned(),
                peer_present: true,
                peer_instance: u64::from(channel_id),
                credit_messages: 2,
                credit_bytes: 1_000,
            },
        );
        frame(
            &mut said,
            &channel_frame(EXT_MINT_QUOTE, 0x80, channel_id, &[2; 60]),
        );
    }
    said.extend([4, 4 + 8, 5, 5 + 8]);
    hub_says(&mut said, Ping { nonce: 7 });
    hub_says(&mut said, close(2));
    said.extend([6 + 8 * 24, 4]);
    said
}

fn credit(channel_id: u32, messages: u64) -> Credit {
    Credit {
        channel_id,
        messages,
        bytes: messages * 500,
    }
}

fn close(channel_id: u32) -> CloseChannel {
    CloseChannel {
        channel_id,
        reason_code: "closed-by-peer".to_owned(),
        detail: String::new(),
    }
}

fn hub_says(said: &mut Vec<u8>, message: impl Into<HubMessage>) {
    frame(said, &message.into().to_frame().unwrap());
}

fn frame(said: &mut Vec<u8>, frame: &Frame) {
    said.push(0);
    said.extend(frame.to_bytes());
}

/// A miner sets up, opens a channel, submits shares, changes its mind about its hash rate, and leaves.
fn mining(extended: bool) -> Vec<u8> {
    let setup = SetupConnectionOwned {
        protocol: Protocol::MiningProtocol,
        min_version: 2,
        max_version: 2,
        flags: 0,
        endpoint_host: "pool".try_into().unwrap(),
        endpoint_port: 1,
        vendor: "v".try_into().unwrap(),
        hardware_version: "h".try_into().unwrap(),
        firmware: "f".try_into().unwrap(),
        device_id: "d".try_into().unwrap(),
    };
    let extensions = RequestExtensions {
        request_id: 1,
        requested_extensions: vec![EXT_MINT_QUOTE],
    };
    let mut said = wire::frame(MESSAGE_TYPE_SETUP_CONNECTION, setup).to_bytes();
    said.extend(extensions.to_frame().unwrap().to_bytes());
    let open_standard = OpenStandardMiningChannelOwned {
        request_id: 7,
        user_identity: MINER.try_into().unwrap(),
        nominal_hash_rate: 1.0,
        max_target: [0xff; 32].into(),
    };
    let open_extended = OpenExtendedMiningChannelOwned {
        request_id: 7,
        user_identity: MINER.try_into().unwrap(),
        nominal_hash_rate: 1.0,
        max_target: [0xff; 32].into(),
        min_extranonce_size: 4,
    };
    if extended {
        said.extend(
            wire::frame(MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL, open_extended).to_bytes(),
        );
    } else {
        said.extend(
            wire::frame(MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL, open_standard).to_bytes(),
        );
    }
    for nonce in 0..12 {
        let (channel_id, sequence_number, job_id) = (2, nonce + 1, 1);
        let (ntime, version) = (1_800_000_000, 0x2000_0000);
        if extended {
            let share = SubmitSharesExtendedOwned {
                channel_id,
                sequence_number,
                job_id,
                nonce,
                ntime,
                version,
                extranonce: vec![0; 4].try_into().unwrap(),
            };
            said.extend(on_channel(MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED, share));
        } else {
            let share = SubmitSharesStandard {
                channel_id,
                sequence_number,
                job_id,
                nonce,
                ntime,
                version,
            };
            said.extend(on_channel(MESSAGE_TYPE_SUBMIT_SHARES_STANDARD, share));
        }
    }
    let update = UpdateChannelOwned {
        channel_id: 2,
        nominal_hash_rate: 1e6,
        maximum_target: [0xff; 32].into(),
    };
    said.extend(on_channel(MESSAGE_TYPE_UPDATE_CHANNEL, update));
    let close = CloseChannelOwned {
        channel_id: 2,
        reason_code: "done".try_into().unwrap(),
    };
    said.extend(on_channel(MESSAGE_TYPE_CLOSE_CHANNEL, close));
    said
}

fn on_channel<T: Encodable + GetSize>(msg_type: u8, message: T) -> Vec<u8> {
    wire::channel_frame(msg_type, message).to_bytes()
}

/// Both pools and the mint connect, open, accept, send and read; then one leaves and comes back.
fn hub_operations() -> Vec<u8> {
    let (connect, leave, open, answer, send, read) = (0, 1, 2, 4, 6, 10);
    let far = |who| [read, who, 0xff, 0xff];
    [
        [connect, 0, 0, 0],
        [connect, 1, 0, 0],
        [connect, 2, 0, 0],
        [open, 0, 0, 0],
        [open, 1, 1, 0],
        far(0),
        far(1),
        far(2),
        [answer, 0, 9, 0],
        far(0),
        far(1),
        [send, 0, 40, 0],
        [send, 1, 40, 4],
        [send, 2, 80, 0],
        far(2),
        far(0),
        [leave, 0, 0, 0],
        [connect, 0, 0, 0],
        [open, 0, 0, 0],
        far(2),
        far(0),
    ]
    .concat()
}

/// An opener and two of three signers: messages to all and to one, a list that changes, an opener that comes back.
fn group_operations() -> Vec<u8> {
    let (connect, leave, open, answer, all, one, reply, read, raise, relist) =
        (0, 1, 2, 3, 5, 8, 9, 10, 13, 15);
    let opener = 3;
    let far = |who| [read, who, 0x87, 0x13];
    [
        [connect, opener, 0, 0],
        [open, 0, 0, 0],
        far(opener),
        [connect, 0, 0, 0],
        [connect, 1, 0, 0],
        far(0),
        far(1),
        [answer, 0, 9, 0],
        [answer, 1, 1, 0],
        far(opener),
        [all, 0, 40, 0],
        [all, 0, 40, 4],
        [one, 1, 80, 0],
        [all, 0xff, 0, 0],
        [reply, 0, 9, 0],
        far(0),
        far(1),
        far(opener),
        [raise, 1, 0, 9],
        far(1),
        [relist, 0, 3, 0],
        [all, 0, 40, 0],
        [relist, 0, 0, 0],
        [all, 0, 41, 0],
        far(opener),
        far(0),
        [leave, opener, 0, 0],
        [connect, opener, 0, 0],
        [open, 0, 0, 0],
        far(opener),
        [all, 0, 42, 0],
        far(1),
    ]
    .concat()
}
