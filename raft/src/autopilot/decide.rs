//! The decision: a pure function of what the leader sees.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use identity::NodeId;

use crate::config::{AutopilotConfig, VOTERS_MAX};

/// What the leader sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub me: Option<NodeId>,
    /// Who should be in the configuration.
    pub members: BTreeSet<NodeId>,
    /// Members that vote and do not want to lead.
    pub witnesses: BTreeSet<NodeId>,
    pub voters: BTreeSet<NodeId>,
    pub learners: BTreeSet<NodeId>,
    /// A change of the voters was begun and not finished: its leader went away half-way.
    pub is_joint: bool,
    /// Members that keep up, and for how long.
    pub stable_for: BTreeMap<NodeId, Duration>,
    /// How long members have been silent.
    pub silent_for: BTreeMap<NodeId, Duration>,
}

/// One step towards the configuration that should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    AddLearner(NodeId),
    AddVoter(NodeId),
    RemoveVoter(NodeId),
    RemoveLearner(NodeId),
    Replace {
        voter: NodeId,
        by: NodeId,
    },
    /// Finishes the change that is under way: these voters.
    Settle(BTreeSet<NodeId>),
    /// Lets another lead.
    HandOver(NodeId),
}

impl Seen {
    /// Keeps up, has done so for a while, and was heard of lately.
    fn is_healthy(&self, node: NodeId, config: &AutopilotConfig) -> bool {
        let recent = config.stable_for.max(Duration::from_secs(1));
        self.stable_for.get(&node).is_some_and(|stable| *stable >= config.stable_for)
            && self.silent_for.get(&node).is_none_or(|silent| *silent < recent)
    }
}

/// Voters for so many members: all of up to three, then an odd number.
fn wanted_voters(members: usize) -> usize {
    match members {
        0..=3 => members,
        4 => 3,
        _ => VOTERS_MAX,
    }
}

/// The next step, if one is due. First come the members that must be known, then the votes, then who leads.
pub(super) fn decide(seen: &Seen, config: &AutopilotConfig) -> Option<Change> {
    if seen.is_joint {
        return Some(Change::Settle(seen.voters.clone()));
    }
    let known: BTreeSet<NodeId> = seen.voters.union(&seen.learners).copied().collect();
    if let Some(new) = seen.members.difference(&known).next() {
        return Some(Change::AddLearner(*new));
    }
    let candidate = seen.learners.intersection(&seen.members).copied().find(|node| seen.is_healthy(*node, config));
    removal(seen, candidate).or_else(|| promotion(seen, candidate, config)).or_else(|| succession(seen, config))
}

/// Members that were removed leave, and leave no gap where a learner can fill it.
fn removal(seen: &Seen, candidate: Option<NodeId>) -> Option<Change> {
    let removed = seen.voters.difference(&seen.members).next().copied();
    let wanted = wanted_voters(seen.members.len());
    match (removed, candidate) {
        (Some(voter), Some(by)) if seen.voters.len() <= wanted => Some(Change::Replace { voter, by }),
        (Some(voter), _) if seen.voters.len() > 1 => Some(Change::RemoveVoter(voter)),
        _ => seen.learners.difference(&seen.members).next().copied().map(Change::RemoveLearner),
    }
}

/// A healthy learner votes where a voter is wanted, or where one has been silent for long.
fn promotion(seen: &Seen, candidate: Option<NodeId>, config: &AutopilotConfig) -> Option<Change> {
    let candidate = candidate?;
    if seen.voters.len() < wanted_voters(seen.members.len()) {
        return Some(Change::AddVoter(candidate));
    }
    let is_silent = |node: &&NodeId| {
        Some(**node) != seen.me && seen.silent_for.get(node).is_some_and(|silent| *silent >= config.replace_after)
    };
    // One in, one out: the number of voters never falls because somebody is silent.
    seen.voters.iter().find(is_silent).map(|voter| Change::Replace { voter: *voter, by: candidate })
}

