//! From documents to an enforced revision: validate, commit, wait until the members enforce it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

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

/// A write of policy: what it is judged by, and who waits for it.
struct Write<'a> {
    site: &'a Site,
    mesh: &'a Mesh,
    actor: &'a Actor,
    request_id: u128,
    expect: Option<u64>,
    patience: Patience,
}

/// What a write would change, and by which guard that was judged, where it matters.
#[derive(Default)]
struct Judged {
    guard_basis: Option<Digest>,
    changes: Vec<view::Change>,
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
    let write = Write { site, mesh, actor, request_id, expect: request.expect_revision, patience };
    let command = Command::Apply {
        documents: given.iter().map(Document::to_json).collect(),
        prune: request.prune,
        expect: request.expect_revision,
        message: request.message,
    };
    loop {
        let base = write.base().await?;
        let is_repeated = !request.dry_run && write.is_answered(&base);
        let judged = if is_repeated {
            Judged::default()
        } else {
            write.judge(&base, policy::merge(&base.documents, &given, request.prune)).await?
        };
        if request.dry_run {
            return Ok(unwritten(&base, view::Applied::DryRun, judged.changes, &write.patience));
        }
        if judged.changes.is_empty() && !is_repeated && !is_given_up(&base) {
            return Ok(unwritten(&base, view::Applied::Unchanged, judged.changes, &write.patience));
        }
        if let Some(answer) = write.commit(command.clone(), judged).await? {
            return Ok(answer);
        }
    }
}

pub(super) async fn rollback(
    site: &Site,
    mesh: &Mesh,
    actor: &Actor,
    request: view::RollbackRequest,
) -> Result<view::ApplyAnswer, ApiError> {
    let patience = Patience::new(request.wait, request.timeout_ms);
    let request_id = request.request_id.map_or_else(rand::random, |id| id.0);
    let write = Write { site, mesh, actor, request_id, expect: request.expect_revision, patience };
    let command = Command::Rollback { to: request.to, expect: request.expect_revision, message: request.message };
    loop {
        let base = write.base().await?;
        let judged = if write.is_answered(&base) {
            Judged::default()
        } else {
            // What is not there the log refuses. What fitted once may not fit any more: there may be more members.
            write.judge(&base, compiled::documents(&base, request.to).unwrap_or_default()).await?
        };
        if let Some(answer) = write.commit(command.clone(), judged).await? {
            return Ok(answer);
        }
    }
}

impl Write<'_> {
    /// What it is judged by.
    async fn base(&self) -> Result<Arc<State>, ApiError> {
        let within = READ_WITHIN.min(self.patience.left());
        self.mesh.raft.read(within).await.map_err(|error| failure::unread(&error))
    }

    /// Whether the same write was made before.
    fn is_answered(&self, base: &State) -> bool {
        base.answered(self.request_id).is_some()
    }

    /// Judges the documents that there are to be.
    async fn judge(&self, base: &State, wanted: Vec<Document>) -> Result<Judged, ApiError> {
        expect(base, self.expect)?;
        let wanted = documents::check(base, wanted).await?;
        self.check_capacity(base, &wanted)?;
        // Who joins is judged by the channels of its moment; so these are to be judged by the members of theirs.
        let guard_basis = channels::of(&wanted).next().map(|_| base.guard_basis());
        Ok(Judged { guard_basis, changes: documents::changes(&base.documents, &wanted) })
    }

    /// Refuses channels that the guard of this node has no room for.
    fn check_capacity(&self, base: &State, documents: &[Document]) -> Result<(), ApiError> {
        let in_force = self.mesh.enforcement.borrow().guard.clone();
        let fits = Capacity::new(self.site, self.mesh, base, &in_force).for_documents(documents);
        fits.map_err(|finding| documents::findings(&policy::Diagnostics(vec![finding])))
    }

    /// Commits and waits; nothing if it has to be judged again, for members or channels have changed since.
    async fn commit(&self, command: Command, judged: Judged) -> Result<Option<view::ApplyAnswer>, ApiError> {
        let Judged { guard_basis, changes } = judged;
        let (request_id, actor) = (self.request_id, self.actor.to_string());
        let proposal = Proposal { request_id, actor, guard_basis, command };
        match self.mesh.raft.write(proposal, self.patience.left()).await {
            Err(WriteError::Refused(Refusal::GuardMoved)) if !self.patience.left().is_zero() => Ok(None),
            written => self.answer(written.map_err(failure::write)?, changes).await.map(Some),
        }
    }

    async fn answer(&self, outcome: Outcome, changes: Vec<view::Change>) -> Result<view::ApplyAnswer, ApiError> {
        let Outcome { index, revision: Some(revision), digest: Some(digest), .. } = outcome else {
            return Err(ApiError::internal("the log answered a policy write without a revision"));
        };
        let committed_ms = self.patience.elapsed_ms();
        let progress = follow(self.site, self.mesh, revision, &self.patience).await;
        Ok(view::ApplyAnswer {
            revision,
            index,
            digest,
            outcome: progress.outcome,
            changes,
            committed_ms,
            activated_ms: (progress.outcome == view::Applied::Active).then(|| self.patience.elapsed_ms()),
            nodes: progress.nodes,
        })
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
