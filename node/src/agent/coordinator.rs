//! When does a prepared revision go live? Judged on the leader from what the nodes reported; pure, time is an argument.
//!
//! A revision is prepared and proven on every living node and only then activated as one epoch. A node that is down does
//! not hold the others up for ever: after [`READY_WAIT_MAX`] a majority of the enforcing members is enough, and the
//! others activate when they are back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use identity::{Digest, NodeId};
use serde::{Deserialize, Serialize};

/// How long living nodes may take to prepare before a majority decides without them.
pub(crate) const READY_WAIT_MAX: Duration = Duration::from_secs(3);

/// A revision compiled for the members of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// The committed revision.
    pub(crate) revision: u64,
    /// The digest of the image that it compiles to.
    pub(crate) image: Digest,
}

/// What preparing a target came to on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Preparation {
    /// Loaded into the idle half, read back, digests equal, every proof obligation met.
    Ready(Target),
    /// Refused; the node goes on enforcing what it had.
    Failed {
        /// The revision that was refused.
        revision: u64,
        /// Why, as a sentence.
        reason: String,
    },
}

/// What a node last told the leader of its data path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Who reports.
    pub(crate) node: NodeId,
    /// The latest preparation, if there was one since the start.
    pub(crate) preparation: Option<Preparation>,
    /// What its kernel enforces now.
    pub(crate) active: Option<Target>,
}

/// What the leader should propose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing yet.
    Wait,
    /// Make the target live everywhere.
    Activate(Target),
    /// Give the revision up; what was live stays.
    Abort {
        /// The revision.
        revision: u64,
        /// Who refused it, and why.
        reason: String,
    },
}

/// The members whose preparation counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Electorate {
    /// Every committed member that enforces (witnesses do not).
    pub(crate) enforcing: BTreeSet<NodeId>,
    /// Those of them that gossip holds for alive.
    pub(crate) alive: BTreeSet<NodeId>,
}

/// The reports of all nodes, by node.
#[derive(Debug, Default)]
pub(crate) struct Board {
    reports: BTreeMap<NodeId, Report>,
}

impl Board {
    /// Notes a report; a later one of the same node replaces it.
    pub(crate) fn note(&mut self, report: Report) {
        self.reports.insert(report.node, report);
    }

    /// Every report, in the order of the nodes.
    #[must_use]
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.reports.values().cloned().collect()
    }

    /// Decides about `wanted`, which has been wanted for `waited`.
    #[must_use]
    pub(crate) fn decide(&self, wanted: Target, electorate: &Electorate, waited: Duration) -> Step {
        if let Some(step) = self.refusal(wanted, electorate) {
            return step;
        }
        let ready = |node: &&NodeId| self.is_ready(**node, wanted);
        let everyone = !electorate.alive.is_empty() && electorate.alive.iter().all(|node| ready(&node));
        let majority = 2 * electorate.enforcing.iter().filter(ready).count() > electorate.enforcing.len();
        if majority && (everyone || waited >= READY_WAIT_MAX) {
            return Step::Activate(wanted);
        }
        Step::Wait
    }

    fn is_ready(&self, node: NodeId, wanted: Target) -> bool {
        self.reports.get(&node).is_some_and(|report| report.preparation == Some(Preparation::Ready(wanted)))
    }

    fn refusal(&self, wanted: Target, electorate: &Electorate) -> Option<Step> {
        electorate.alive.iter().find_map(|node| match &self.reports.get(node)?.preparation {
            Some(Preparation::Failed { revision, reason }) if *revision == wanted.revision => {
                Some(Step::Abort { revision: *revision, reason: format!("{node} refused it: {reason}") })
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u64) -> NodeId {
        NodeId::new(number).unwrap()
    }

    fn target(revision: u64) -> Target {
        Target { revision, image: Digest([u8::try_from(revision).unwrap(); 32]) }
    }

    fn ready(number: u64, revision: u64) -> Report {
        Report { node: node(number), preparation: Some(Preparation::Ready(target(revision))), active: None }
    }

    fn three(alive: &[u64]) -> Electorate {
        Electorate { enforcing: (1..=3).map(node).collect(), alive: alive.iter().copied().map(node).collect() }
    }

    fn board(reports: impl IntoIterator<Item = Report>) -> Board {
        let mut board = Board::default();
        reports.into_iter().for_each(|report| board.note(report));
        board
    }

    #[test]
    fn all_living_nodes_ready_activates_at_once() {
        let board = board([ready(1, 5), ready(2, 5), ready(3, 5)]);
        assert_eq!(board.decide(target(5), &three(&[1, 2, 3]), Duration::ZERO), Step::Activate(target(5)));
    }

    #[test]
    fn a_dead_node_is_not_waited_for() {
        let board = board([ready(1, 5), ready(2, 5)]);
        assert_eq!(board.decide(target(5), &three(&[1, 2]), Duration::ZERO), Step::Activate(target(5)));
    }

    #[test]
    fn a_slow_node_is_waited_for_until_the_limit() {
        let board = board([ready(1, 5), ready(2, 5), ready(3, 4)]);
        let electorate = three(&[1, 2, 3]);
        assert_eq!(board.decide(target(5), &electorate, Duration::ZERO), Step::Wait);
        assert_eq!(board.decide(target(5), &electorate, READY_WAIT_MAX), Step::Activate(target(5)));
    }

    #[test]
    fn a_minority_never_activates() {
        let board = board([ready(1, 5)]);
        assert_eq!(board.decide(target(5), &three(&[1]), READY_WAIT_MAX), Step::Wait);
    }

    #[test]
    fn g0_one_failed_proof_aborts_the_revision() {
        let failed = Report {
            node: node(2),
            preparation: Some(Preparation::Failed { revision: 5, reason: "VRRP would be dropped".to_owned() }),
            active: None,
        };
        let board = board([ready(1, 5), ready(3, 5), failed]);
        let expected = Step::Abort { revision: 5, reason: "n2 refused it: VRRP would be dropped".to_owned() };
        assert_eq!(board.decide(target(5), &three(&[1, 2, 3]), Duration::ZERO), expected);
        assert_eq!(board.decide(target(6), &three(&[1, 2, 3]), Duration::ZERO), Step::Wait);
    }

    #[test]
    fn g5_another_image_of_the_same_revision_does_not_count() {
        let mut other = ready(3, 5);
        other.preparation = Some(Preparation::Ready(Target { revision: 5, image: Digest([99; 32]) }));
        let board = board([ready(1, 5), ready(2, 5), other]);
        assert_eq!(board.decide(target(5), &three(&[1, 2, 3]), Duration::ZERO), Step::Wait);
    }
}
