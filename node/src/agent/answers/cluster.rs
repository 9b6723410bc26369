//! Members, and the ways in and out of a cluster.

use std::{sync::Arc, time::Duration};

use identity::{MemberRecord, NodeId};
use membership::MemberState;
use raft::{Command, State, TokenRecord};
use transport::{Authority, JoinToken};

use super::{READ_WITHIN, TIMEOUT_DEFAULT, failure};
use crate::{
    agent::{
        founding, joining, lead,
        life::{Life, Stage},
        mesh::Mesh,
        site::now_ms,
    },
    peer::{Actor, ApiError},
    view,
};

/// How long founding or joining waits for another way of the same node to end.
const PASSAGE_WITHIN: Duration = Duration::from_secs(3);

/// How long a node that leaves waits for the others to go on without its vote.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

const BUSY: &str = "this node is forming, joining or leaving already";

pub(super) fn members(mesh: &Mesh) -> view::Members {
    let (state, _) = mesh.raft.local();
    let metrics = mesh.raft.metrics();
    let gossiped = mesh.gossip.members();
    let member = |record: &MemberRecord| {
        let seen = gossiped.iter().find(|member| member.node == record.node);
        let me = record.node == mesh.me();
        let told = seen.map(|member| &member.meta).filter(|meta| !meta.version.is_empty());
        view::Member {
            node: record.node,
            name: record.name.clone(),
            endpoint: record.endpoint,
            api: record.api,
            state: if me { view::MemberState::Alive } else { state_of(seen.map(|member| member.state)) },
            voter: metrics.voters.contains(&record.node),
            leader: metrics.leader == Some(record.node),
            witness: record.witness,
            me,
            version: told.map(|meta| meta.version.clone()),
            attested: told.and_then(|meta| meta.attested).map(attested),
            applied_index: told.map(|meta| meta.applied_index),
            disarmed: told.is_some_and(|meta| meta.disarmed),
            addresses: record
                .addresses
                .iter()
                .map(|one| view::MemberAddress { role: one.role, addr: one.addr })
                .collect(),
        }
    };
    view::Members { members: state.members.values().map(member).collect() }
}

fn attested(attested: membership::Attested) -> view::Attested {
    view::Attested { revision: attested.revision, generation: attested.generation, digest: attested.digest }
}

fn state_of(state: Option<MemberState>) -> view::MemberState {
    match state {
        Some(MemberState::Alive) => view::MemberState::Alive,
        Some(MemberState::Suspect) => view::MemberState::Suspect,
        Some(MemberState::Down) => view::MemberState::Down,
        Some(MemberState::Left) => view::MemberState::Left,
        None => view::MemberState::Unknown,
    }
}

pub(super) async fn init(life: &Arc<Life>, actor: &Actor) -> Result<view::ClusterAnswer, ApiError> {
    let _passage = alone(life).await?;
    tracing::info!(%actor, "founding a cluster");
    let mesh = founding::found_alone(&life.site).await.map_err(ApiError::internal)?;
    life.enter(Stage::Running(mesh.clone()));
    if !mesh.founded(TIMEOUT_DEFAULT).await {
        return Err(ApiError::Deadline {
            message: "the cluster is minted, but its first entry is not written yet; look at `hedgerow status`"
                .to_owned(),
            may_have_committed: true,
        });
    }
    Ok(view::ClusterAnswer { cluster: mesh.name.cluster, node: mesh.me() })
}

pub(super) async fn join(
    life: &Arc<Life>,
    actor: &Actor,
    request: &view::JoinRequest,
) -> Result<view::ClusterAnswer, ApiError> {
    let _passage = alone(life).await?;
    let token: JoinToken =
        request.token.trim().parse().map_err(|error: transport::TokenError| ApiError::invalid(error.to_string()))?;
    tracing::info!(%actor, cluster = %token.cluster, "joining");
    life.enter(Stage::Joining);
    let timeout = request.timeout_ms.map_or(TIMEOUT_DEFAULT, Duration::from_millis);
    match joining::join(&life.site, &token, timeout).await {
        Ok(mesh) => {
            life.enter(Stage::Running(mesh.clone()));
            Ok(view::ClusterAnswer { cluster: mesh.name.cluster, node: mesh.me() })
        }
        Err(error) => {
            life.enter(Stage::Alone);
            Err(joining_failed(&error))
        }
    }
}