/// A witness that leads lets another lead.
fn succession(seen: &Seen, config: &AutopilotConfig) -> Option<Change> {
    seen.me.filter(|me| seen.witnesses.contains(me))?;
    let mut others = seen.voters.difference(&seen.witnesses).copied();
    others.find(|node| seen.is_healthy(*node, config)).map(Change::HandOver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u64]) -> BTreeSet<NodeId> {
        numbers.iter().map(|number| NodeId::new(*number).unwrap()).collect()
    }

    fn n(number: u64) -> NodeId {
        NodeId::new(number).unwrap()
    }

    /// A cluster in which everybody is healthy.
    fn seen(members: &[u64], voters: &[u64], learners: &[u64]) -> Seen {
        let long = Duration::from_secs(60);
        let known = || ids(voters).into_iter().chain(ids(learners));
        Seen {
            me: Some(n(voters[0])),
            members: ids(members),
            voters: ids(voters),
            learners: ids(learners),
            stable_for: known().map(|node| (node, long)).collect(),
            silent_for: known().map(|node| (node, Duration::ZERO)).collect(),
            ..Seen::default()
        }
    }

    fn decided(seen: &Seen) -> Option<Change> {
        decide(seen, &AutopilotConfig::default())
    }

    #[test]
    fn a_member_becomes_a_learner_and_then_a_voter() {
        assert_eq!(decided(&seen(&[1, 2, 3], &[1, 2], &[])), Some(Change::AddLearner(n(3))));
        assert_eq!(decided(&seen(&[1, 2, 3], &[1, 2], &[3])), Some(Change::AddVoter(n(3))));
        assert_eq!(decided(&seen(&[1, 2, 3], &[1, 2, 3], &[])), None);
    }

    #[test]
    fn an_unstable_learner_waits() {
        let mut seen = seen(&[1, 2, 3], &[1, 2], &[3]);
        seen.stable_for.insert(n(3), Duration::from_millis(1));
        assert_eq!(decided(&seen), None);
    }

    #[test]
    fn four_members_have_three_voters_and_six_have_five() {
        assert_eq!(decided(&seen(&[1, 2, 3, 4], &[1, 2, 3], &[4])), None);
        assert_eq!(decided(&seen(&[1, 2, 3, 4, 5], &[1, 2, 3], &[4, 5])), Some(Change::AddVoter(n(4))));
        assert_eq!(decided(&seen(&[1, 2, 3, 4, 5, 6], &[1, 2, 3, 4, 5], &[6])), None);
    }

    #[test]
    fn a_removed_voter_is_replaced_where_possible_and_removed_otherwise() {
        assert_eq!(decided(&seen(&[1, 2, 4], &[1, 2, 3], &[4])), Some(Change::Replace { voter: n(3), by: n(4) }));
        assert_eq!(decided(&seen(&[1, 2], &[1, 2, 3], &[])), Some(Change::RemoveVoter(n(3))));
        assert_eq!(decided(&seen(&[1, 2, 3], &[1, 2, 3], &[4])), Some(Change::RemoveLearner(n(4))));
    }

    #[test]
    fn a_change_that_was_left_half_done_is_finished() {
        let half_done = Seen { is_joint: true, ..seen(&[1, 2, 3, 4], &[1, 2, 4], &[3]) };
        assert_eq!(decided(&half_done), Some(Change::Settle(ids(&[1, 2, 4]))));
    }

    #[test]
    fn a_witness_hands_over() {
        let led_by_witness = Seen { witnesses: ids(&[1]), ..seen(&[1, 2, 3], &[1, 2, 3], &[]) };
        assert_eq!(decided(&led_by_witness), Some(Change::HandOver(n(2))));
        let led_by_peer = Seen { witnesses: ids(&[3]), ..seen(&[1, 2, 3], &[1, 2, 3], &[]) };
        assert_eq!(decided(&led_by_peer), None);
    }

    #[test]
    fn a_silent_voter_is_replaced_never_just_dropped() {
        let mut without_learner = seen(&[1, 2, 3], &[1, 2, 3], &[]);
        without_learner.silent_for.insert(n(3), Duration::from_secs(3600));
        assert_eq!(decided(&without_learner), None);
        let mut with_learner = seen(&[1, 2, 3, 4], &[1, 2, 3], &[4]);
        with_learner.silent_for.insert(n(3), Duration::from_secs(3600));
        assert_eq!(decided(&with_learner), Some(Change::Replace { voter: n(3), by: n(4) }));
    }
}
