//! The other end of the API: what the command line and tests speak with.

mod error;

use std::{net::SocketAddr, path::Path, time::Duration};

use reqwest::{ClientBuilder, RequestBuilder, Response};
use serde::{Serialize, de::DeserializeOwned};

pub use error::ClientError;

use crate::{
    http::{Health, REQUEST_MAX},
    view::{self, ErrorBody},
};

/// How long a client waits for the answer to a read.
const READ_MAX: Duration = Duration::from_secs(30);
/// How much longer than the node a client waits for the answer to a write, so that the node's sentence arrives.
const GRACE: Duration = Duration::from_secs(5);
/// What stands for the host when the connection is a Unix socket.
const UNIX_BASE: &str = "http://hedgerow";

/// A client of the API of one node.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    agent: String,
}

impl Client {
    /// A client of the agent behind this Unix socket. Nothing is connected yet.
    ///
    /// # Errors
    /// The HTTP client cannot be set up.
    pub fn unix(socket: &Path) -> Result<Self, ClientError> {
        // reqwest sets TLS up even where only a Unix socket is spoken to. An error says that it is set up already.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().unix_socket(socket).tls_certs_only([]);
        Self::new(builder, UNIX_BASE.to_owned(), socket.display().to_string())
    }

    /// A client of the agent at this address, with a certificate that it accepts. Nothing is connected yet.
    ///
    /// # Errors
    /// The HTTP client cannot be set up.
    pub fn tls(addr: SocketAddr, config: rustls::ClientConfig) -> Result<Self, ClientError> {
        let builder = reqwest::Client::builder().tls_backend_preconfigured(config).https_only(true);
        Self::new(builder, format!("https://{addr}"), addr.to_string())
    }

    fn new(builder: ClientBuilder, base: String, agent: String) -> Result<Self, ClientError> {
        let http = builder.no_proxy().timeout(READ_MAX).build().map_err(ClientError::Setup)?;
        Ok(Self { http, base, agent })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| ClientError::from_send(&self.agent, error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(|error| ClientError::from_send(&self.agent, error))?;
        match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => Err(ClientError::Refused(Box::new(body))),
            Err(_) => Err(ClientError::NotHedgerow { agent: self.agent.clone(), status }),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let bytes =
            self.send(request).await?.bytes().await.map_err(|error| ClientError::from_send(&self.agent, error))?;
        serde_json::from_slice(&bytes).map_err(ClientError::Unreadable)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(self.http.get(self.url(path))).await
    }

    async fn get_with<T: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> Result<T, ClientError> {
        self.json(self.http.get(self.url(path)).query(query)).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.post_within(None, path, body).await
    }

    /// `node_ms`: how long the node was asked to wait.
    async fn post_within<T: DeserializeOwned>(
        &self,
        node_ms: Option<u64>,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let node = node_ms.map_or(REQUEST_MAX, |node_ms| Duration::from_millis(node_ms).min(REQUEST_MAX));
        self.json(self.http.post(self.url(path)).json(body).timeout(node + GRACE)).await
    }

    /// A text, as it is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn text(&self, path: &str) -> Result<String, ClientError> {
        let response = self.send(self.http.get(self.url(path))).await?;
        response.text().await.map_err(|error| ClientError::from_send(&self.agent, error))
    }
}

/// The requests, one method each. Errors: see [`ClientError`].
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// Whether the process answers and the node is ready.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get("/healthz").await
    }

    /// What the node says about itself.
    pub async fn status(&self) -> Result<view::Status, ClientError> {
        self.get("/v1/status").await
    }

    /// The members.
    pub async fn members(&self) -> Result<view::Members, ClientError> {
        self.get("/v1/members").await
    }

    /// The sync channels that the node's guard keeps open.
    pub async fn channels(&self) -> Result<view::Channels, ClientError> {
        self.get("/v1/channels").await
    }

    /// The latest flow events of the node.
    pub async fn flows(&self, query: &view::FlowsQuery) -> Result<view::Flows, ClientError> {
        let node = query.wait_ms.map_or(READ_MAX, Duration::from_millis).min(REQUEST_MAX);
        self.json(self.http.get(self.url("/v1/flows")).query(query).timeout(node + GRACE)).await
    }

    /// The documents of the latest revision.
    pub async fn policy(&self, query: &view::PolicyQuery) -> Result<view::PolicyDocuments, ClientError> {
        self.get_with("/v1/policy", query).await
    }

    /// Adds documents to the policy, or replaces it.
    pub async fn apply(&self, request: &view::ApplyRequest) -> Result<view::ApplyAnswer, ClientError> {
        self.post_within(request.timeout_ms, "/v1/policy", request).await
    }

    /// What documents would change.
    pub async fn diff(&self, request: &view::DiffRequest) -> Result<view::DiffAnswer, ClientError> {
        self.post("/v1/policy/diff", request).await
    }

    /// The verdict on a flow and every step to it.
    pub async fn explain(&self, query: &view::ExplainQuery) -> Result<view::Explanation, ClientError> {
        self.get_with("/v1/policy/explain", query).await
    }

    /// The revisions that are kept.
    pub async fn history(&self, query: view::ConsistencyQuery) -> Result<view::History, ClientError> {
        self.get_with("/v1/policy/history", &query).await
    }

    /// Makes a new revision with the documents of an old one.
    pub async fn rollback(&self, request: &view::RollbackRequest) -> Result<view::ApplyAnswer, ClientError> {
        self.post_within(request.timeout_ms, "/v1/policy/rollback", request).await
    }

    /// The segments of the latest revision.
    pub async fn segments(&self, query: view::ConsistencyQuery) -> Result<view::Segments, ClientError> {
        self.get_with("/v1/segments", &query).await
    }

    /// Makes the node the first of a new cluster.
    pub async fn init(&self) -> Result<view::ClusterAnswer, ClientError> {
        self.post("/v1/cluster/init", &view::InitRequest {}).await
    }

    /// Lets the node join the cluster of a token.
    pub async fn join(&self, request: &view::JoinRequest) -> Result<view::ClusterAnswer, ClientError> {
        self.post_within(request.timeout_ms, "/v1/cluster/join", request).await
    }

    /// Lets the node, or a member that is gone for good, leave the cluster.
    pub async fn leave(&self, request: &view::LeaveRequest) -> Result<view::Done, ClientError> {
        self.post("/v1/cluster/leave", request).await
    }

    /// Makes a token with which one more node can join.
    pub async fn create_token(&self, request: &view::TokenRequest) -> Result<view::TokenAnswer, ClientError> {
        self.post("/v1/cluster/tokens", request).await
    }

    /// Tells the node's data path to pass everything for a while.
    pub async fn disarm(&self, request: &view::DisarmRequest) -> Result<view::DisarmAnswer, ClientError> {
        self.post("/v1/disarm", request).await
    }

    /// Ends a disarm before its time.
    pub async fn arm(&self) -> Result<view::Done, ClientError> {
        self.post("/v1/arm", &view::ArmRequest {}).await
    }
}
