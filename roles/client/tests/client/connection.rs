use std::time::Duration;

use winze_client::session::ChannelEnd;
use winze_client::{ChannelEvent, HubClient, HubClientConfig, HubState, SendError};
use winze_messages::channel_frame;
use winze_messages::families::hub::{
    ChannelOffer, Close, CloseChannel, Credit, HubMessage, Ping, Presence, Reject,
};
use winze_transport::SecretKey;

use crate::party::{mint, name, pool};
use crate::scripted_hub::{ScriptedHub, until, within};

/// A family that neither the hub nor the client knows.
const VENDOR: u16 = 0x4A00;

/// For a client that speaks [`VENDOR`].
fn vendor_config(hub: &ScriptedHub) -> HubClientConfig {
    let mut config = hub.client_config();
    config.extensions = vec![VENDOR];
    config
}

async fn wait_for(client: &HubClient, good: impl FnMut(&winze_client::HubStatus) -> bool) {
    within("a status", client.status().wait_for(good))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_hub_of_another_authority_gets_nothing_and_the_operator_hears_why() {
    let hub = ScriptedHub::bind().await;
    let mut config = hub.client_config();
    config.authority = SecretKey::from_bytes(&[9; 32]).unwrap().public_key();
    let client = HubClient::start(config, pool());
    let mut side = hub.handshake().await;
    // Not even its name.
    assert_eq!(side.frame_or_end().await, None);
    wait_for(&client, |status| {
        status
            .last_error
            .as_ref()
            .is_some_and(|error| error.contains("authority"))
    })
    .await;
    assert_eq!(client.counts().connects, 0);
}

#[tokio::test]
async fn a_hub_that_dies_is_found_again_and_one_that_is_gone_is_dialled_with_pauses() {
    let hub = ScriptedHub::bind().await;
    let client = HubClient::start(hub.client_config(), pool());
    let first = hub.accept().await;
    wait_for(&client, |status| status.is_connected()).await;
    drop(first);
    let _second = hub.accept().await;
    until("two connects", || client.counts().connects, |n| *n == 2).await;

    let gone = {
        let hub = ScriptedHub::bind().await;
        hub.client_config()
    };
    let lonely = HubClient::start(gone, pool());
    until("attempts", || lonely.counts().connects_failed, |n| *n >= 3).await;
    wait_for(&lonely, |status| {
        matches!(status.state, HubState::Waiting { .. })
    })
    .await;
    within("the end", lonely.shutdown()).await;
    assert_eq!(lonely.status().borrow().state, HubState::Stopped);
}

#[tokio::test]
async fn an_instance_that_was_replaced_stays_away_for_long() {
    let hub = ScriptedHub::bind().await;
    let client = HubClient::start(hub.client_config(), pool());
    let mut side = hub.accept().await;
    side.say(Close {
        reason_code: "replaced".to_owned(),
        detail: String::new(),
        retry_after_ms: 0,
    })
    .await;
    wait_for(&client, |status| match status.state {
        HubState::Waiting { retry_in_ms } => retry_in_ms >= 30_000,
        _ => false,
    })
    .await;
}

#[tokio::test]
async fn a_hub_that_says_when_it_is_back_is_believed_within_bounds() {
    let hub = ScriptedHub::bind().await;
    for (asked_ms, least_ms) in [(40_000, 40_000), (u32::MAX, 600_000)] {
        let client = HubClient::start(hub.client_config(), pool());
        let mut side = hub.accept().await;
        side.say(Close {
            reason_code: "shutdown".to_owned(),
            detail: String::new(),
            retry_after_ms: asked_ms,
        })
        .await;
        wait_for(&client, |status| match status.state {
            HubState::Waiting { retry_in_ms } => {
                (least_ms..=least_ms * 5 / 4).contains(&retry_in_ms)
            }
            _ => false,
        })
        .await;
    }
}

#[tokio::test]
async fn a_silent_hub_is_asked_and_then_left_for_a_new_connection() {
    let hub = ScriptedHub::bind().await;
    let _client = HubClient::start(hub.client_config(), pool());
    let mut side = hub.handshake().await;
    side.let_in(50, 200).await;
    let ping = side.frame().await;
    assert!(matches!(HubMessage::decode(&ping), Ok(HubMessage::Ping(_))));
    assert_eq!(side.frame_or_end().await, None);
    hub.accept().await;
}

#[tokio::test]
async fn a_hub_that_reads_nothing_is_left() {
    let hub = ScriptedHub::bind().await;
    let mut config = vendor_config(&hub);
    config.write_timeout_ms = 200;
    config.unsent_messages_max = 100_000;
    let client = HubClient::start(config, pool());
    let mut channel = client.open_channel(VENDOR, &name("pool/far"), "").unwrap();
    let mut side = hub.accept().await;
    side.open_channel_with(Some(4), u64::MAX, u64::MAX).await;
    within("the peer", channel.next_event()).await;
    // More than any socket holds.
    for _ in 0..2_000 {
        channel.try_send(1, &[0; 32_000]).unwrap();
    }
    wait_for(&client, |status| {
        status
            .last_error
            .as_ref()
            .is_some_and(|error| error.contains("took nothing for 200 ms"))
    })
    .await;
    assert_eq!(channel.next_event().await, Some(ChannelEvent::Lost));
}

#[tokio::test]
async fn a_vendors_family_travels_on_a_channel_that_survives_reconnects() {
    let hub = ScriptedHub::bind().await;
    let client = HubClient::start(vendor_config(&hub), pool());
    let far = name("signer/2");
    let mut channel = client.open_channel(VENDOR, &far, "round 1").unwrap();
    assert!(client.open_channel(VENDOR, &far, "round 1").is_err());
    assert!(client.open_channel(0x4A01, &far, "").is_err());

    let mut side = hub.accept().await;
    let instance = side.open_channel().await;
    assert_eq!(
        within("presence", channel.next_event()).await,
        Some(ChannelEvent::Present { instance })
    );
    assert_eq!(channel.try_send(0x42, b"hello"), Ok(1));
    assert_eq!(side.channel_message().await, (0x42, b"hello".to_vec()));
    side.send(channel_frame(VENDOR, 0x43, 1, b"good day")).await;
    side.say(Reject {
        channel_id: 1,
        ordinal: 1,
        error_code: "malformed".to_owned(),
        detail: "just so".to_owned(),
    })
    .await;
    assert_eq!(
        within("a message", channel.next_event()).await,
        Some(ChannelEvent::Message {
            msg_type: 0x43,
            bytes: b"good day".to_vec()
        })
    );
    assert!(matches!(
        within("a reject", channel.next_event()).await,
        Some(ChannelEvent::Reject { ordinal: 1, .. })
    ));

    drop(side);
    assert_eq!(
        within("the loss", channel.next_event()).await,
        Some(ChannelEvent::Lost)
    );
    assert_eq!(channel.try_send(0x42, b"x"), Err(SendError::NotOpen));
    let mut side = hub.accept().await;
    side.open_channel().await;
    assert!(matches!(
        within("presence", channel.next_event()).await,
        Some(ChannelEvent::Present { .. })
    ));
    assert_eq!(channel.try_send(0x42, b"again"), Ok(1));
    assert_eq!(side.channel_message().await, (0x42, b"again".to_vec()));

    drop(channel);
    assert!(matches!(
        side.hub_message().await,
        HubMessage::CloseChannel(_)
    ));
}

#[tokio::test]
async fn a_slow_taker_holds_back_its_sender_and_gives_credit_as_it_takes() {
    let hub = ScriptedHub::bind().await;
    let mut config = vendor_config(&hub);
    config.window_messages = 8;
    let client = HubClient::start(config, mint());
    let mut listener = client.accept(VENDOR, 4, |_| true).unwrap();
    let mut side = hub.accept().await;
    side.say(ChannelOffer {
        channel_id: 1,
        extension: VENDOR,
        peer: "pool/main".to_owned(),
        label: String::new(),
        peer_present: true,
        peer_instance: 3,
        credit_messages: 10,
        credit_bytes: 1_000,
    })
    .await;
    let HubMessage::ChannelOfferAccept(accept) = side.hub_message().await else {
        panic!("the offer is to be accepted");
    };
    assert_eq!(accept.credit_messages, 8);
    let mut channel = within("the channel", listener.accept()).await.unwrap();
    assert_eq!(channel.end(), ChannelEnd::Acceptor);
    for number in 0..8 {
        side.send(channel_frame(VENDOR, number, 1, &[])).await;
    }
    side.say(Ping { nonce: 1 }).await;
    // Nothing but the pong: no credit before anything was taken.
    let pong = side.frame().await;
    assert!(matches!(HubMessage::decode(&pong), Ok(HubMessage::Pong(_))));

    let mut events = Vec::new();
    while events.len() < 9 {
        channel.take_events(&mut events, 100);
        within("events", channel.changed()).await.unwrap();
    }
    let credit = loop {
        let frame = side.frame().await;
        if let Ok(HubMessage::Credit(credit)) = HubMessage::decode(&frame)
            && credit.messages == 16
        {
            break credit;
        }
    };
    assert_eq!(credit.channel_id, 1);
    // A hub that sends more than it was granted is left.
    for number in 0..9 {
        side.send(channel_frame(VENDOR, number, 1, &[])).await;
    }
    assert_eq!(side.frame_or_end().await, None);
}

#[tokio::test]
async fn a_shutdown_writes_what_was_sent_and_ends_every_wait() {
    let hub = ScriptedHub::bind().await;
    let client = HubClient::start(vendor_config(&hub), pool());
    let mut channel = client.open_channel(VENDOR, &name("signer/2"), "").unwrap();
    let mut listener = client.accept(VENDOR, 4, |_| true).unwrap();
    let mut side = hub.accept().await;
    side.open_channel().await;
    within("presence", channel.next_event()).await.unwrap();
    for _ in 0..100 {
        channel.try_send(7, &[1; 1_000]).unwrap();
    }
    let waiting = tokio::spawn(async move {
        while channel.next_event().await.is_some() {}
        listener.accept().await.is_none()
    });
    within("the end", client.shutdown()).await;
    assert!(within("the owners", waiting).await.unwrap());
    for _ in 0..100 {
        assert_eq!(side.channel_message().await.0, 7);
    }
    assert_eq!(side.frame_or_end().await, None);
}

#[tokio::test]
async fn the_connection_ends_when_nobody_holds_a_part_of_the_client() {
    let hub = ScriptedHub::bind().await;
    let client = HubClient::start(vendor_config(&hub), pool());
    let channel = client.open_channel(VENDOR, &name("signer/2"), "").unwrap();
    let mut side = hub.accept().await;
    side.open_channel().await;
    drop(client);
    side.say(Ping { nonce: 1 }).await;
    assert!(side.frame_or_end().await.is_some());
    drop(channel);
    let mut last = None;
    while let Some(frame) = side.frame_or_end().await {
        last = Some(frame);
    }
    assert!(matches!(
        HubMessage::decode(&last.unwrap()),
        Ok(HubMessage::CloseChannel(_))
    ));
}

#[tokio::test]
async fn no_credit_wakes_its_owner_when_there_is_some() {
    let hub = ScriptedHub::bind().await;
    let client = HubClient::start(vendor_config(&hub), pool());
    let mut channel = client.open_channel(VENDOR, &name("signer/2"), "").unwrap();
    let mut side = hub.accept().await;
    side.open_channel_with(None, 1, 100).await;
    assert_eq!(
        within("absence", channel.next_event()).await,
        Some(ChannelEvent::Away)
    );
    assert_eq!(channel.try_send(1, b"x"), Err(SendError::Away));
    side.say(Presence {
        channel_id: 1,
        present: true,
        instance: 8,
    })
    .await;
    assert_eq!(
        within("presence", channel.next_event()).await,
        Some(ChannelEvent::Present { instance: 8 })
    );
    assert_eq!(channel.try_send(1, b"x"), Ok(1));
    assert_eq!(channel.try_send(1, b"x"), Err(SendError::NoCredit));
    side.say(Credit {
        channel_id: 1,
        messages: 2,
        bytes: 200,
    })
    .await;
    loop {
        within("credit", channel.changed()).await.unwrap();
        match channel.try_send(1, b"x") {
            Ok(ordinal) => break assert_eq!(ordinal, 2),
            Err(error) => assert_eq!(error, SendError::NoCredit),
        }
    }
    for _ in 0..2 {
        assert_eq!(side.channel_message().await, (1, b"x".to_vec()));
    }
    side.say(CloseChannel {
        channel_id: 1,
        reason_code: "refused".to_owned(),
        detail: "not-listed".to_owned(),
    })
    .await;
    assert!(matches!(
        within("the close", channel.next_event()).await,
        Some(ChannelEvent::Closed { .. })
    ));
    // It is asked for again after a while.
    let asked = tokio::time::timeout(Duration::from_secs(20), side.hub_message()).await;
    assert!(matches!(asked, Ok(HubMessage::OpenChannel(_))));
}
