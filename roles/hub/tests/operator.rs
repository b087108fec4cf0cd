//! What the operator sees and does.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;
use winze_hub::{Hub, HubConfig};
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::common::CommonMessage;
use winze_messages::families::hub::HubMessage;
use winze_runtime::config;

use crate::common::hub::static_key;
use crate::common::peer::quote_request;
use crate::common::{BAD_MINT, BAD_POOL, Exchange, Peer, TestHub, http_get};

#[tokio::test]
async fn health_and_metrics_say_what_goes_on() {
    let hub = TestHub::start().await;
    let (status, health) = http_get(hub.http_addr, "/health").await;
    assert_eq!(status, 200, "{health}");

    let mut pool = Peer::connect(&hub, BAD_POOL).await;
    let id = pool.open(EXT_MINT_QUOTE, BAD_MINT).await.channel_id;
    pool.send(quote_request(id)).await;
    assert_eq!(pool.reject().await.error_code, "peer-away");
    let _stranger = Peer::dial(&hub).await;
    hub.metric_reaches("winze_hub_connections{state=\"other\"}", 1)
        .await;

    let expected = [
        ("winze_hub_connections{state=\"authenticated\"}", 1),
        ("winze_hub_channels", 1),
        ("winze_hub_rejects_total{reason=\"peer-away\"}", 1),
        ("winze_hub_queued_bytes", 0),
        (
            "winze_hub_messages_total{extension=\"0x4802\",message=\"0x80\",direction=\"in\"}",
            1,
        ),
        (
            "winze_hub_messages_total{extension=\"0x4801\",message=\"0x0a\",direction=\"out\"}",
            1,
        ),
    ];
    for (series, value) in expected {
        assert_eq!(hub.metric(series).await, value, "{series}");
    }
    let (_, health) = http_get(hub.http_addr, "/health").await;
    assert!(health.contains("\"pool/bad\""), "{health}");
}

#[tokio::test]
async fn a_hub_that_is_told_to_stop_says_goodbye_and_stops() {
    let mut hub = TestHub::start().await;
    let mut mint = Peer::connect(&hub, BAD_MINT).await;
    let mut stranger = Peer::dial(&hub).await;
    hub.stop();
    let first = CommonMessage::decode(&mint.expect().await).unwrap();
    assert!(
        matches!(first, CommonMessage::Reconnect(to) if to.new_host.is_empty() && to.new_port == 0)
    );
    let close = mint.closed_with("shutdown").await;
    assert!(close.retry_after_ms > 0);
    stranger.closed_with("shutdown").await;
    hub.stopped().await;
}

#[tokio::test]
async fn a_client_that_closes_is_told_from_one_whose_connection_breaks() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // This test has its thread to itself, and its runtime has no other.
    let _guard = tracing::subscriber::set_default(subscriber);
    let hub = TestHub::start().await;
    let closes = |reason: &str| format!("winze_hub_closes_total{{reason=\"{reason}\"}}");

    drop(Peer::connect(&hub, BAD_MINT).await);
    hub.metric_reaches(&closes("left"), 1).await;
    let mut cut_off = Peer::connect(&hub, BAD_POOL).await;
    let bytes = cut_off.encrypt(&quote_request(1));
    cut_off.send_raw(&bytes[..40]).await.unwrap();
    drop(cut_off);
    hub.metric_reaches(&closes("gone"), 1).await;
    Peer::connect(&hub, BAD_POOL).await.reset();
    hub.metric_reaches(&closes("gone"), 2).await;
    assert_eq!(hub.metric(&closes("left")).await, 1);
    hub.stopped().await;

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let ended = |peer: &str, cause: &str| {
        let (peer, cause) = (format!("peer={peer}"), format!("cause=\"{cause}\""));
        log.lines()
            .filter(|line| line.contains("connection ended"))
            .filter(|line| line.contains(&peer) && line.contains(&cause))
            .count()
    };
    assert_eq!(
        (ended(BAD_MINT, "left"), ended(BAD_POOL, "gone")),
        (1, 2),
        "{log}"
    );
}

