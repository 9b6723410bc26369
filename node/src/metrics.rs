//! Numbers for Prometheus: a registry per node, so that many nodes fit in one process.

mod snapshot;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, histogram::Histogram, info::Info},
    registry::Registry,
};

use self::snapshot::SnapshotCollector;
use crate::view::MetricsSnapshot;

/// The media type of what [`Metrics::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets of request durations, in seconds.
const REQUEST_SECONDS: [f64; 8] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0];
/// Upper bounds of the buckets of commit and activation durations, in seconds.
const CHANGE_SECONDS: [f64; 9] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0, 10.0];

/// What a request counts under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    code: u16,
}

/// The numbers of a node.
pub struct Metrics {
    registry: Registry,
    snapshot: Arc<Mutex<MetricsSnapshot>>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    commit_seconds: Histogram,
    activation_seconds: Histogram,
}

impl Metrics {
    /// The numbers of the node of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let snapshot = Arc::new(Mutex::new(MetricsSnapshot::default()));
        let requests = Family::default();
        let request_seconds = Histogram::new(REQUEST_SECONDS);
        let commit_seconds = Histogram::new(CHANGE_SECONDS);
        let activation_seconds = Histogram::new(CHANGE_SECONDS);
        let mut registry = Registry::with_prefix("hedgerow");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION").to_owned()), ("name", name.to_owned())]);
        registry.register("node", "The program and the node", build);
        registry.register("http_requests", "Requests to the API", requests.clone());
        registry.register("http_request_seconds", "How long requests to the API took", request_seconds.clone());
        registry.register(
            "policy_commit_seconds",
            "From taking a write to its commit, for writes taken by this node",
            commit_seconds.clone(),
        );
        registry.register(
            "policy_activation_seconds",
            "From taking a write to its activation here, for writes taken by this node",
            activation_seconds.clone(),
        );
        registry.register_collector(Box::new(SnapshotCollector::new(snapshot.clone())));
        Self { registry, snapshot, requests, request_seconds, commit_seconds, activation_seconds }
    }

    /// Counts a request to the API.
    pub fn request(&self, method: &str, route: &str, code: u16, took: Duration) {
        let labels = RequestLabels { method: method.to_owned(), route: route.to_owned(), code };
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// Counts a write that this node took and that was committed.
    pub fn committed(&self, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Counts a write that this node took and that was activated.
    pub fn activated(&self, took: Duration) {
        self.activation_seconds.observe(took.as_secs_f64());
    }

    /// Everything as OpenMetrics text, with these numbers of the instant.
    ///
    /// # Errors
    /// A number cannot be written as text.
    pub fn encode(&self, snapshot: MetricsSnapshot) -> Result<String, fmt::Error> {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
