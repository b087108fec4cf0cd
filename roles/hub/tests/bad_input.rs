//! Messages that the hub does not take, one story each. Every story has a pair of peers beside it that must not notice.

use winze_messages::families::hub::{ChannelOfferAccept, HubMessage, Ping};
use winze_messages::{EXT_HUB, EXT_MINT_QUOTE, channel_frame};
use winze_transport::{CHANNEL_BIT, Frame};

use crate::common::peer::{open_channel, quote_request, setup_connection};
use crate::common::{BAD_MINT, BAD_POOL, Exchange, GOOD_MINT, Peer, TestHub, VENDOR};

/// pool/bad and mint/bad, joined by a channel. The ids are those of the pool and of the mint.
async fn joined(hub: &TestHub, extension: u16) -> (Peer, u32, Peer, u32) {
    let mut mint = Peer::connect(hub, BAD_MINT).await;
    let mut pool = Peer::connect(hub, BAD_POOL).await;
    let opened = pool.open(extension, BAD_MINT).await;
    let offer = mint.accept().await;
    pool.wait_for_peer().await;
    (pool, opened.channel_id, mint, offer.channel_id)
}

fn frame(extension_type: u16, msg_type: u8, payload: &[u8]) -> Frame {
    Frame {
        extension_type,
        msg_type,
        payload: payload.to_vec(),
    }
}

#[tokio::test]
async fn messages_before_authentication() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let too_early = [
        open_channel_frame(),
        frame(EXT_MINT_QUOTE | CHANNEL_BIT, 0x80, &[1, 0, 0, 0]),
        frame(VENDOR | CHANNEL_BIT, 1, &[1, 0, 0, 0]),
    ];
    for early in too_early {
        let mut first = Peer::dial(&hub).await;
        first.send(early.clone()).await;
        first.closed_with("not-authenticated").await;

        let mut later = Peer::dial(&hub).await;
        later.set_up().await;
        later.send(early).await;
        later.closed_with("not-authenticated").await;
    }
    exchange.was_undisturbed().await;
}

fn open_channel_frame() -> Frame {
    HubMessage::from(open_channel(EXT_MINT_QUOTE, BAD_MINT))
        .to_frame()
        .unwrap()
}

