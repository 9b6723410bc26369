//! What peers ask one another outside Raft: one request and one answer on a stream of its own.

use std::time::Duration;

use identity::NodeId;
use serde::{Deserialize, Serialize};
use transport::{Endpoint, StreamKind};

use super::coordinator::Report;

/// How long a peer may take to answer.
pub(crate) const CONTROL_TIMEOUT: Duration = Duration::from_secs(2);

/// A request to a peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    /// To the leader: what my data path prepared and enforces.
    Report(Report),
    /// To the leader: what do all nodes enforce?
    Board,
}

/// A peer's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The report is noted.
    Noted,
    /// Every report that the leader has.
    Board(Vec<Report>),
    /// The peer asked is not the leader; ask this one, if it knows one.
    NotLeader(Option<NodeId>),
}

/// Why a peer gave no answer. The request may have been acted on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// The peer cannot be reached or hung up.
    #[error("cannot ask {node}: {reason}")]
    Unreachable {
        /// The peer.
        node: NodeId,
        /// What the transport said.
        reason: String,
    },
    /// No answer in time.
    #[error("{node} did not answer within {} ms", CONTROL_TIMEOUT.as_millis())]
    TimedOut {
        /// The peer.
        node: NodeId,
    },
}

/// Asks `node` and waits for its answer, at most [`CONTROL_TIMEOUT`].
///
/// # Errors
/// The peer cannot be reached, hung up, or did not answer in time.
pub(crate) async fn ask(endpoint: &Endpoint, node: NodeId, request: &Request) -> Result<Reply, ControlError> {
    let asked = tokio::time::timeout(CONTROL_TIMEOUT, exchange(endpoint, node, request)).await;
    asked.map_err(|_| ControlError::TimedOut { node })?
}

async fn exchange(endpoint: &Endpoint, node: NodeId, request: &Request) -> Result<Reply, ControlError> {
    let unreachable = |reason: String| ControlError::Unreachable { node, reason };
    let opened = endpoint.open(node, StreamKind::Control).await;
    let (mut sender, mut receiver) = opened.map_err(|error| unreachable(error.to_string()))?;
    sender.send_msg(request).await.map_err(|error| unreachable(error.to_string()))?;
    let answer = receiver.recv_msg().await.map_err(|error| unreachable(error.to_string()))?;
    answer.ok_or_else(|| unreachable("it hung up without an answer".to_owned()))
}
