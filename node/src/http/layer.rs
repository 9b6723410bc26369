//! What happens to every request: an id, a deadline, a line in the log, a count.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Instrument;

use super::{
    error,
    limits::{REQUEST_ID_BYTES_MAX, REQUEST_MAX},
    router::Api,
};
use crate::{
    peer::{Actor, ApiError},
    view::ErrorBody,
};

/// The header that carries the id of a request, both ways.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wraps every request.
pub(super) async fn around(State(api): State<Api>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let actor = request.extensions().get::<Actor>().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), %method, route, actor);

    let bounded = tokio::time::timeout(REQUEST_MAX, next.run(request)).instrument(span.clone()).await;
    let mut response = bounded.unwrap_or_else(|_| too_late(&method).into_response());
    if let Some(body) = response.extensions_mut().remove::<ErrorBody>() {
        let request_id = id.to_str().ok().map(str::to_owned);
        response = error::answer(ErrorBody { request_id, ..body });
    }
    response.headers_mut().insert(REQUEST_ID, id);

    let took = started.elapsed();
    api.metrics.request(method.as_str(), &route, response.status().as_u16(), took);
    span.in_scope(|| log(&method, &response, took.as_millis()));
    response
}

/// Writes and failures are worth a line; reads that went well are not, unless someone looks closely.
fn log(method: &Method, response: &Response, took_ms: u128) {
    let status = response.status().as_u16();
    if response.status().is_server_error() {
        tracing::warn!(status, took_ms, "request failed");
    } else if method.is_safe() {
        tracing::debug!(status, took_ms, "request answered");
    } else {
        tracing::info!(status, took_ms, "request answered");
    }
}

fn too_late(method: &Method) -> ApiError {
    let message = format!("the request took longer than {} s", REQUEST_MAX.as_secs());
    ApiError::Deadline { message, may_have_committed: !method.is_safe() }
}

/// The id that the client chose, if it is short and plain, or a new one.
fn request_id(request: &Request) -> HeaderValue {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if let Some(chosen) = request.headers().get(REQUEST_ID)
        && (1..=REQUEST_ID_BYTES_MAX).contains(&chosen.len())
        && chosen.as_bytes().iter().all(plain)
    {
        return chosen.clone();
    }
    HeaderValue::try_from(format!("{:016x}", rand::random::<u64>())).unwrap_or(HeaderValue::from_static("none"))
}
