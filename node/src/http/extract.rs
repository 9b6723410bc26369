//! Bodies and queries, refused with the same form of error as everything else.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;

use super::limits::{BODY_BYTES_MAX, BODY_READ_MAX};
use crate::peer::ApiError;

/// A body in JSON. An empty body is an empty object.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if announced_bytes(&request).is_some_and(|announced| announced > BODY_BYTES_MAX) {
            return Err(too_large());
        }
        let read = tokio::time::timeout(BODY_READ_MAX, Bytes::from_request(request, state)).await;
        let bytes = read.map_err(|_| too_slow())?.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => ApiError::invalid(format!("the body could not be read: {rejection}")),
        })?;
        let json: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let value = serde_json::from_slice(json).map_err(|error| {
            ApiError::invalid(format!("the body is not what this request takes: {error}; /openapi.json describes it"))
        })?;
        Ok(Self(value))
    }
}

/// How long the client says that the body is.
fn announced_bytes(request: &Request) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large() -> ApiError {
    let message = format!("the body is larger than {BODY_BYTES_MAX} bytes");
    ApiError::TooLarge { message }
}

fn too_slow() -> ApiError {
    let message = format!("the body was not there after {} s; nothing was done", BODY_READ_MAX.as_secs());
    ApiError::Deadline { message, may_have_committed: false }
}

/// A query.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let Query(value) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            ApiError::invalid(format!(
                "the query is not what this request takes: {}; /openapi.json describes it",
                rejection.body_text().trim_start_matches("Failed to deserialize query string: ")
            ))
        })?;
        Ok(Self(value))
    }
}
