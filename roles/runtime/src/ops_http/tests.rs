use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer
}

#[tokio::test]
async fn an_operator_sees_a_process_become_ready_and_then_stop() {
    let ready = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ready);
    let mut registry = crate::metrics::registry("test");
    let counter: prometheus_client::metrics::counter::Counter = Default::default();
    registry.register("frames", "Frames", counter.clone());
    let state = OpsState::new(
        move || Health {
            ready: seen.load(Ordering::SeqCst),
            detail: serde_json::json!({"hub": "away"}),
        },
        move || crate::metrics::text(&registry),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, router(state), async {
        let _ = stopped.await;
    }));

    let answer = get(address, "/health").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.ends_with(r#"{"ready":false,"detail":{"hub":"away"}}"#),
        "{answer}"
    );
    ready.store(true, Ordering::SeqCst);
    assert!(get(address, "/health").await.starts_with("HTTP/1.1 200"));
    counter.inc_by(7);
    let answer = get(address, "/metrics").await;
    assert!(answer.contains("winze_test_frames_total 7\n"), "{answer}");

    stop.send(()).unwrap();
    timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_silent_client_loses_its_slot_to_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bounded = listener::BoundedListener::with_bounds(listener, 1, Duration::from_millis(50));
    let state = OpsState::new(
        || Health {
            ready: true,
            detail: serde_json::Value::Null,
        },
        String::new,
    );
    let server = tokio::spawn(async move { axum::serve(bounded, router(state)).await });

    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(b"GET /hea").await.unwrap();
    assert!(get(address, "/health").await.starts_with("HTTP/1.1 200"));
    let mut rest = Vec::new();
    // Closed by the server, cleanly or by a reset.
    let _ = timeout(PATIENCE, silent.read_to_end(&mut rest))
        .await
        .expect("the silent client was let go");
    server.abort();
}

#[tokio::test]
async fn a_client_of_one_byte_after_the_other_loses_its_slot_to_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bounded = listener::BoundedListener::with_bounds(listener, 1, Duration::from_millis(300));
    let state = OpsState::new(
        || Health {
            ready: true,
            detail: serde_json::Value::Null,
        },
        String::new,
    );
    let server = tokio::spawn(async move { axum::serve(bounded, router(state)).await });

    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nx: ")
        .await
        .unwrap();
    let trickle = tokio::spawn(async move {
        // Never silent for as long as the limit, and never done.
        while slow.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let answer = timeout(PATIENCE, get(address, "/health"))
        .await
        .expect("the slow client was let go");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    timeout(PATIENCE, trickle).await.unwrap().unwrap();
    server.abort();
}
