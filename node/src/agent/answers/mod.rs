//! What the API asks, answered by the running node.

mod cluster;
mod explain;
mod failure;
mod flows;
mod metrics;
mod policy;
mod rollout;
mod status;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use raft::Command;

use super::{lead, life::Life, mesh::Mesh, site::now_ms};
use crate::{
    metrics::Metrics,
    peer::{Actor, ApiError, Peer},
    view,
};

/// How long a request may take that does not say so itself.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// How long one try to note an override in the audit log takes.
const NOTE_WITHIN: Duration = Duration::from_secs(60);

/// How long a linearizable read may wait for a quorum.
const READ_WITHIN: Duration = Duration::from_secs(3);

/// The node behind the API.
pub(crate) struct Answers {
    life: Arc<Life>,
    metrics: Arc<Metrics>,
}

impl Answers {
    /// Answers for the node whose life this is.
    #[must_use]
    pub(crate) fn new(life: Arc<Life>, metrics: Arc<Metrics>) -> Self {
        Self { life, metrics }
    }

    /// Notes how long a write took, for the histograms.
    fn measured(&self, answer: &view::ApplyAnswer) {
        if answer.index > 0 {
            self.metrics.committed(Duration::from_millis(answer.committed_ms));
        }
        if let Some(activated_ms) = answer.activated_ms {
            self.metrics.activated(Duration::from_millis(activated_ms));
        }
    }

    /// Has an override on this node noted in the audit log of the cluster (G16), now or as soon as there is a quorum. The
    /// override itself does not wait: it is for the hour in which nothing else works.
    fn note(&self, actor: &Actor, what: &str) {
        let Some(mesh) = self.life.mesh() else { return };
        let proposal = lead::proposal(actor.as_str(), Command::Note { what: format!("{} {what}", mesh.me()) });
        tokio::spawn(async move {
            while let Err(error) = mesh.raft.write(proposal.clone(), NOTE_WITHIN).await {
                tracing::warn!(%error, "an override is not in the audit log of the cluster yet; tried again");
                if matches!(error, raft::WriteError::Stopped { .. } | raft::WriteError::Refused(_)) {
                    return;
                }
            }
        });
    }

    fn mesh(&self) -> Result<Arc<Mesh>, ApiError> {
        let help = "run `hedgerow cluster init` or `hedgerow cluster join TOKEN`, or wait: `hedgerow status --wait 60`";
        self.life.mesh().ok_or_else(|| ApiError::not_ready("this node is not a member of a cluster yet", help))
    }
}

#[async_trait]
impl Peer for Answers {
    async fn status(&self) -> Result<view::Status, ApiError> {
        Ok(status::status(&self.life))
    }

    async fn members(&self) -> Result<view::Members, ApiError> {
        Ok(cluster::members(&*self.mesh()?))
    }

    async fn channels(&self) -> Result<view::Channels, ApiError> {
        Ok(status::channels(&self.life))
    }

    async fn flows(&self, query: view::FlowsQuery) -> Result<view::Flows, ApiError> {
        Ok(flows::flows(&self.life.site, query).await)
    }

    async fn policy_documents(&self, query: view::PolicyQuery) -> Result<view::PolicyDocuments, ApiError> {
        policy::documents(&*self.mesh()?, &query).await
    }

    async fn apply(&self, actor: &Actor, request: view::ApplyRequest) -> Result<view::ApplyAnswer, ApiError> {
        let answer = rollout::apply(&self.life.site, &*self.mesh()?, actor, request).await?;
        self.measured(&answer);
        Ok(answer)
    }

    async fn diff(&self, request: view::DiffRequest) -> Result<view::DiffAnswer, ApiError> {
        policy::diff(&*self.mesh()?, &request).await
    }

    async fn explain(&self, query: view::ExplainQuery) -> Result<view::Explanation, ApiError> {
        explain::explain(&self.life.site, &*self.mesh()?, &query).await
    }

    async fn history(&self, consistency: view::Consistency) -> Result<view::History, ApiError> {
        policy::history(&*self.mesh()?, consistency).await
    }

    async fn rollback(&self, actor: &Actor, request: view::RollbackRequest) -> Result<view::ApplyAnswer, ApiError> {
        let answer = rollout::rollback(&self.life.site, &*self.mesh()?, actor, request).await?;
        self.measured(&answer);
        Ok(answer)
    }

    async fn segments(&self, consistency: view::Consistency) -> Result<view::Segments, ApiError> {
        policy::segments(&*self.mesh()?, consistency).await
    }

    async fn init(&self, actor: &Actor) -> Result<view::ClusterAnswer, ApiError> {
        cluster::init(&self.life, actor).await
    }

    async fn join(&self, actor: &Actor, request: view::JoinRequest) -> Result<view::ClusterAnswer, ApiError> {
        cluster::join(&self.life, actor, &request).await
    }

    async fn leave(&self, actor: &Actor, request: view::LeaveRequest) -> Result<view::Done, ApiError> {
        cluster::leave(&self.life, &self.mesh()?, actor, &request).await
    }

    async fn create_token(&self, actor: &Actor, ttl: Duration) -> Result<view::TokenAnswer, ApiError> {
        cluster::create_token(&*self.mesh()?, actor, ttl).await
    }

    async fn disarm(&self, actor: &Actor, reason: String, duration: Duration) -> Result<view::DisarmAnswer, ApiError> {
        let until_ms = now_ms().saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        let what = format!("disarmed for {} s: {reason}", duration.as_secs());
        let order = view::Disarm { reason, actor: actor.to_string(), until_ms };
        self.life.disarm(order).await.map_err(ApiError::internal)?;
        self.note(actor, &what);
        Ok(view::DisarmAnswer { until_ms })
    }

    async fn arm(&self, actor: &Actor) -> Result<view::Done, ApiError> {
        self.life.arm().await.map_err(ApiError::internal)?;
        self.note(actor, "armed");
        Ok(view::Done { message: "this node enforces again".to_owned() })
    }

    async fn metrics(&self) -> Result<view::MetricsSnapshot, ApiError> {
        metrics::snapshot(&self.life).await
    }
}