fn joining_failed(error: &joining::JoinError) -> ApiError {
    match error {
        joining::JoinError::Refused(_) | joining::JoinError::Foreign { .. } | joining::JoinError::Expired => {
            ApiError::Forbidden { message: error.to_string() }
        }
        joining::JoinError::Unreachable { .. } => {
            ApiError::not_ready(error.to_string(), "join again with the same token: it admits this node once")
        }
        _ => ApiError::internal(error),
    }
}

/// The right to found or join, if the node is alone and nobody else is at it.
async fn alone(life: &Life) -> Result<tokio::sync::MutexGuard<'_, ()>, ApiError> {
    check_alone(&life.stage())?;
    // An agent that has just started is still looking whether it is a member.
    let passage = tokio::time::timeout(PASSAGE_WITHIN, life.passage.lock()).await;
    check_alone(&life.stage())?;
    passage.map_err(|_| conflict(BUSY.to_owned()))
}

fn check_alone(stage: &Stage) -> Result<(), ApiError> {
    match stage {
        Stage::Alone => Ok(()),
        Stage::Running(mesh) => Err(conflict(format!(
            "this node is {} of cluster {} already; let it leave first",
            mesh.me(),
            mesh.name.cluster
        ))),
        Stage::Forming(waits) => Err(conflict(format!(
            "this node takes part in a zero-touch forming ({waits}); remove `expect` from its configuration first"
        ))),
        Stage::Joining | Stage::Left(_) => Err(conflict(BUSY.to_owned())),
    }
}

fn conflict(message: String) -> ApiError {
    ApiError::Conflict { message, revision: None }
}

pub(super) async fn leave(
    life: &Arc<Life>,
    mesh: &Arc<Mesh>,
    actor: &Actor,
    request: &view::LeaveRequest,
) -> Result<view::Done, ApiError> {
    let node = request.node.unwrap_or_else(|| mesh.me());
    refuse_to_lose_quorum(mesh, node)?;
    let proposal = lead::proposal(actor.as_str(), Command::RemoveMember { node });
    mesh.raft.write(proposal, TIMEOUT_DEFAULT).await.map_err(failure::write)?;
    if node != mesh.me() {
        return Ok(view::Done { message: format!("{node} is removed; its key opens nothing any more") });
    }
    mesh.until_without_vote(LEAVE_WITHIN).await;
    mesh.gossip.leave().await;
    life.enter(Stage::Left(mesh.clone()));
    Ok(view::Done { message: format!("{node} has left; its agent takes the data path off its interfaces and ends") })
}

/// A member that is alive must not be removed while the others could not go on without it.
fn refuse_to_lose_quorum(mesh: &Mesh, node: NodeId) -> Result<(), ApiError> {
    let voters = mesh.raft.metrics().voters;
    let remaining: Vec<_> = voters.iter().filter(|voter| **voter != node).collect();
    let alive = remaining.iter().filter(|voter| ***voter == mesh.me() || mesh.gossip.is_alive(***voter)).count();
    if !remaining.is_empty() && 2 * alive <= remaining.len() {
        let of = remaining.len();
        return Err(conflict(format!("without {node} only {alive} of {of} voters would be alive: no quorum")));
    }
    Ok(())
}

pub(super) async fn create_token(mesh: &Mesh, actor: &Actor, ttl: Duration) -> Result<view::TokenAnswer, ApiError> {
    let state = mesh.raft.read(READ_WITHIN).await.map_err(|error| failure::unread(&error))?;
    let token = fresh_token(mesh, &state, ttl)?;
    let record =
        TokenRecord { id: token.id, secret_hash: token.secret_hash(), expires_ms: token.expires_ms, used_by: None };
    let proposal = lead::proposal(actor.as_str(), Command::CreateToken(record));
    mesh.raft.write(proposal, TIMEOUT_DEFAULT).await.map_err(failure::write)?;
    Ok(view::TokenAnswer { token: token.to_string(), expires_at_ms: token.expires_ms })
}

/// Members that a token names, this node first.
const TOKEN_SEEDS_MAX: usize = 5;

fn fresh_token(mesh: &Mesh, state: &State, ttl: Duration) -> Result<JoinToken, ApiError> {
    let authority = Authority::from_pem(&state.ca_pem).map_err(ApiError::internal)?;
    let mut records: Vec<_> = state.members.values().collect();
    records.sort_by_key(|record| record.node != mesh.me());
    Ok(JoinToken {
        cluster: mesh.name.cluster,
        ca: authority.spki_hash(),
        id: rand::random(),
        secret: rand::random(),
        expires_ms: now_ms().saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        seeds: records.iter().take(TOKEN_SEEDS_MAX).map(|record| record.endpoint).collect(),
    })
}