#[tokio::test]
async fn one_that_connects_and_says_nothing_holds_up_no_shutdown() {
    let mut hub = TestHub::start_with(|limits| {
        limits.handshake_timeout_ms = 600_000;
        limits.shutdown_drain_ms = 600_000;
    })
    .await;
    let mut mint = Peer::connect(&hub, BAD_MINT).await;
    let _silent = tokio::net::TcpStream::connect(hub.addr).await.unwrap();
    // The listener takes connections in order: by now it has the silent one.
    let _stranger = Peer::dial(&hub).await;
    hub.stop();
    mint.closed_with("shutdown").await;
    hub.stopped().await;
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[tokio::test]
async fn no_log_at_any_level_shows_the_hubs_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // This test has its thread to itself, and its runtime has no other.
    let _guard = tracing::subscriber::set_default(subscriber);
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let mut stranger = Peer::dial(&hub).await;
    stranger.set_up().await;
    stranger
        .say(crate::common::peer::proof("thief/x", &stranger.transcript))
        .await;
    let last = stranger.last_words().await;
    assert!(matches!(last, HubMessage::AuthenticateError(_)));
    exchange.was_undisturbed().await;
    hub.stopped().await;

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("authenticated"),
        "the log has something to hide in"
    );
    let secret = static_key();
    assert!(!log.contains(secret.to_text().as_str()));
    assert!(!log.contains(&hex::encode(secret.expose_bytes())));
}

#[tokio::test]
async fn a_crowd_that_is_not_let_in_fills_the_metrics_and_not_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // This test has its thread to itself, and its runtime has no other.
    let _guard = tracing::subscriber::set_default(subscriber);
    let hub = TestHub::start().await;
    const CROWD: u64 = 40;
    for _ in 0..CROWD {
        let mut stranger = Peer::dial(&hub).await;
        stranger.set_up().await;
        let proof = crate::common::peer::proof("thief/x", &stranger.transcript);
        stranger.say(proof).await;
        stranger.last_words().await;
    }
    // Nobody has to look for a listed peer's line in all that.
    let _mint = Peer::connect(&hub, BAD_MINT).await;
    let refusals = "winze_hub_setup_refusals_total{reason=\"unlisted-key\"}";
    assert_eq!(hub.metric(refusals).await, CROWD);
    let suppressed = "winze_hub_log_lines_suppressed_total";
    assert_eq!(
        hub.metric(suppressed).await,
        CROWD - u64::from(winze_hub::limits::LOG_LINES_MAX)
    );
    hub.stopped().await;

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(
        lines("client not let in"),
        winze_hub::limits::LOG_LINES_MAX as usize
    );
    assert!(log.contains("mint/bad"), "{log}");
    assert_eq!(lines("log lines were left out"), 1, "{log}");
}

fn parsed(text: &str) -> Result<HubConfig, String> {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("hub.toml");
    std::fs::write(&file, text).unwrap();
    config::load(&file).map_err(|error| error.to_string())
}

const KEYS: &str = "static_key_file = \"static.key\"\ncertificate_file = \"certificate.toml\"\n";

fn peer(role: &str, name: &str, key: u8, rest: &str) -> String {
    let key = winze_transport::SecretKey::from_bytes(&[key; 32])
        .unwrap()
        .public_key();
    format!("[[peers]]\nrole = \"{role}\"\nname = \"{name}\"\npublic_key = \"{key}\"\n{rest}\n")
}

