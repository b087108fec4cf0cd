//! Messages between a client and its server: common, extensions, hub.

use serde_json::json;
use winze_messages::authentication::sign;
use winze_messages::families::{common, extensions, hub};

use super::{FrameVector, vector};
use crate::people::{pool, pool_name};

pub fn common_frames() -> Vec<FrameVector> {
    vec![
        vector(
            "setup of a pool's connection to the hub",
            &common::SetupConnection {
                protocol: 0,
                min_version: 2,
                max_version: 2,
                flags: 0,
                endpoint_host: "hub.example".to_owned(),
                endpoint_port: 34_411,
                vendor: "winze".to_owned(),
                hardware_version: "pool".to_owned(),
                firmware: "0.1.0".to_owned(),
                device_id: String::new(),
            }
            .to_frame()
            .unwrap(),
            json!([
                0,
                2,
                2,
                0,
                "hub.example",
                34_411,
                "winze",
                "pool",
                "0.1.0",
                ""
            ]),
        ),
        vector(
            "setup accepted",
            &common::SetupConnectionSuccess {
                used_version: 2,
                flags: 0,
            }
            .to_frame()
            .unwrap(),
            json!([2, 0]),
        ),
        vector(
            "setup refused for its flags",
            &common::SetupConnectionError {
                flags: 0x8000_0001,
                error_code: "unsupported-feature-flags".to_owned(),
            }
            .to_frame()
            .unwrap(),
            json!([0x8000_0001_u32, "unsupported-feature-flags"]),
        ),
        vector(
            "another endpoint is behind a channel",
            &common::ChannelEndpointChanged {}
                .to_frame(0x0102_0304)
                .unwrap(),
            json!([0x0102_0304]),
        ),
        vector(
            "a client is sent to another port of the same host",
            &common::Reconnect {
                new_host: String::new(),
                new_port: 34_412,
            }
            .to_frame()
            .unwrap(),
            json!(["", 34_412]),
        ),
        vector(
            "a pool asks for the hub and mint-quote families",
            &extensions::RequestExtensions {
                request_id: 1,
                requested_extensions: vec![0x4801, 0x4802],
            }
            .to_frame()
            .unwrap(),
            json!([1, [0x4801, 0x4802]]),
        ),
        vector(
            "both are offered",
            &extensions::RequestExtensionsSuccess {
                request_id: 1,
                supported_extensions: vec![0x4801, 0x4802],
            }
            .to_frame()
            .unwrap(),
            json!([1, [0x4801, 0x4802]]),
        ),
        vector(
            "without the hub family there is nothing to say",
            &extensions::RequestExtensionsError {
                request_id: 2,
                unsupported_extensions: vec![0x4a00],
                required_extensions: vec![0x4801],
            }
            .to_frame()
            .unwrap(),
            json!([2, [0x4a00], [0x4801]]),
        ),
    ]
}

