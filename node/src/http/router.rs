//! Which path goes to which handler, and the document that describes it.

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use utoipa::{OpenApi as _, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{cluster, flows, layer, limits::BODY_BYTES_MAX, meta, policy, status};
use crate::{metrics::Metrics, peer::Peer};

/// What handlers need.
#[derive(Clone)]
pub struct Api {
    /// The node behind the API.
    pub peer: Arc<dyn Peer>,
    /// Its numbers.
    pub metrics: Arc<Metrics>,
}

/// The description of the API as a whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Hedgerow",
        description = "The API of a node: the same on every node, on a Unix socket and on TLS with client certificates. \
                       Writes are taken by any node. Times are milliseconds since the Unix epoch."
    ),
    tags(
        (name = "status", description = "What a node says about itself"),
        (name = "policy", description = "Documents, revisions, explanations"),
        (name = "cluster", description = "Ways in and out of a cluster"),
        (name = "meta", description = "Health, numbers, this document")
    )
)]
struct Description;

/// Every route that the document describes.
fn described() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(status::status))
        .routes(routes!(status::members))
        .routes(routes!(status::channels))
        .routes(routes!(flows::flows))
        .routes(routes!(status::disarm))
        .routes(routes!(status::arm))
        .routes(routes!(policy::documents, policy::apply))
        .routes(routes!(policy::diff))
        .routes(routes!(policy::explain))
        .routes(routes!(policy::history))
        .routes(routes!(policy::rollback))
        .routes(routes!(policy::segments))
        .routes(routes!(cluster::init))
        .routes(routes!(cluster::join))
        .routes(routes!(cluster::leave))
        .routes(routes!(cluster::create_token))
        .routes(routes!(meta::health))
        .routes(routes!(meta::metrics))
        .routes(routes!(meta::openapi))
}

/// The document that describes the API.
#[must_use]
pub fn openapi() -> OpenApi {
    described().into_openapi()
}

/// The API of a node.
pub fn router(api: Api) -> Router {
    let (router, _) = described().split_for_parts();
    router
        .fallback(meta::no_such_path)
        .method_not_allowed_fallback(meta::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(api.clone(), layer::around))
        .with_state(api)
}
