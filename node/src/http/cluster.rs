//! Ways in and out of a cluster.

use std::time::Duration;

use axum::{Json, extract::State};

use super::{
    extract::Body,
    limits::{TOKEN_BYTES_MAX, TOKEN_TTL_DEFAULT, TOKEN_TTL_MAX},
    policy::check_wait,
    router::Api,
};
use crate::{
    peer::{Actor, ApiError},
    view,
};

/// Makes this node the first of a new cluster.
#[utoipa::path(
    post, path = "/v1/cluster/init", tag = "cluster", request_body = view::InitRequest,
    responses((status = 200, body = view::ClusterAnswer), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn init(
    State(api): State<Api>,
    actor: Actor,
    _request: Body<view::InitRequest>,
) -> Result<Json<view::ClusterAnswer>, ApiError> {
    api.peer.init(&actor).await.map(Json)
}

/// Lets this node join the cluster of a token.
#[utoipa::path(
    post, path = "/v1/cluster/join", tag = "cluster", request_body = view::JoinRequest,
    responses((status = 200, body = view::ClusterAnswer), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn join(
    State(api): State<Api>,
    actor: Actor,
    Body(mut request): Body<view::JoinRequest>,
) -> Result<Json<view::ClusterAnswer>, ApiError> {
    check_wait(request.timeout_ms)?;
    request.token = request.token.trim().to_owned();
    if request.token.is_empty() || request.token.len() > TOKEN_BYTES_MAX {
        return Err(ApiError::invalid(
            "this is not a token; run `hedgerow cluster token create` on a member and give its one word here",
        ));
    }
    api.peer.join(&actor, request).await.map(Json)
}

/// Lets this node, or a member that is gone for good, leave the cluster.
#[utoipa::path(
    post, path = "/v1/cluster/leave", tag = "cluster", request_body = view::LeaveRequest,
    responses((status = 200, body = view::Done), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn leave(
    State(api): State<Api>,
    actor: Actor,
    Body(request): Body<view::LeaveRequest>,
) -> Result<Json<view::Done>, ApiError> {
    api.peer.leave(&actor, request).await.map(Json)
}

/// Makes a token with which one more node can join.
#[utoipa::path(
    post, path = "/v1/cluster/tokens", tag = "cluster", request_body = view::TokenRequest,
    responses((status = 200, body = view::TokenAnswer), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn create_token(
    State(api): State<Api>,
    actor: Actor,
    Body(request): Body<view::TokenRequest>,
) -> Result<Json<view::TokenAnswer>, ApiError> {
    let ttl = request.ttl_ms.map_or(TOKEN_TTL_DEFAULT, Duration::from_millis);
    if ttl.is_zero() || ttl > TOKEN_TTL_MAX {
        return Err(ApiError::invalid(format!(
            "a token is good for more than 0 and at most {} days, not {ttl:?}",
            TOKEN_TTL_MAX.as_secs() / (24 * 3600)
        )));
    }
    api.peer.create_token(&actor, ttl).await.map(Json)
}
