//! Health, numbers, the description of the API, and what is said about paths that do not exist.

use axum::{
    Json,
    extract::State,
    http::{Method, Uri, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::router::{self, Api};
use crate::{
    metrics::CONTENT_TYPE,
    peer::ApiError,
    view::{ErrorBody, Phase},
};

/// Whether the process answers, and whether the node is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Whether the node is a member that has caught up and enforces what the cluster agreed on.
    pub ready: bool,
    /// Where it is in its life.
    pub phase: Phase,
}

/// The process answers.
#[utoipa::path(
    get, path = "/healthz", tag = "meta",
    responses((status = 200, body = Health), (status = "default", body = ErrorBody))
)]
pub(super) async fn health(State(api): State<Api>) -> Result<Json<Health>, ApiError> {
    let status = api.peer.status().await?;
    Ok(Json(Health { ready: status.ready, phase: status.phase }))
}

/// The numbers of this node for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "meta",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"), (status = "default", body = ErrorBody))
)]
pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, ApiError> {
    let snapshot = api.peer.metrics().await?;
    let text = api
        .metrics
        .encode(snapshot)
        .map_err(|error| ApiError::internal(format!("cannot write the numbers: {error}")))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "meta", responses((status = 200, body = Object)))]
pub(super) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(router::openapi())
}

/// A path that nothing answers at.
pub(super) async fn no_such_path(uri: Uri) -> ApiError {
    let help = Some("the paths are in /openapi.json".to_owned());
    ApiError::NotFound { message: format!("there is nothing at {}", uri.path()), help }
}

/// A method that the path does not know.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    let help = Some("the paths and their methods are in /openapi.json".to_owned());
    ApiError::NotFound { message: format!("{} does not answer to {method}", uri.path()), help }
}
