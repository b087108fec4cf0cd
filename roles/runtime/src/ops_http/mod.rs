//! The operator's HTTP port: `GET /health` and `GET /metrics`, beside routes of a role's own.
//!
//! It is plain HTTP without authentication and belongs on loopback or a private network.

mod listener;

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::limits::HTTP_DRAIN_MAX;
use crate::metrics::CONTENT_TYPE;

/// The answer to `GET /health`: status 200 when `ready`, else 503, with this as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// Whether the process does its job now, all that it depends on included.
    pub ready: bool,
    /// What an operator wants to know at a glance: `{"hub": "connected", ...}`. Never a secret.
    pub detail: serde_json::Value,
}

/// Where `/health` and `/metrics` take their answers. Both closures run on the runtime's threads for each request,
/// and must neither block nor take long.
#[derive(Clone)]
pub struct OpsState {
    /// The state of the process now.
    pub health: Arc<dyn Fn() -> Health + Send + Sync>,
    /// The metrics now, as [`crate::metrics::text`] gives them.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl OpsState {
    /// Takes the two closures.
    pub fn new(
        health: impl Fn() -> Health + Send + Sync + 'static,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        OpsState {
            health: Arc::new(health),
            metrics: Arc::new(metrics),
        }
    }
}

/// `GET /health` and `GET /metrics`. A role with routes of its own merges them: `router(state).merge(own)`.
pub fn router(state: OpsState) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// Serves `router` on `listener` until `shutdown` resolves, then finishes the requests under way for at most
/// [`HTTP_DRAIN_MAX`].
///
/// At most [`crate::limits::HTTP_CONNECTIONS_MAX`] connections are served at a time (further ones wait in the
/// kernel's listen queue), and one that is silent, or not done with a request, for [`crate::limits::HTTP_IDLE_MAX`] is
/// closed.
///
/// # Errors
/// The listener failed for good. A failure to accept one connection is waited out.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let listener = listener::BoundedListener::new(listener);
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        // Nobody listens any more when the server has failed before.
        let _ = stopping.send(());
    });
    let drain_deadline = async {
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(HTTP_DRAIN_MAX).await;
    };
    tokio::select! {
        result = server => result,
        () = drain_deadline => Ok(()),
    }
}

async fn health(State(state): State<OpsState>) -> Response {
    let health = (state.health)();
    let status = if health.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(health)).into_response()
}

async fn metrics(State(state): State<OpsState>) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], (state.metrics)()).into_response()
}

#[cfg(test)]
mod tests;
