//! What the HTTP API asks of the node behind it. The agent implements [`Peer`]; tests put a double in its place.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::view::{self, ErrorBody, ErrorKind, Finding};

/// Who makes a request, for the audit trail (G16): `root`, `uid 1000`, `n3`, `CN=alice`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Actor(String);

impl Actor {
    /// An actor of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The request or its documents are wrong. Nothing changed.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// Where, when documents are what is wrong.
        findings: Vec<Finding>,
        /// What to do.
        help: Option<String>,
    },
    /// The caller may not do this. Nothing changed.
    #[error("{message}")]
    Forbidden {
        /// What is not allowed, and who may.
        message: String,
    },
    /// What was asked for does not exist. Nothing changed.
    #[error("{message}")]
    NotFound {
        /// What does not exist.
        message: String,
        /// What does.
        help: Option<String>,
    },
    /// The state is not the one that the caller expected. Nothing changed.
    #[error("{message}")]
    Conflict {
        /// What was expected and what is.
        message: String,
        /// The latest revision, when a revision was expected.
        revision: Option<u64>,
    },
    /// The request is larger than the limit. Nothing changed.
    #[error("{message}")]
    TooLarge {
        /// The limit.
        message: String,
    },
    /// The node cannot do this in the phase it is in. Nothing changed.
    #[error("{message}")]
    NotReady {
        /// The phase and what it waits for.
        message: String,
        /// What to do.
        help: Option<String>,
    },
    /// No leader or no quorum within reach.
    #[error("{message}")]
    Unavailable {
        /// What is out of reach.
        message: String,
        /// Whether the write may still have been committed, or be committed later.
        may_have_committed: bool,
    },
    /// The deadline passed before the outcome was known.
    #[error("{message}")]
    Deadline {
        /// What was waited for, and how long.
        message: String,
        /// Whether the write may still have been committed, or be committed later.
        may_have_committed: bool,
    },
    /// A fault of this node; the log says more.
    #[error("{message}")]
    Internal {
        /// What went wrong.
        message: String,
    },
}

/// The way on after a request that is too large: what is large in a request is its documents.
const HELP_TOO_LARGE: &str = "nothing changed; apply the documents in parts, a part in each request, without --prune";
/// The way on after a write whose outcome is not known.
const HELP_MAY_HAVE_COMMITTED: &str =
    "it may have been committed: look at `hedgerow policy history`, or send it again with the same request id";
/// The way on after a write that was certainly not committed.
const HELP_NOT_COMMITTED: &str = "nothing was committed; try again when `hedgerow status` says that there is a quorum";

impl ApiError {
    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), findings: Vec::new(), help: None }
    }

    /// The documents are wrong.
    pub fn findings(findings: Vec<Finding>) -> Self {
        let count = findings.len();
        let noun = if count == 1 { "error" } else { "errors" };
        Self::Invalid {
            message: format!("the documents have {count} {noun}; nothing was applied"),
            findings,
            help: None,
        }
    }

    /// The node is in the wrong phase.
    pub fn not_ready(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::NotReady { message: message.into(), help: Some(help.into()) }
    }

    /// A fault of this node.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::Internal { message: message.to_string() }
    }

    /// The sort of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Forbidden { .. } => ErrorKind::Forbidden,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::NotReady { .. } => ErrorKind::NotReady,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Deadline { .. } => ErrorKind::Deadline,
            Self::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// The body of the answer that reports it.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let mut body = ErrorBody {
            kind: self.kind(),
            message: self.to_string(),
            help: None,
            findings: Vec::new(),
            revision: None,
            may_have_committed: None,
            request_id: None,
        };
        match self {
            Self::Invalid { findings, help, .. } => {
                body.findings.clone_from(findings);
                body.help.clone_from(help);
            }
            Self::NotFound { help, .. } | Self::NotReady { help, .. } => body.help.clone_from(help),
            Self::Conflict { revision, .. } => {
                body.revision = *revision;
                body.help = revision.map(|latest| {
                    format!("nothing changed; look at `hedgerow policy diff` and apply again with --expect-revision {latest}")
                });
            }
            Self::Unavailable { may_have_committed, .. } | Self::Deadline { may_have_committed, .. } => {
                body.may_have_committed = Some(*may_have_committed);
                let help = if *may_have_committed { HELP_MAY_HAVE_COMMITTED } else { HELP_NOT_COMMITTED };
                body.help = Some(help.to_owned());
            }
            Self::TooLarge { .. } => body.help = Some(HELP_TOO_LARGE.to_owned()),
            Self::Forbidden { .. } | Self::Internal { .. } => {}
        }
        body
    }
}

/// The node behind the API. Every method is bounded in time by its request or by the node's default deadline.
#[async_trait]
pub trait Peer: Send + Sync + 'static {
    /// What this node says about itself; never waits for another node.
    async fn status(&self) -> Result<view::Status, ApiError>;

    /// The members, as committed and as gossip sees them; never waits for another node.
    async fn members(&self) -> Result<view::Members, ApiError>;

    /// The sync channels that this node's guard keeps open.
    async fn channels(&self) -> Result<view::Channels, ApiError>;

    /// The latest flow events of this node; waits for one at most as long as the query says, which is within bounds.
    async fn flows(&self, query: view::FlowsQuery) -> Result<view::Flows, ApiError>;

    /// The documents of the latest revision.
    async fn policy_documents(&self, query: view::PolicyQuery) -> Result<view::PolicyDocuments, ApiError>;

    /// Adds documents to the policy, or replaces it.
    async fn apply(&self, actor: &Actor, request: view::ApplyRequest) -> Result<view::ApplyAnswer, ApiError>;

    /// What documents would change.
    async fn diff(&self, request: view::DiffRequest) -> Result<view::DiffAnswer, ApiError>;

    /// The verdict on a flow and every step to it, the kernel's own answer too.
    async fn explain(&self, query: view::ExplainQuery) -> Result<view::Explanation, ApiError>;

    /// The revisions that are kept.
    async fn history(&self, consistency: view::Consistency) -> Result<view::History, ApiError>;

    /// Makes a new revision with the documents of an old one.
    async fn rollback(&self, actor: &Actor, request: view::RollbackRequest) -> Result<view::ApplyAnswer, ApiError>;

    /// The segments of the latest revision.
    async fn segments(&self, consistency: view::Consistency) -> Result<view::Segments, ApiError>;

    /// Makes this node the first of a new cluster.
    async fn init(&self, actor: &Actor) -> Result<view::ClusterAnswer, ApiError>;

    /// Lets this node join the cluster of a token.
    async fn join(&self, actor: &Actor, request: view::JoinRequest) -> Result<view::ClusterAnswer, ApiError>;

    /// Lets this node, or a member that is gone for good, leave the cluster.
    async fn leave(&self, actor: &Actor, request: view::LeaveRequest) -> Result<view::Done, ApiError>;

    /// A token with which one more node can join; `ttl` is already within bounds.
    async fn create_token(&self, actor: &Actor, ttl: Duration) -> Result<view::TokenAnswer, ApiError>;

    /// Tells the data path of this node to pass everything for a while; `duration` is already within bounds.
    async fn disarm(&self, actor: &Actor, reason: String, duration: Duration) -> Result<view::DisarmAnswer, ApiError>;

    /// Ends a disarm before its time.
    async fn arm(&self, actor: &Actor) -> Result<view::Done, ApiError>;

    /// The numbers for a scrape; never waits for another node.
    async fn metrics(&self) -> Result<view::MetricsSnapshot, ApiError>;
}

#[cfg(test)]
pub(crate) mod double;
