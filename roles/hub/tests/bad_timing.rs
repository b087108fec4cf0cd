//! Clients that are slow, silent, deaf or many.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use winze_messages::families::hub::{HubMessage, Ping};
use winze_messages::{EXT_MINT_QUOTE, channel_frame};
use winze_transport::Frame;

use crate::common::peer::{open_channel, setup_connection};
use crate::common::{BAD_MINT, BAD_POOL, Exchange, Peer, TestHub, VENDOR, soon};

/// The wait after each byte of a slow client: short beside the hub's deadlines, which are short beside all its waits
/// together. The deadlines leave a busy machine time to serve the good pair.
const TRICKLE: Duration = Duration::from_millis(40);

/// Sends byte after byte, with a wait after each, until the hub closes the connection. What it said last.
async fn trickle(client: &mut Peer, bytes: &[u8]) -> Option<Frame> {
    let mut last = None;
    for byte in bytes {
        if client.send_raw(&[*byte]).await.is_err() {
            break;
        }
        // Whatever the hub says meanwhile is not for a client like this.
        match timeout(TRICKLE, client.next()).await {
            Ok(Some(frame)) => last = Some(frame),
            Ok(None) => return last,
            Err(_) => {}
        }
    }
    while let Some(frame) = soon("the end", client.next()).await {
        last = Some(frame);
    }
    last
}