pub fn hub_frames() -> Vec<FrameVector> {
    let proof = sign(&pool(), &[0xaa; 32], &pool_name(), &[0; 32]);
    vec![
        vector(
            "a pool proves who it is (transcript aa..aa, as in authentication.json)",
            &proof.to_frame().unwrap(),
            json!([
                "pool",
                "main",
                hex::encode(proof.public_key),
                hex::encode(proof.signature)
            ]),
        ),
        vector(
            "the pool is let in",
            &hub::AuthenticateSuccess {
                payload_bytes_max: 65_536,
                channels_max: 256,
                ping_interval_ms: 15_000,
                idle_timeout_ms: 45_000,
            }
            .to_frame()
            .unwrap(),
            json!([65_536, 256, 15_000, 45_000]),
        ),
        vector(
            "two instances fight for one identity",
            &hub::AuthenticateError {
                error_code: "too-many-takeovers".to_owned(),
                retry_after_ms: 30_000,
            }
            .to_frame()
            .unwrap(),
            json!(["too-many-takeovers", 30_000]),
        ),
        vector(
            "the pool opens a channel to the mint",
            &hub::OpenChannel {
                request_id: 7,
                extension: 0x4802,
                peer: "mint/main".to_owned(),
                label: String::new(),
                credit_messages: 256,
                credit_bytes: 262_144,
            }
            .to_frame()
            .unwrap(),
            json!([7, 0x4802, "mint/main", "", 256, 262_144]),
        ),
        vector(
            "the channel is there, and so is the mint",
            &hub::OpenChannelSuccess {
                request_id: 7,
                channel_id: 1,
                peer_present: true,
                peer_instance: 42,
                credit_messages: 256,
                credit_bytes: 262_144,
            }
            .to_frame()
            .unwrap(),
            json!([7, 1, 1, 42, 256, 262_144]),
        ),
        vector(
            "the channel is there, the mint is away",
            &hub::OpenChannelSuccess {
                request_id: 8,
                channel_id: 2,
                peer_present: false,
                peer_instance: 0,
                credit_messages: u64::MAX,
                credit_bytes: u64::MAX,
            }
            .to_frame()
            .unwrap(),
            json!([8, 2, 0, 0, u64::MAX, u64::MAX]),
        ),
        vector(
            "the list has no such channel for this pool",
            &hub::OpenChannelError {
                request_id: 9,
                error_code: "not-allowed".to_owned(),
                detail: "pool/main may not open 0x4803 to signer/1".to_owned(),
            }
            .to_frame()
            .unwrap(),
            json!([
                9,
                "not-allowed",
                "pool/main may not open 0x4803 to signer/1"
            ]),
        ),
        vector(
            "the mint is offered the channel",
            &hub::ChannelOffer {
                channel_id: 5,
                extension: 0x4802,
                peer: "pool/main".to_owned(),
                label: "second rack".to_owned(),
                peer_present: true,
                peer_instance: 41,
                credit_messages: 256,
                credit_bytes: 262_144,
            }
            .to_frame()
            .unwrap(),
            json!([5, 0x4802, "pool/main", "second rack", 1, 41, 256, 262_144]),
        ),
        vector(
            "the mint takes it",
            &hub::ChannelOfferAccept {
                channel_id: 5,
                credit_messages: 1_000,
                credit_bytes: 1_000_000,
            }
            .to_frame()
            .unwrap(),
            json!([5, 1_000, 1_000_000]),
        ),
        vector(
            "the mint does not take it",
            &hub::ChannelOfferRefuse {
                channel_id: 5,
                reason_code: "unknown-pool".to_owned(),
            }
            .to_frame()
            .unwrap(),
            json!([5, "unknown-pool"]),
        ),
        vector(
            "credit is raised",
            &hub::Credit {
                channel_id: 5,
                messages: 1_500,
                bytes: 1_500_000,
            }
            .to_frame()
            .unwrap(),
            json!([5, 1_500, 1_500_000]),
        ),
        vector(
            "the third message of a channel did not decode",
            &hub::Reject {
                channel_id: 1,
                ordinal: 3,
                error_code: "malformed".to_owned(),
                detail: "MintQuoteRequest.unit at byte 13: not UTF-8".to_owned(),
            }
            .to_frame()
            .unwrap(),
            json!([
                1,
                3,
                "malformed",
                "MintQuoteRequest.unit at byte 13: not UTF-8"
            ]),
        ),
        vector(
            "the mint has gone",
            &hub::Presence {
                channel_id: 1,
                present: false,
                instance: 0,
            }
            .to_frame()
            .unwrap(),
            json!([1, 0, 0]),
        ),
        vector(
            "another instance of the mint is there",
            &hub::Presence {
                channel_id: 1,
                present: true,
                instance: 43,
            }
            .to_frame()
            .unwrap(),
            json!([1, 1, 43]),
        ),
        vector(
            "a channel ends",
            &hub::CloseChannel {
                channel_id: 1,
                reason_code: "closed-by-peer".to_owned(),
                detail: "going home \u{2603}".to_owned(),
            }
            .to_frame()
            .unwrap(),
            json!([1, "closed-by-peer", "going home \u{2603}"]),
        ),
        vector(
            "a member of a group, which is there",
            &hub::GroupMember {
                group_channel_id: 2,
                channel_id: 3,
                peer: "signer/1".to_owned(),
                group_messages: 0,
                group_bytes: 0,
                peer_present: true,
                peer_instance: 44,
                credit_messages: 256,
                credit_bytes: 262_144,
            }
            .to_frame()
            .unwrap(),
            json!([2, 3, "signer/1", 0, 0, 1, 44, 256, 262_144]),
        ),
        vector(
            "a member that joins the group after seven messages, and is away",
            &hub::GroupMember {
                group_channel_id: 2,
                channel_id: 9,
                peer: "signer/2".to_owned(),
                group_messages: 7,
                group_bytes: 1_903,
                peer_present: false,
                peer_instance: 0,
                credit_messages: 256,
                credit_bytes: 262_144,
            }
            .to_frame()
            .unwrap(),
            json!([2, 9, "signer/2", 7, 1_903, 0, 0, 256, 262_144]),
        ),
        vector(
            "a sign of life is asked for",
            &hub::Ping {
                nonce: 0x0102_0304_0506_0708,
            }
            .to_frame()
            .unwrap(),
            json!([0x0102_0304_0506_0708_u64]),
        ),
        vector(
            "and given",
            &hub::Pong {
                nonce: 0x0102_0304_0506_0708,
            }
            .to_frame()
            .unwrap(),
            json!([0x0102_0304_0506_0708_u64]),
        ),
        vector(
            "the hub shuts down",
            &hub::Close {
                reason_code: "shutdown".to_owned(),
                detail: String::new(),
                retry_after_ms: 2_000,
            }
            .to_frame()
            .unwrap(),
            json!(["shutdown", "", 2_000]),
        ),
    ]
}
