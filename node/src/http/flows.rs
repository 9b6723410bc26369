//! What the data path tells of single packets.

use axum::{Json, extract::State};

use super::{
    extract::Params,
    limits::{FLOWS_LIMIT_DEFAULT, FLOWS_LIMIT_MAX},
    policy::check_wait,
    router::Api,
};
use crate::{peer::ApiError, view};

/// The latest flow events of this node; with `since` and `wait_ms` the way to follow them.
#[utoipa::path(
    get, path = "/v1/flows", tag = "status", params(view::FlowsQuery),
    responses((status = 200, body = view::Flows), (status = "default", body = view::ErrorBody))
)]
pub(super) async fn flows(
    State(api): State<Api>,
    Params(query): Params<view::FlowsQuery>,
) -> Result<Json<view::Flows>, ApiError> {
    check_wait(query.wait_ms)?;
    let limit = query.limit.unwrap_or(FLOWS_LIMIT_DEFAULT);
    if !(1..=FLOWS_LIMIT_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!(
            "one answer holds from 1 to {FLOWS_LIMIT_MAX} flow events, not {limit}; ask for what follows with `since`"
        )));
    }
    api.peer.flows(view::FlowsQuery { limit: Some(limit), ..query }).await.map(Json)
}
