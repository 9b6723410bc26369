//! What a node says about itself, and its data path's safety catch.

use std::time::Duration;

use axum::{Json, extract::State};

use super::{
    extract::Body,
    limits::{DISARM_MAX, REASON_BYTES_MAX},
    router::Api,
};
use crate::{
    peer::{Actor, ApiError},
    view,
};

/// What this node says about itself.
#[utoipa::path(
    get, path = "/v1/status", tag = "status",
    responses((status = 200, body = view::Status), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn status(State(api): State<Api>) -> Result<Json<view::Status>, ApiError> {
    api.peer.status().await.map(Json)
}

/// The members, as committed and as gossip sees them.
#[utoipa::path(
    get, path = "/v1/members", tag = "status",
    responses((status = 200, body = view::Members), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn members(State(api): State<Api>) -> Result<Json<view::Members>, ApiError> {
    api.peer.members().await.map(Json)
}

/// The sync channels that this node's guard keeps open.
#[utoipa::path(
    get, path = "/v1/channels", tag = "status",
    responses((status = 200, body = view::Channels), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn channels(State(api): State<Api>) -> Result<Json<view::Channels>, ApiError> {
    api.peer.channels().await.map(Json)
}

/// Tells this node's data path to pass everything for a while.
#[utoipa::path(
    post, path = "/v1/disarm", tag = "status", request_body = view::DisarmRequest,
    responses((status = 200, body = view::DisarmAnswer), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn disarm(
    State(api): State<Api>,
    actor: Actor,
    Body(request): Body<view::DisarmRequest>,
) -> Result<Json<view::DisarmAnswer>, ApiError> {
    let reason = request.reason.trim().to_owned();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(ApiError::invalid(format!(
            "a disarm needs a reason of 1 to {REASON_BYTES_MAX} bytes: it goes into the log for whoever asks later"
        )));
    }
    let duration = Duration::from_millis(request.duration_ms);
    if duration.is_zero() || duration > DISARM_MAX {
        return Err(ApiError::invalid(format!(
            "a data path is disarmed for more than 0 and at most {} hours, not {duration:?}",
            DISARM_MAX.as_secs() / 3600
        )));
    }
    api.peer.disarm(&actor, reason, duration).await.map(Json)
}

/// Ends a disarm before its time.
#[utoipa::path(
    post, path = "/v1/arm", tag = "status", request_body = view::ArmRequest,
    responses((status = 200, body = view::Done), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn arm(
    State(api): State<Api>,
    actor: Actor,
    _request: Body<view::ArmRequest>,
) -> Result<Json<view::Done>, ApiError> {
    api.peer.arm(&actor).await.map(Json)
}
