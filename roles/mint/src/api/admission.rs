//! How much of the NUT API goes on at once.
//!
//! A request takes one of [`API_REQUESTS_MAX`] places, or is answered 503 at once. It keeps the place while
//! its body arrives (at most [`API_BODY_BYTES_MAX`] in [`API_BODY_TIMEOUT`]) and while it waits for one of
//! [`API_WORKERS_MAX`] workers. A worker is a blocking thread, because cdk runs its SQL, and waits for SQLite's
//! write lock, on the thread that polls it: on the runtime's own threads a few wallets could stop everything, the transaction
//! that they wait for included. A request whose client has gone is finished all the same.

use std::sync::Arc;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use cdk::error::ErrorCode;
use tokio::sync::Semaphore;

use super::{UNKNOWN_ROUTE as UNKNOWN, refuse};
use crate::limits::{API_BODY_BYTES_MAX, API_BODY_TIMEOUT, API_REQUESTS_MAX, API_WORKERS_MAX};
use crate::metrics::{ApiRefusal, Metrics};

/// The places and the workers.
#[derive(Clone)]
pub(super) struct Admission {
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    metrics: Metrics,
}

impl Admission {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            places: Arc::new(Semaphore::new(API_REQUESTS_MAX)),
            workers: Arc::new(Semaphore::new(API_WORKERS_MAX)),
            metrics,
        }
    }
}

pub(super) async fn admit(
    State(admission): State<Admission>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(place) = Arc::clone(&admission.places).try_acquire_owned() else {
        admission.metrics.api_refused(ApiRefusal::Overload);
        let mut response = refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Unknown(UNKNOWN),
            "the mint is busy; try again",
        );
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return response;
    };
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > API_BODY_BYTES_MAX as u64 {
        return too_long(&admission);
    }
    let body = tokio::time::timeout(API_BODY_TIMEOUT, to_bytes(body, API_BODY_BYTES_MAX));
    let body = match body.await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return too_long(&admission),
        Err(_) => {
            admission.metrics.api_refused(ApiRefusal::Body);
            return refuse(
                StatusCode::REQUEST_TIMEOUT,
                ErrorCode::Unknown(UNKNOWN),
                "the body did not arrive in time",
            );
        }
    };
    let request = Request::from_parts(head, Body::from(body));
    let Ok(worker) = Arc::clone(&admission.workers).acquire_owned().await else {
        return failed(); // The semaphore is never closed.
    };
    admission.metrics.api_request();
    let runtime = tokio::runtime::Handle::current();
    let work = tokio::task::spawn_blocking(move || {
        let _held = (place, worker);
        runtime.block_on(next.run(request))
    });
    work.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request of the NUT API failed");
        failed()
    })
}

fn too_long(admission: &Admission) -> Response {
    admission.metrics.api_refused(ApiRefusal::Body);
    refuse(
        StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Unknown(UNKNOWN),
        "the body is longer than this mint takes, or broke off",
    )
}

fn failed() -> Response {
    refuse(
        StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::Unknown(UNKNOWN),
        "the mint failed at this request",
    )
}
