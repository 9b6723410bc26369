//! Documents, revisions, explanations.

use std::time::Duration;

use axum::{Json, extract::State};

use super::{
    extract::{Body, Params},
    limits::{MESSAGE_BYTES_MAX, WAIT_MAX},
    router::Api,
};
use crate::{
    peer::{Actor, ApiError},
    view,
};

/// The documents of the latest revision.
#[utoipa::path(
    get, path = "/v1/policy", tag = "policy", params(view::PolicyQuery),
    responses((status = 200, body = view::PolicyDocuments), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn documents(
    State(api): State<Api>,
    Params(query): Params<view::PolicyQuery>,
) -> Result<Json<view::PolicyDocuments>, ApiError> {
    api.peer.policy_documents(query).await.map(Json)
}

/// Adds documents to the policy, or replaces it.
#[utoipa::path(
    post, path = "/v1/policy", tag = "policy", request_body = view::ApplyRequest,
    responses((status = 200, body = view::ApplyAnswer), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn apply(
    State(api): State<Api>,
    actor: Actor,
    Body(request): Body<view::ApplyRequest>,
) -> Result<Json<view::ApplyAnswer>, ApiError> {
    check_wait(request.timeout_ms)?;
    check_message(&request.message)?;
    if request.sources.is_empty() && !request.prune {
        return Err(ApiError::invalid("there is nothing to apply: the request names no source"));
    }
    api.peer.apply(&actor, request).await.map(Json)
}

/// What documents would change.
#[utoipa::path(
    post, path = "/v1/policy/diff", tag = "policy", request_body = view::DiffRequest,
    responses((status = 200, body = view::DiffAnswer), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn diff(
    State(api): State<Api>,
    Body(request): Body<view::DiffRequest>,
) -> Result<Json<view::DiffAnswer>, ApiError> {
    api.peer.diff(request).await.map(Json)
}

/// The verdict on a flow and every step to it, the kernel's own answer too.
#[utoipa::path(
    get, path = "/v1/policy/explain", tag = "policy", params(view::ExplainQuery),
    responses((status = 200, body = view::Explanation), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn explain(
    State(api): State<Api>,
    Params(query): Params<view::ExplainQuery>,
) -> Result<Json<view::Explanation>, ApiError> {
    if query.src.is_ipv4() != query.dst.is_ipv4() {
        return Err(ApiError::invalid(format!(
            "{} and {} are not of one address family; no packet can have both",
            query.src, query.dst
        )));
    }
    api.peer.explain(query).await.map(Json)
}

/// The revisions that are kept, the newest first.
#[utoipa::path(
    get, path = "/v1/policy/history", tag = "policy", params(view::ConsistencyQuery),
    responses((status = 200, body = view::History), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn history(
    State(api): State<Api>,
    Params(query): Params<view::ConsistencyQuery>,
) -> Result<Json<view::History>, ApiError> {
    api.peer.history(query.consistency).await.map(Json)
}

/// Makes a new revision with the documents of an old one.
#[utoipa::path(
    post, path = "/v1/policy/rollback", tag = "policy", request_body = view::RollbackRequest,
    responses((status = 200, body = view::ApplyAnswer), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn rollback(
    State(api): State<Api>,
    actor: Actor,
    Body(request): Body<view::RollbackRequest>,
) -> Result<Json<view::ApplyAnswer>, ApiError> {
    check_wait(request.timeout_ms)?;
    check_message(&request.message)?;
    api.peer.rollback(&actor, request).await.map(Json)
}

/// The segments of the latest revision.
#[utoipa::path(
    get, path = "/v1/segments", tag = "policy", params(view::ConsistencyQuery),
    responses((status = 200, body = view::Segments), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn segments(
    State(api): State<Api>,
    Params(query): Params<view::ConsistencyQuery>,
) -> Result<Json<view::Segments>, ApiError> {
    api.peer.segments(query.consistency).await.map(Json)
}

/// Refuses to wait longer than the API does.
pub(super) fn check_wait(timeout_ms: Option<u64>) -> Result<(), ApiError> {
    match timeout_ms {
        Some(wanted) if wanted == 0 || u128::from(wanted) > WAIT_MAX.as_millis() => Err(ApiError::invalid(format!(
            "the node waits for more than 0 and at most {} s, not {:?}",
            WAIT_MAX.as_secs(),
            Duration::from_millis(wanted)
        ))),
        _ => Ok(()),
    }
}

fn check_message(message: &str) -> Result<(), ApiError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(ApiError::invalid(format!(
            "the message has {} bytes, and a message has at most {MESSAGE_BYTES_MAX}",
            message.len()
        )));
    }
    Ok(())
}
