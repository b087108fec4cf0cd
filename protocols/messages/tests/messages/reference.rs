//! The Sv2 reference crates write and read the standard messages as we do.

use binary_sv2::{B0255, Seq064K, Sv2Option, from_bytes, to_bytes};
use common_messages_sv2 as theirs;
use winze_messages::families::common as ours;
use winze_messages::families::extensions as our_extensions;
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_reference::{QuoteRequestBody, text};

/// Their bytes are `our_payload`, and our bytes decode to their message.
macro_rules! same_bytes {
    ($our_payload:expr, $theirs:expr, $their_type:ty) => {{
        let mut our_payload: Vec<u8> = $our_payload;
        let theirs: $their_type = $theirs;
        assert_eq!(to_bytes(theirs.clone()).unwrap(), our_payload);
        let decoded: $their_type = from_bytes(&mut our_payload).unwrap();
        assert_eq!(decoded, theirs);
    }};
}

#[test]
fn connection_messages_are_those_of_the_reference() {
    let device_id = "x".repeat(255);
    same_bytes!(
        ours::SetupConnection {
            protocol: 0,
            min_version: 2,
            max_version: 2,
            flags: 0x8000_0001,
            endpoint_host: "hub.example".to_owned(),
            endpoint_port: 34_400,
            vendor: "winze".to_owned(),
            hardware_version: String::new(),
            firmware: "0.1.0 \u{2603}".to_owned(),
            device_id: device_id.clone(),
        }
        .to_frame()
        .unwrap()
        .payload,
        theirs::SetupConnection {
            protocol: theirs::Protocol::MiningProtocol,
            min_version: 2,
            max_version: 2,
            flags: 0x8000_0001,
            endpoint_host: text("hub.example"),
            endpoint_port: 34_400,
            vendor: text("winze"),
            hardware_version: text(""),
            firmware: text("0.1.0 \u{2603}"),
            device_id: text(&device_id),
        },
        theirs::SetupConnection
    );
    same_bytes!(
        ours::SetupConnectionSuccess {
            used_version: 2,
            flags: 5,
        }
        .to_frame()
        .unwrap()
        .payload,
        theirs::SetupConnectionSuccess {
            used_version: 2,
            flags: 5,
        },
        theirs::SetupConnectionSuccess
    );
    same_bytes!(
        ours::SetupConnectionError {
            flags: 3,
            error_code: "unsupported-feature-flags".to_owned(),
        }
        .to_frame()
        .unwrap()
        .payload,
        theirs::SetupConnectionError {
            flags: 3,
            error_code: text("unsupported-feature-flags"),
        },
        theirs::SetupConnectionError
    );
    same_bytes!(
        ours::Reconnect {
            new_host: "hub2.example".to_owned(),
            new_port: 1,
        }
        .to_frame()
        .unwrap()
        .payload,
        theirs::Reconnect {
            new_host: text("hub2.example"),
            new_port: 1,
        },
        theirs::Reconnect
    );
    same_bytes!(
        ours::ChannelEndpointChanged {}
            .to_frame(0x0102_0304)
            .unwrap()
            .payload,
        theirs::ChannelEndpointChanged {
            channel_id: 0x0102_0304,
        },
        theirs::ChannelEndpointChanged
    );
}

#[test]
fn the_negotiation_of_extensions_is_that_of_the_reference() {
    use extensions_sv2 as theirs;
    let ids = |ids: &[u16]| Seq064K::new(ids.to_vec()).unwrap();

    same_bytes!(
        our_extensions::RequestExtensions {
            request_id: 9,
            requested_extensions: vec![0x4801, 0x4802],
        }
        .to_frame()
        .unwrap()
        .payload,
        theirs::RequestExtensions {
            request_id: 9,
            requested_extensions: ids(&[0x4801, 0x4802]),
        },
        theirs::RequestExtensions
    );
    same_bytes!(
        our_extensions::RequestExtensionsSuccess {
            request_id: 9,
            supported_extensions: vec![],
        }
        .to_frame()
        .unwrap()
        .payload,
        theirs::RequestExtensionsSuccess {
            request_id: 9,
            supported_extensions: ids(&[]),
        },
        theirs::RequestExtensionsSuccess
    );
    same_bytes!(
        our_extensions::RequestExtensionsError {
            request_id: 9,
            unsupported_extensions: vec![0x4a00],
            required_extensions: vec![0x4801, 2, 3],
        }
        .to_frame()
        .unwrap()
        .payload,
        theirs::RequestExtensionsError {
            request_id: 9,
            unsupported_extensions: ids(&[0x4a00]),
            required_extensions: ids(&[0x4801, 2, 3]),
        },
        theirs::RequestExtensionsError
    );
}

#[test]
fn a_quote_request_made_with_the_reference_crates_is_ours() {
    for description in [None, Some("a share")] {
        let request = MintQuoteRequest {
            amount: 1 << 40,
            unit: "hash".to_owned(),
            header_hash: [7; 32],
            description: description.map(str::to_owned),
            locking_key: [2; 33],
            keyset_id: vec![1; 33],
        };
        let mut body = Vec::new();
        request.encode_body(&mut body).unwrap();
        same_bytes!(
            body,
            QuoteRequestBody {
                amount: 1 << 40,
                unit: text("hash"),
                header_hash: (&[7; 32]).into(),
                description: Sv2Option::new(description.map(text)),
                locking_key: B0255::new(&[2; 33]).unwrap(),
                keyset_id: B0255::new(&[1; 33]).unwrap(),
            },
            QuoteRequestBody
        );
    }
}
