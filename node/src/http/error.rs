//! Errors as answers.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{peer::ApiError, view::ErrorBody, view::ErrorKind};

/// How soon it is worth asking again when a quorum or the node is not there yet, in seconds.
const RETRY_AFTER_SECONDS: &str = "1";

/// The status of an answer that reports a failure of this kind.
fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::NotReady | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Deadline => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The answer with this body. The body rides along as an extension, so that the layer outside can put the id in.
pub(super) fn answer(body: ErrorBody) -> Response {
    let status = status(body.kind);
    let mut response = (status, Json(&body)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    response.extensions_mut().insert(body);
    response
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        answer(self.body())
    }
}