fn close_reason(last: Option<Frame>) -> String {
    match HubMessage::decode(&last.expect("the hub says why")).unwrap() {
        HubMessage::Close(close) => close.reason_code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_handshake_of_one_byte_after_the_other_is_cut_off() {
    let hub = TestHub::start_with(|limits| limits.handshake_timeout_ms = 1_000).await;
    let exchange = Exchange::start(&hub).await;
    let mut slow = TcpStream::connect(hub.addr).await.unwrap();
    let mut scratch = [0; 1];
    let closed = async {
        // 64 bytes would make act 1; its waits take more than twice the deadline.
        for _ in 0..63 {
            if slow.write_all(&[2]).await.is_err() {
                return true;
            }
            if let Ok(read) = timeout(TRICKLE, slow.read(&mut scratch)).await {
                return matches!(read, Ok(0) | Err(_));
            }
        }
        false
    };
    assert!(soon("the end", closed).await);
    assert_eq!(hub.metric("winze_hub_handshake_failures_total").await, 1);
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn steps_of_one_byte_after_the_other_are_cut_off() {
    let hub = TestHub::start_with(|limits| limits.setup_timeout_ms = 1_000).await;
    let exchange = Exchange::start(&hub).await;
    let mut slow = Peer::dial(&hub).await;
    let bytes = slow.encrypt(&setup_connection());
    assert_eq!(
        close_reason(trickle(&mut slow, &bytes).await),
        "setup-timeout"
    );
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn an_authenticated_client_of_one_byte_after_the_other_is_idle() {
    let hub = TestHub::start_with(|limits| {
        limits.ping_interval_ms = 500;
        limits.idle_timeout_ms = 1_500;
    })
    .await;
    let exchange = Exchange::start(&hub).await;
    let mut slow = Peer::connect(&hub, BAD_POOL).await;
    let bytes = slow.encrypt(&channel_frame(VENDOR, 1, 1, &[0; 100]));
    assert_eq!(
        close_reason(trickle(&mut slow, &bytes).await),
        "idle-timeout"
    );
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn a_client_that_answers_pings_stays_and_one_that_does_not_goes() {
    let hub = TestHub::start_with(|limits| {
        limits.ping_interval_ms = 300;
        limits.idle_timeout_ms = 1_500;
    })
    .await;
    let exchange = Exchange::start(&hub).await;
    let mut quiet = Peer::connect(&hub, BAD_MINT).await;
    let mut dead = Peer::connect(&hub, BAD_POOL).await;
    let answered = async {
        // A Ping for each silence; together they take longer than the idle time-out.
        for _ in 0..6 {
            quiet
                .wait_for(|message| matches!(message, HubMessage::Ping(_)))
                .await;
            quiet.say(Ping { nonce: 1 }).await;
        }
    };
    soon("pings", answered).await;
    dead.closed_with("idle-timeout").await;
    quiet.still_answers().await;
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn one_that_never_reads_holds_back_its_sender_and_is_closed() {
    let hub = TestHub::start_with(|limits| limits.write_timeout_ms = 1_000).await;
    let exchange = Exchange::start(&hub).await;
    let mut deaf = Peer::dial_with_small_buffer(&hub).await;
    deaf.authenticate(BAD_MINT).await;
    let mut pool = Peer::connect(&hub, BAD_POOL).await;
    let opened = pool.open(VENDOR, BAD_MINT).await;
    deaf.accept().await;
    pool.wait_for_peer().await;

    // The pool keeps to its credit. It gets no more of it once the mint's socket is full.
    let message = channel_frame(VENDOR, 1, opened.channel_id, &[0; 60_000]);
    let (mut sent, mut credit) = (0, opened.credit_bytes);
    let gone = async {
        loop {
            while sent + 60_004 <= credit {
                pool.send(message.clone()).await;
                sent += 60_004;
            }
            let changed = pool
                .wait_for(|message| {
                    matches!(message, HubMessage::Credit(_) | HubMessage::Presence(_))
                })
                .await;
            match changed {
                HubMessage::Credit(raised) => credit = raised.bytes,
                HubMessage::Presence(presence) => return presence,
                _ => unreachable!("waited for"),
            }
        }
    };
    let presence = soon("the deaf mint is closed", gone).await;
    assert!(!presence.present);
    let series = "winze_hub_closes_total{reason=\"unread\"}";
    assert_eq!(hub.metric(series).await, 1);
    pool.still_answers().await;
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn one_that_asks_and_never_reads_is_closed_at_the_bound_of_its_answers() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let mut deaf = Peer::dial_with_small_buffer(&hub).await;
    deaf.authenticate(BAD_POOL).await;
    // Refused, and with the longest answer that there is.
    let peer = format!("{}/{}", "x".repeat(32), "y".repeat(32));
    let request = HubMessage::from(open_channel(0x4b00, &peer))
        .to_frame()
        .unwrap();
    // Enough for every buffer between the two: the hub stops reading before that.
    for _ in 0..400 {
        let requests: Vec<u8> = (0..500).flat_map(|_| deaf.encrypt(&request)).collect();
        let written = timeout(Duration::from_millis(500), deaf.send_raw(&requests)).await;
        if !matches!(written, Ok(Ok(()))) {
            break;
        }
    }
    let series = "winze_hub_closes_total{reason=\"control-overflow\"}";
    hub.metric_reaches(series, 1).await;
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn a_hub_that_is_full_says_so_and_serves_on() {
    let hub = TestHub::start_with(|limits| limits.connections_max = 3).await;
    let exchange = Exchange::start(&hub).await;
    let third = Peer::connect(&hub, BAD_MINT).await;
    let mut fourth = Peer::dial(&hub).await;
    let close = fourth.closed_with("too-many-connections").await;
    assert!(close.retry_after_ms > 0);
    drop(third);
    let series = "winze_hub_closes_total{reason=\"left\"}";
    hub.metric_reaches(series, 1).await;
    Peer::connect(&hub, BAD_POOL).await;
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn an_address_with_too_many_connections_is_not_heard() {
    let hub = TestHub::start_with(|limits| limits.connections_per_address_max = 3).await;
    let exchange = Exchange::start(&hub).await;
    // Under way counts: this one has not sent a byte.
    let under_way = TcpStream::connect(hub.addr).await.unwrap();
    let mut unheard = TcpStream::connect(hub.addr).await.unwrap();
    let mut scratch = [0; 1];
    let read = soon("the end", unheard.read(&mut scratch)).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert_eq!(hub.metric("winze_hub_connections_unheard_total").await, 1);
    drop(under_way);
    hub.metric_reaches("winze_hub_handshake_failures_total", 1)
        .await;
    Peer::connect(&hub, BAD_POOL).await;
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn a_pool_that_is_cut_off_in_the_middle_of_a_frame_is_gone_for_its_mint() {
    let hub = TestHub::start().await;
    let mut mint = Peer::connect(&hub, BAD_MINT).await;
    let mut pool = Peer::connect(&hub, BAD_POOL).await;
    let id = pool.open(EXT_MINT_QUOTE, BAD_MINT).await.channel_id;
    mint.accept().await;
    pool.wait_for_peer().await;
    let bytes = pool.encrypt(&crate::common::peer::quote_request(id));
    pool.send_raw(&bytes[..40]).await.unwrap();
    drop(pool);
    let first = mint.expect().await;
    assert!(
        matches!(HubMessage::decode(&first), Ok(HubMessage::Presence(presence)) if !presence.present)
    );
}
