//! Brings a prepared revision to life: every node reports to the leader, the leader decides and proposes.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use identity::NodeId;
use raft::{Command, Proposal, Raft, State};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use transport::Endpoint;

use super::{
    compiled,
    control::{self, Reply, Request},
    coordinator::{Board, Electorate, Preparation, Report, Step, Target},
    enforcement::Enforcement,
    gossip::Gossip,
};

/// How often a report is sent again, for a leader that is new or missed it.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// How often the leader looks at the board when nothing wakes it.
const DECIDE_EVERY: Duration = Duration::from_millis(100);

/// How long one proposal of the leader may take.
const PROPOSE_WITHIN: Duration = Duration::from_secs(2);

/// Who proposes, in the audit log.
const ACTOR: &str = "system:coordinator";

/// The leader's board, and the bell that rings when a report comes in.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    board: Arc<Mutex<Board>>,
    bell: Arc<Notify>,
}

impl Ledger {
    /// Notes a report and wakes the leader's loop.
    pub(crate) fn note(&self, report: Report) {
        self.lock().note(report);
        self.bell.notify_one();
    }

    /// Every report.
    #[must_use]
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.lock().reports()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Board> {
        // Notes are replaced as a whole: a panic elsewhere leaves none half-written.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends this node's reports to whoever leads, until `stop`.
pub(crate) async fn report(
    me: NodeId,
    raft: Raft,
    endpoint: Endpoint,
    ledger: Ledger,
    mut enforcement: watch::Receiver<Enforcement>,
    stop: CancellationToken,
) {
    let mut again = tokio::time::interval(REPORT_EVERY);
    loop {
        tokio::select! {
            changed = enforcement.changed() => if changed.is_err() { return },
            _ = again.tick() => {}
            () = stop.cancelled() => return,
        }
        let report = enforcement.borrow_and_update().report(me);
        match raft.leader() {
            Some(leader) if leader == me => ledger.note(report),
            Some(leader) => {
                if let Err(error) = control::ask(&endpoint, leader, &Request::Report(report)).await {
                    tracing::debug!(%error, "report not delivered; it is sent again");
                }
            }
            None => {}
        }
    }
}

/// Answers a peer's request.
#[must_use]
pub(crate) fn answer(request: Request, me: NodeId, raft: &Raft, ledger: &Ledger) -> Reply {
    if raft.leader() != Some(me) {
        return Reply::NotLeader(raft.leader());
    }
    match request {
        Request::Report(report) => {
            ledger.note(report);
            Reply::Noted
        }
        Request::Board => Reply::Board(ledger.reports()),
    }
}

/// A write of its own, under a request id that nobody else has.
#[must_use]
pub(crate) fn proposal(actor: &str, command: Command) -> Proposal {
    Proposal { request_id: rand::random(), actor: actor.to_owned(), guard_basis: None, command }
}

/// What the leader's loop looks at.
pub(crate) struct Leadership {
    /// This node.
    pub(crate) me: NodeId,
    /// The log.
    pub(crate) raft: Raft,
    /// The reports.
    pub(crate) ledger: Ledger,
    /// Who is alive.
    pub(crate) gossip: Gossip,
    /// This node's own data path.
    pub(crate) enforcement: watch::Receiver<Enforcement>,
}

impl Leadership {
    /// Decides while this node leads, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut states = self.raft.watch();
        let mut tick = tokio::time::interval(DECIDE_EVERY);
        let mut wanted_since: Option<(Target, Instant)> = None;
        loop {
            tokio::select! {
                () = self.ledger.bell.notified() => {}
                _ = tick.tick() => {}
                () = stop.cancelled() => return,
            }
            if self.raft.leader() != Some(self.me) {
                wanted_since = None;
                continue;
            }
            let state = states.borrow_and_update().clone();
            wanted_since = self.wanted(&state).map(|target| match wanted_since {
                Some((before, since)) if before == target => (target, since),
                _ => (target, Instant::now()),
            });
            if let Some((target, since)) = wanted_since {
                self.decide(&state, target, since.elapsed()).await;
            }
        }
    }

    /// What this node prepared of the newest revision, unless it is live already.
    fn wanted(&self, state: &State) -> Option<Target> {
        let revision = compiled::wanted_revision(state);
        if revision == 0 {
            return None;
        }
        let target = match self.enforcement.borrow().preparation.clone()? {
            Preparation::Ready(target) if target.revision == revision => target,
            // The image of a revision that this very node refuses is not known: zeroes stand for it, nobody is ready.
            Preparation::Failed { revision: failed, .. } if failed == revision => {
                Target { revision, image: identity::Digest([0; 32]) }
            }
            _ => return None,
        };
        let live = state.active.as_ref().map(|epoch| Target { revision: epoch.revision, image: epoch.image });
        (live != Some(target)).then_some(target)
    }

    async fn decide(&self, state: &Arc<State>, target: Target, waited: Duration) {
        let step = {
            let electorate = self.electorate(state);
            self.ledger.lock().decide(target, &electorate, waited)
        };
        let command = match step {
            Step::Wait => return,
            Step::Activate(target) => {
                info!(revision = target.revision, image = %target.image.short(), ms = waited.as_millis(), "activating");
                Command::Activate { revision: target.revision, image: target.image }
            }
            // The live revision is not given up because it cannot be prepared once more for other members.
            Step::Abort { revision, .. } if state.active.as_ref().is_some_and(|epoch| epoch.revision == revision) => {
                return;
            }
            Step::Abort { revision, reason } => {
                warn!(revision, reason, "giving the revision up");
                Command::Abort { revision, reason }
            }
        };
        let proposal = proposal(ACTOR, command);
        if let Err(error) = self.raft.write(proposal, PROPOSE_WITHIN).await {
            warn!(%error, "the epoch was not committed; it is tried again");
        }
    }

    fn electorate(&self, state: &State) -> Electorate {
        let enforcing: BTreeSet<NodeId> = compiled::enforcing(state).collect();
        let alive = enforcing.iter().copied().filter(|node| *node == self.me || self.gossip.is_alive(*node)).collect();
        Electorate { enforcing, alive }
    }
}