#[tokio::test]
async fn a_channel_that_the_list_does_not_allow() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let mut pool = Peer::connect(&hub, BAD_POOL).await;
    for (extension, peer) in [(EXT_MINT_QUOTE, GOOD_MINT), (0x4b00, BAD_MINT)] {
        pool.say(open_channel(extension, peer)).await;
        let answer = pool
            .wait_for(|message| matches!(message, HubMessage::OpenChannelError(_)))
            .await;
        let HubMessage::OpenChannelError(error) = answer else {
            unreachable!("waited for");
        };
        assert_eq!(error.error_code, "not-allowed");
    }
    pool.still_answers().await;
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn an_unknown_message_of_a_known_extension() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let (mut pool, id, _mint, _) = joined(&hub, EXT_MINT_QUOTE).await;
    pool.send(channel_frame(EXT_MINT_QUOTE, 0x99, id, b"what is this"))
        .await;
    let reject = pool.reject().await;
    assert_eq!(
        (
            reject.error_code.as_str(),
            reject.channel_id,
            reject.ordinal
        ),
        ("unknown-message", id, 1)
    );
    pool.still_answers().await;

    pool.send(frame(EXT_HUB, 0x99, b"")).await;
    pool.closed_with("unknown-message").await;
    let mut pool = Peer::connect(&hub, BAD_POOL).await;
    pool.send(frame(EXT_MINT_QUOTE, 0x80, b"")).await;
    pool.closed_with("unknown-message").await;
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn an_unknown_extension_without_the_channel_bit_is_ignored_at_any_time() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let unknown = frame(0x7123, 0x01, b"for somebody else");
    let mut pool = Peer::dial(&hub).await;
    pool.send(unknown.clone()).await;
    pool.authenticate(BAD_POOL).await;
    pool.send(unknown).await;
    pool.still_answers().await;
    assert_eq!(hub.metric("winze_hub_messages_ignored_total").await, 2);
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn a_length_beyond_the_limit() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let mut stranger = Peer::dial(&hub).await;
    stranger.send(frame(0x7123, 1, &[0; 4_097])).await;
    stranger.closed_with("payload-too-long").await;

    let (mut pool, id, mut mint, mint_id) = joined(&hub, VENDOR).await;
    let largest = channel_frame(VENDOR, 1, id, &[0; 65_532]);
    pool.send(largest).await;
    let arrived = mint.expect().await;
    assert_eq!(arrived.channel_id(), Some(mint_id));
    assert_eq!(arrived.payload.len(), 65_536);

    // The header alone: the hub does not wait for what it will not take.
    let header_bytes = winze_transport::HEADER_BLOCK_BYTES;
    let too_long = pool.encrypt(&channel_frame(VENDOR, 1, id, &[0; 65_533]));
    pool.send_raw(&too_long[..header_bytes]).await.unwrap();
    pool.closed_with("payload-too-long").await;
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn a_body_that_does_not_decode_or_has_bytes_left_over() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let (mut pool, id, mut mint, mint_id) = joined(&hub, EXT_MINT_QUOTE).await;
    let good = quote_request(id);
    let mut left_over = good.clone();
    left_over.payload.push(0);
    let mut cut_off = good.clone();
    cut_off.payload.truncate(20);
    let mut not_utf8 = good.clone();
    not_utf8.payload[13] = 0xc0;
    let faults = [
        (left_over, "left over"),
        (cut_off, "header_hash"),
        (not_utf8, "MintQuoteRequest.unit at byte 13"),
    ];
    for (ordinal, (fault, says)) in (1..).zip(faults) {
        pool.send(fault).await;
        let reject = pool.reject().await;
        assert_eq!(
            (reject.error_code.as_str(), reject.ordinal),
            ("malformed", ordinal)
        );
        assert!(reject.detail.contains(says), "{reject:?}");
    }
    pool.send(good).await;
    let first = mint.expect().await;
    let mut expected = quote_request(mint_id);
    expected.set_channel_id(mint_id);
    assert_eq!(first, expected, "nothing malformed came before it");

    let mut ping = HubMessage::from(Ping { nonce: 1 }).to_frame().unwrap();
    ping.payload.push(0);
    pool.send(ping).await;
    pool.closed_with("malformed").await;

    let mut cut_setup = setup_connection();
    cut_setup.payload.pop();
    let mut stranger = Peer::dial(&hub).await;
    stranger.send(cut_setup).await;
    let close = stranger.closed_with("malformed").await;
    assert!(
        close.detail.contains("SetupConnection.device_id"),
        "{close:?}"
    );
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn bytes_that_are_no_frame_of_this_connection() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let mut pool = Peer::connect(&hub, BAD_POOL).await;
    let mut altered = pool.encrypt(&HubMessage::from(Ping { nonce: 1 }).to_frame().unwrap());
    altered[3] ^= 1;
    pool.send_raw(&altered).await.unwrap();
    pool.closed_with("malformed").await;
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn credit_exceeded() {
    let hub = TestHub::start_with(|limits| limits.window_messages = 4).await;
    // The mint accepts without credit: whatever comes stays in the hub.
    let mut mint = Peer::connect(&hub, BAD_MINT).await;
    let mut pool = Peer::connect(&hub, BAD_POOL).await;
    let id = pool.open(EXT_MINT_QUOTE, BAD_MINT).await.channel_id;
    let offer = mint
        .wait_for(|message| matches!(message, HubMessage::ChannelOffer(_)))
        .await;
    let HubMessage::ChannelOffer(offer) = offer else {
        unreachable!("waited for");
    };
    mint.say(ChannelOfferAccept {
        channel_id: offer.channel_id,
        credit_messages: 0,
        credit_bytes: 0,
    })
    .await;
    pool.wait_for_peer().await;

    for _ in 0..4 {
        pool.send(quote_request(id)).await;
    }
    pool.still_answers().await;
    assert_eq!(hub.metric("winze_hub_queued_messages").await, 4);
    let exchange = Exchange::start(&hub).await;
    pool.send(quote_request(id)).await;
    pool.closed_with("credit-exceeded").await;
    assert_eq!(hub.metric("winze_hub_messages_purged_total").await, 4);
    mint.wait_for(|message| matches!(message, HubMessage::Presence(presence) if !presence.present))
        .await;
    mint.still_answers().await;
    exchange.was_undisturbed().await;
}
