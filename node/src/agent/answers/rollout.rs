//! From documents to an enforced revision: validate, commit, wait until the members enforce it.

use std::time::{Duration, Instant};

use identity::{Digest, NodeId};
use policy::Document;
use raft::{Command, Outcome, Proposal, Refusal, State, WriteError};

use super::{READ_WITHIN, TIMEOUT_DEFAULT, failure, policy as documents};
use crate::{
    agent::{
        capacity::Capacity,
        channels, compiled,
        control::{self, Reply, Request},
        coordinator::{Preparation, Report},
        mesh::Mesh,
        site::Site,
    },
    peer::{Actor, ApiError},
    view,
};

/// How often the members are asked how far they are.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// What to wait for, and until when.
struct Patience {
    started: Instant,
    deadline: Instant,
    wait: view::Wait,
}

impl Patience {
    fn new(wait: view::Wait, timeout_ms: Option<u64>) -> Self {
        let started = Instant::now();
        let timeout = timeout_ms.map_or(TIMEOUT_DEFAULT, Duration::from_millis);
        Self { started, deadline: started + timeout, wait }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

pub(super) async fn apply(
    site: &Site,
    mesh: &Mesh,
    actor: &Actor,
    request: view::ApplyRequest,
) -> Result<view::ApplyAnswer, ApiError> {
    let patience = Patience::new(request.wait, request.timeout_ms);
    let given = documents::parse(&request.sources)?;
    let request_id = request.request_id.map_or_else(rand::random, |id| id.0);
    loop {
        let judged = judge_apply(site, mesh, &request, &given, request_id, &patience).await?;
        let (guard_basis, changes) = match judged {
            Judged::Unwritten(answer) => return Ok(answer),
            Judged::Write { guard_basis, changes } => (guard_basis, changes),
        };
        let command = Command::Apply {
            documents: given.iter().map(Document::to_json).collect(),
            prune: request.prune,
            expect: request.expect_revision,
            message: request.message.clone(),
        };
        let proposal = Proposal { request_id, actor: actor.to_string(), guard_basis, command };
        if let Some(outcome) = commit(mesh, proposal, &patience).await? {
            return answer(site, mesh, outcome, changes, patience).await;
        }
    }
}

/// What is to become of a request, by the state of the cluster.
enum Judged {
    /// Nothing is to be written.
    Unwritten(view::ApplyAnswer),
    /// These changes are to be written, if the guard that they were judged by, where it matters, is still the same.
    Write { guard_basis: Option<Digest>, changes: Vec<view::Change> },
}

async fn judge_apply(
    site: &Site,
    mesh: &Mesh,
    request: &view::ApplyRequest,
    given: &[Document],
    request_id: u128,
    patience: &Patience,
) -> Result<Judged, ApiError> {
    let base = mesh.raft.read(READ_WITHIN.min(patience.left())).await.map_err(|error| failure::unread(&error))?;
    let is_repeated = !request.dry_run && base.answered(request_id).is_some();
    let (mut guard_basis, mut changes) = (None, Vec::new());
    if !is_repeated {
        expect(&base, request.expect_revision)?;
        let merged = policy::merge(&base.documents, given, request.prune);
        let merged = documents::check(&base, merged).await?;
        guard_basis = check_capacity(site, mesh, &base, &merged)?;
        changes = documents::changes(&base.documents, &merged);
    }
    if request.dry_run || (changes.is_empty() && !is_repeated && !is_given_up(&base)) {
        let outcome = if request.dry_run { view::Applied::DryRun } else { view::Applied::Unchanged };
        return Ok(Judged::Unwritten(unwritten(&base, outcome, changes, patience)));
    }
    Ok(Judged::Write { guard_basis, changes })
}

pub(super) async fn rollback(
    site: &Site,
    mesh: &Mesh,
    actor: &Actor,
    request: view::RollbackRequest,
) -> Result<view::ApplyAnswer, ApiError> {
    let patience = Patience::new(request.wait, request.timeout_ms);
    let request_id = request.request_id.map_or_else(rand::random, |id| id.0);
    loop {
        let base = mesh.raft.read(READ_WITHIN.min(patience.left())).await.map_err(|error| failure::unread(&error))?;
        let (mut guard_basis, mut changes) = (None, Vec::new());
        if base.answered(request_id).is_none() {
            expect(&base, request.expect_revision)?;
            // What is not there the log refuses. What fitted once may not fit any more: there may be more members.
            let target = compiled::documents(&base, request.to).unwrap_or_default();
            let target = documents::check(&base, target).await?;
            guard_basis = check_capacity(site, mesh, &base, &target)?;
            changes = documents::changes(&base.documents, &target);
        }
        let message = request.message.clone();
        let command = Command::Rollback { to: request.to, expect: request.expect_revision, message };
        let proposal = Proposal { request_id, actor: actor.to_string(), guard_basis, command };
        if let Some(outcome) = commit(mesh, proposal, &patience).await? {
            return answer(site, mesh, outcome, changes, patience).await;
        }
    }
}

/// Whether the newest revision was refused: to apply the same again is to try again.
fn is_given_up(state: &State) -> bool {
    state.aborted.as_ref().is_some_and(|aborted| aborted.revision == state.revision())
}

fn expect(state: &State, expected: Option<u64>) -> Result<(), ApiError> {
    let latest = state.revision();
    match expected {
        Some(expected) if expected != latest => Err(ApiError::Conflict {
            message: format!("revision {expected} was expected, but the latest is {latest}"),
            revision: Some(latest),
        }),
        _ => Ok(()),
    }
}

/// Refuses channels that the guard of this node has no room for. What it was judged by, if there are other channels than
/// the live ones.
fn check_capacity(site: &Site, mesh: &Mesh, base: &State, documents: &[Document]) -> Result<Option<Digest>, ApiError> {
    let in_force = mesh.enforcement.borrow().guard.clone();
    let fits = Capacity::new(site, mesh, base, &in_force).for_documents(documents);
    fits.map_err(|finding| documents::findings(&policy::Diagnostics(vec![finding])))?;
    let live = channels::live(base);
    let asks_for_more = channels::of(documents).any(|channel| !live.contains(&channel));
    Ok(asks_for_more.then(|| base.guard_basis()))
}

fn unwritten(
    base: &State,
    outcome: view::Applied,
    changes: Vec<view::Change>,
    patience: &Patience,
) -> view::ApplyAnswer {
    view::ApplyAnswer {
        revision: base.revision(),
        index: 0,
        digest: policy::content_digest(&base.documents),
        outcome,
        changes,
        committed_ms: patience.elapsed_ms(),
        activated_ms: None,
        nodes: Vec::new(),
    }
}

/// Commits; nothing if it has to be judged again, for members or channels have changed since.
async fn commit(mesh: &Mesh, proposal: Proposal, patience: &Patience) -> Result<Option<Outcome>, ApiError> {
    match mesh.raft.write(proposal, patience.left()).await {
        Err(WriteError::Refused(Refusal::GuardMoved)) if !patience.left().is_zero() => Ok(None),
        written => Ok(Some(written.map_err(failure::write)?)),
    }
}

async fn answer(
    site: &Site,
    mesh: &Mesh,
    outcome: Outcome,
    changes: Vec<view::Change>,
    patience: Patience,
) -> Result<view::ApplyAnswer, ApiError> {
    let Outcome { index, revision: Some(revision), digest: Some(digest), .. } = outcome else {
        return Err(ApiError::internal("the log answered a policy write without a revision"));
    };
    let committed_ms = patience.elapsed_ms();
    let progress = follow(site, mesh, revision, &patience).await;
    Ok(view::ApplyAnswer {
        revision,
        index,
        digest,
        outcome: progress.outcome,
        changes,
        committed_ms,
        activated_ms: (progress.outcome == view::Applied::Active).then(|| patience.elapsed_ms()),
        nodes: progress.nodes,
    })
}

struct Progress {
    outcome: view::Applied,
    nodes: Vec<view::NodeState>,
}

/// Waits until enough members enforce `revision`, one of them refused it, or the deadline passed.
async fn follow(site: &Site, mesh: &Mesh, revision: u64, patience: &Patience) -> Progress {
    let mut last = Progress { outcome: view::Applied::Committed, nodes: Vec::new() };
    if patience.wait == view::Wait::None {
        return last;
    }
    loop {
        let (state, _) = mesh.raft.local();
        if let Some(reports) = board(site, mesh).await {
            last.nodes = node_states(mesh, &state, &reports, revision);
        }
        if state.aborted.as_ref().is_some_and(|aborted| aborted.revision == revision) {
            return Progress { outcome: view::Applied::Rejected, ..last };
        }
        if is_done(&last.nodes, patience.wait) {
            return Progress { outcome: view::Applied::Active, ..last };
        }
        if Instant::now() >= patience.deadline {
            return last;
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// What the leader knows of all nodes.
async fn board(site: &Site, mesh: &Mesh) -> Option<Vec<Report>> {
    let leader = mesh.raft.leader()?;
    if leader == mesh.me() {
        return Some(mesh.ledger.reports());
    }
    match control::ask(&site.endpoint, leader, &Request::Board).await {
        Ok(Reply::Board(reports)) => Some(reports),
        _ => None,
    }
}

fn is_done(nodes: &[view::NodeState], wait: view::Wait) -> bool {
    let active = nodes.iter().filter(|node| node.state == view::NodeStateKind::Active).count();
    let down = nodes.iter().filter(|node| node.state == view::NodeStateKind::Down).count();
    match wait {
        view::Wait::None => true,
        view::Wait::Quorum => 2 * active > nodes.len(),
        view::Wait::All => active > 0 && active + down == nodes.len(),
    }
}

fn node_states(mesh: &Mesh, state: &State, reports: &[Report], revision: u64) -> Vec<view::NodeState> {
    let enforcing = compiled::enforcing(state);
    enforcing
        .map(|node| node_state(mesh, state, reports.iter().find(|report| report.node == node), node, revision))
        .collect()
}

fn node_state(mesh: &Mesh, state: &State, report: Option<&Report>, node: NodeId, revision: u64) -> view::NodeState {
    let name = state.members.get(&node).map(|member| member.name.clone()).unwrap_or_default();
    let mut told = view::NodeState { node, name, state: view::NodeStateKind::Waiting, digest: None, reason: None };
    if node != mesh.me() && !mesh.gossip.is_alive(node) {
        told.state = view::NodeStateKind::Down;
        return told;
    }
    let Some(report) = report else { return told };
    if let Some(active) = report.active.filter(|active| active.revision >= revision) {
        told.state = view::NodeStateKind::Active;
        told.digest = Some(active.image);
        return told;
    }
    match &report.preparation {
        Some(Preparation::Ready(target)) if target.revision == revision => {
            told.state = view::NodeStateKind::Ready;
            told.digest = Some(target.image);
        }
        Some(Preparation::Failed { revision: failed, reason }) if *failed == revision => {
            told.state = view::NodeStateKind::Failed;
            told.reason = Some(reason.clone());
        }
        _ => {}
    }
    told
}
