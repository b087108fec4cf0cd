//! The NUT API for wallets: cdk's own router, with a gate before it.
//!
//! The gate lets through what is listed in [`OFFERED`], matched on the route that the router chose, not on the path as it
//! was written. What a mint for shares must not do is refused by name: making a quote (only
//! pools do, through the hub) and melting (shares cannot be paid back). The WebSocket (NUT-17) is neither advertised nor
//! served: quotes for shares are paid when a wallet first hears of them, so there is nothing to wait for.

mod admission;

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use cdk::error::{ErrorCode, ErrorResponse};

use self::admission::Admission;
use crate::metrics::{ApiRefusal, Metrics};
use crate::processor::MINING_SHARE;

/// What the API offers: method and route, as cdk's router names it. HEAD goes with GET.
const OFFERED: &[(&str, &str)] = &[
    ("GET", "/v1/info"),                           // NUT-06
    ("GET", "/v1/keys"),                           // NUT-01
    ("GET", "/v1/keys/{keyset_id}"),               // NUT-01
    ("GET", "/v1/keysets"),                        // NUT-02
    ("POST", "/v1/swap"),                          // NUT-03
    ("GET", "/v1/mint/quote/{method}/{quote_id}"), // NUT-04
    ("POST", "/v1/mint/{method}"),                 // NUT-04
    ("POST", "/v1/checkstate"),                    // NUT-07
    ("POST", "/v1/restore"),                       // NUT-09
    ("POST", "/v1/mint/quote/{method}/check"),     // NUT-29
    ("POST", "/v1/mint/{method}/batch"),           // NUT-29
];

/// The route on which cdk makes quotes, whatever the method of payment.
const NEW_QUOTE: &str = "/v1/mint/quote/{method}";

/// The router to serve.
///
/// # Errors
/// cdk's router refuses the name of the payment method; it does not.
pub(crate) async fn router(mint: Arc<cdk::Mint>, metrics: Metrics) -> Result<Router, ApiError> {
    let nut = cdk_axum::create_mint_router(mint, vec![MINING_SHARE.to_owned()])
        .await
        .map_err(|error| ApiError(error.to_string()))?;
    let admission = Admission::new(metrics.clone());
    Ok(nut
        .layer(middleware::from_fn_with_state(admission, admission::admit))
        .layer(middleware::from_fn_with_state(metrics, gate)))
}

/// The NUT API cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("NUT API: {0}")]
pub struct ApiError(String);

async fn gate(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(MatchedPath::as_str);
    // The answer to a preflight (CORS) holds for every route and says nothing.
    if *request.method() == Method::OPTIONS || is_offered(request.method(), route) {
        return next.run(request).await;
    }
    match route {
        Some(NEW_QUOTE) => {
            metrics.api_refused(ApiRefusal::NewQuote);
            refuse(
                StatusCode::BAD_REQUEST,
                ErrorCode::MintingDisabled,
                "quotes of this mint are made for mining shares, by its pools; not over this API",
            )
        }
        Some(route) if route.starts_with("/v1/melt/") => {
            metrics.api_refused(ApiRefusal::Melt);
            refuse(
                StatusCode::BAD_REQUEST,
                // cdk's own code where melting is disabled; NUT-00 has none.
                ErrorCode::MintingDisabled,
                "this mint does not melt: shares cannot be paid back",
            )
        }
        _ => {
            metrics.api_refused(ApiRefusal::Unknown);
            refuse(
                StatusCode::NOT_FOUND,
                ErrorCode::Unknown(UNKNOWN_ROUTE),
                "no such route on this mint",
            )
        }
    }
}

/// The code of an error that the NUTs have no code for, as cdk uses it.
const UNKNOWN_ROUTE: u16 = 50_000;

fn is_offered(method: &Method, route: Option<&str>) -> bool {
    let method = if *method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    route.is_some_and(|route| OFFERED.contains(&(method, route)))
}

/// An error as NUT-00 has it: `{"code": .., "detail": ".."}`.
fn refuse(status: StatusCode, code: ErrorCode, detail: &str) -> Response {
    let body = axum::Json(ErrorResponse::new(code, detail.to_owned()));
    let mut response = (status, body).into_response();
    // As on cdk's own answers: a wallet in a browser must be able to read it.
    response.headers_mut().insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    response
}

#[cfg(test)]
mod tests;