#[test]
fn a_configuration_with_a_mistake_is_refused_by_its_key() {
    let pool = peer(
        "pool",
        "main",
        1,
        "may_open = [{ extension = 0x4802, peer = \"mint/main\" }]",
    );
    let mint = peer("mint", "main", 2, "");
    let good = parsed(&format!("{KEYS}{pool}{mint}")).unwrap();
    assert_eq!(good.check(), Ok(()));
    assert_eq!(good.limits.payload_bytes_max, 65_536);

    let unknown_key = parsed(&format!("{KEYS}lisen = \"127.0.0.1:1\"\n{pool}{mint}"));
    assert!(unknown_key.unwrap_err().contains("lisen"));
    let unknown_in_peer = parsed(&format!("{KEYS}{}", peer("mint", "main", 2, "colour = 1")));
    assert!(unknown_in_peer.unwrap_err().contains("colour"));

    let refused = |text: String| {
        let error = parsed(&text).unwrap().check().unwrap_err();
        error.to_string()
    };
    let mistakes = [
        (format!("{KEYS}{pool}"), "mint/main, which is not listed"),
        (
            format!("{KEYS}{mint}{}", peer("mint", "other", 2, "")),
            "same public key",
        ),
        (
            format!("{KEYS}{mint}{}", peer("mint", "main", 3, "")),
            "listed twice",
        ),
        (
            format!("{KEYS}{}", peer("MINT", "main", 3, "")),
            "peers[0]: role has a character",
        ),
        (
            format!("{KEYS}[limits]\nwindow_bytes = 1000\n"),
            "limits.window_bytes",
        ),
        (
            format!("{KEYS}[limits]\nidle_timeout_ms = 1000\n"),
            "limits.idle_timeout_ms",
        ),
        (
            format!("{KEYS}[limits]\nwrite_timeout_ms = {}\n", i64::MAX),
            "limits.write_timeout_ms",
        ),
    ];
    for (text, says) in mistakes {
        let error = refused(text);
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_key_is_refused_with_the_files_name() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut config =
        crate::common::hub::config(&folder, winze_hub::HubLimits::default(), -3_600..3_600);
    let other = folder.path().join("other.key");
    let key = winze_transport::SecretKey::from_bytes(&[77; 32]).unwrap();
    winze_runtime::keyfile::write_secret(&other, &key).unwrap();
    config.static_key_file = other.into();
    let refused = Hub::bind(config).await.unwrap_err().to_string();
    assert!(refused.contains("certificate.toml"), "{refused}");
}

#[test]
fn all_that_is_wrong_with_groups_is_told_at_once() {
    let leave = "may_open = [{ extension = 0x4803, peer = \"group/none\" }]";
    let peers = peer("pool", "main", 1, leave) + &peer("mint", "main", 2, "");
    let group = |name: &str, members: &str| {
        format!("[[groups]]\nname = \"{name}\"\nmembers = [{members}]\n")
    };
    let groups = [
        group("all", "\"mint/main\", \"pool/main\""),
        group("all", "\"mint/main\""),
        group("void", ""),
        group("double", "\"mint/main\", \"mint/main\""),
        group("unknown", "\"mint/other\""),
        group("nested", "\"group/all\""),
    ];
    let limits = "[limits]\nwindow_messages = 0\nping_interval_ms = 0\n";
    let text = format!("{KEYS}{peers}{}{limits}", groups.concat());
    let invalid = parsed(&text).unwrap().check().unwrap_err();
    let told: Vec<String> = invalid.0.iter().map(ToString::to_string).collect();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    assert_eq!(
        told,
        [
            "limits.window_messages: must be at least 1",
            "limits.ping_interval_ms: must be at least 1",
            "groups: group/all is listed twice",
            "groups: group/void has no members",
            "groups: group/double has the member mint/main twice",
            "groups: group/unknown has the member mint/other, which is not listed",
            "groups: group/nested has the member group/all: groups have peers as members, and no groups",
            "peers: pool/main may open channels to group/none, which is not listed",
        ]
    );

    let masked = peer("group", "all", 3, "");
    let text = format!("{KEYS}{masked}{}", group("BIG", "\"mint\""));
    let invalid = parsed(&text).unwrap().check().unwrap_err().to_string();
    assert!(invalid.contains("groups[0].name: "), "{invalid}");
    assert!(invalid.contains("groups[0].members[0]: "), "{invalid}");
    let invalid = parsed(&format!("{KEYS}{masked}")).unwrap().check();
    let invalid = invalid.unwrap_err().to_string();
    assert!(invalid.contains("has the role of groups"), "{invalid}");
}
