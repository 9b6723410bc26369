//! Who votes. Runs on every node and acts on the leader.
//!
//! The committed member records say who belongs to the cluster; this makes the Raft configuration follow: a new member
//! becomes a learner, a learner that keeps up becomes a voter while voters are wanted, a removed member leaves, and a
//! voter that has been silent for long gives its place to a healthy learner. What it sees of the others is what the
//! leader's own replication sees; gossip has no say (G14).

use std::collections::{BTreeMap, BTreeSet};

use identity::NodeId;
use openraft::{ChangeMembers, Instant as _, async_runtime::watch::WatchReceiver};
use tokio::time::{Duration, Instant};

use crate::{
    config::{AutopilotConfig, VOTERS_MAX},
    handle::Raft,
    metrics::node_id,
};

/// How long one change of the configuration may take before the next look.
const CHANGE_LIMIT: Duration = Duration::from_secs(5);

/// Runs until it is aborted.
pub(crate) async fn run(raft: Raft) {
    let mut stable_since = BTreeMap::new();
    let mut state = raft.watch();
    loop {
        // A change of the members is acted on at once, everything else at the next look.
        let changed = tokio::time::timeout(raft.config().autopilot.interval, state.changed()).await;
        if matches!(changed, Ok(Err(_))) {
            return;
        }
        let Some(seen) = look(&raft, &mut stable_since) else {
            stable_since.clear();
            continue;
        };
        let Some(change) = decide(&seen, &raft.config().autopilot) else { continue };
        tracing::info!(?change, "changing the Raft configuration");
        let changed = tokio::time::timeout(CHANGE_LIMIT, apply(&raft, change)).await;
        match changed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error, "the Raft configuration was not changed; trying again"),
            Err(_) => tracing::warn!("the Raft configuration is not changed yet; trying again"),
        }
    }
}

/// What the leader sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    me: Option<NodeId>,
    /// Who should be in the configuration.
    members: BTreeSet<NodeId>,
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
    /// Members that keep up, and for how long.
    stable_for: BTreeMap<NodeId, Duration>,
    /// How long members have been silent.
    silent_for: BTreeMap<NodeId, Duration>,
}

/// One step towards the configuration that should be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    AddLearner(NodeId),
    AddVoter(NodeId),
    RemoveVoter(NodeId),
    RemoveLearner(NodeId),
    Replace { voter: NodeId, by: NodeId },
}

/// None when this node does not lead a founded cluster, or a change is on its way.
fn look(raft: &Raft, stable_since: &mut BTreeMap<NodeId, Instant>) -> Option<Seen> {
    let (state, _) = raft.local();
    let metrics = raft.core().metrics();
    let metrics = metrics.borrow_watched();
    let (progress, heard) = (metrics.replication.as_ref()?, metrics.heartbeat.as_ref()?);
    let is_settled = metrics.membership_config == metrics.committed_membership_config
        && metrics.membership_config.get_joint_config().len() == 1;
    if !state.is_founded() || !is_settled {
        return None;
    }
    let last = metrics.last_log_index.unwrap_or(0);
    let limit = raft.config().autopilot.lag_entries_max;
    let keeps_up =
        |number: &u64| progress.get(number).copied().flatten().is_some_and(|matched| matched.index + limit >= last);
    let now = Instant::now();
    let ids = |numbers: &mut dyn Iterator<Item = u64>| numbers.filter_map(node_id).collect::<BTreeSet<_>>();
    let membership = metrics.membership_config.membership();
    for (number, ()) in membership.nodes() {
        let Some(node) = node_id(*number) else { continue };
        if keeps_up(number) {
            stable_since.entry(node).or_insert(now);
        } else {
            stable_since.remove(&node);
        }
    }
    let silent_for = heard
        .iter()
        .filter_map(|(number, at)| Some((node_id(*number)?, at.as_ref().map_or(Duration::MAX, |at| at.elapsed()))))
        .collect();
    Some(Seen {
        me: Some(raft.me()),
        members: state.members.keys().copied().collect(),
        voters: ids(&mut membership.voter_ids()),
        learners: ids(&mut membership.learner_ids()),
        stable_for: stable_since.iter().map(|(node, since)| (*node, now - *since)).collect(),
        silent_for,
    })
}

/// Voters for so many members: all of up to three, then an odd number.
fn wanted_voters(members: usize) -> usize {
    match members {
        0..=3 => members,
        4 => 3,
        _ => VOTERS_MAX,
    }
}

/// The next step, if one is due. First come the members that must be known, then the votes.
fn decide(seen: &Seen, config: &AutopilotConfig) -> Option<Change> {
    let known: BTreeSet<NodeId> = seen.voters.union(&seen.learners).copied().collect();
    if let Some(new) = seen.members.difference(&known).next() {
        return Some(Change::AddLearner(*new));
    }
    let is_healthy = |node: &NodeId| {
        seen.stable_for.get(node).is_some_and(|stable| *stable >= config.stable_for)
            && seen.silent_for.get(node).is_none_or(|silent| *silent < config.stable_for.max(Duration::from_secs(1)))
    };
    let candidate = seen.learners.intersection(&seen.members).copied().find(|node| is_healthy(node));
    let removed = seen.voters.difference(&seen.members).next().copied();
    let wanted = wanted_voters(seen.members.len());
    match (removed, candidate) {
        (Some(voter), Some(by)) if seen.voters.len() <= wanted => return Some(Change::Replace { voter, by }),
        (Some(voter), _) if seen.voters.len() > 1 => return Some(Change::RemoveVoter(voter)),
        _ => {}
    }
    if let Some(gone) = seen.learners.difference(&seen.members).next() {
        return Some(Change::RemoveLearner(*gone));
    }
    let candidate = candidate?;
    if seen.voters.len() < wanted {
        return Some(Change::AddVoter(candidate));
    }
    let silent = |node: &&NodeId| {
        Some(**node) != seen.me && seen.silent_for.get(node).is_some_and(|silent| *silent >= config.replace_after)
    };
    // One in, one out: the number of voters never falls because somebody is silent.
    seen.voters.iter().find(silent).map(|voter| Change::Replace { voter: *voter, by: candidate })
}

async fn apply(raft: &Raft, change: Change) -> Result<(), String> {
    let core = raft.core();
    let one = |node: NodeId| BTreeSet::from([node.get()]);
    let (change, retain) = match change {
        Change::AddLearner(node) => {
            return core.add_learner(node.get(), (), false).await.map(drop).map_err(|error| error.to_string());
        }
        Change::AddVoter(node) => (ChangeMembers::AddVoterIds(one(node)), true),
        Change::RemoveVoter(node) => (ChangeMembers::RemoveVoters(one(node)), false),
        Change::RemoveLearner(node) => (ChangeMembers::RemoveNodes(one(node)), false),
        Change::Replace { voter, by } => {
            let steps = vec![ChangeMembers::AddVoterIds(one(by)), ChangeMembers::RemoveVoters(one(voter))];
            // A silent voter stays as a learner; one that was removed is dropped by the next look.
            (ChangeMembers::Batch(steps), true)
        }
    };
    core.change_membership(change, retain).await.map(drop).map_err(|error| error.to_string())
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
    fn a_silent_voter_is_replaced_never_just_dropped() {
        let mut without_learner = seen(&[1, 2, 3], &[1, 2, 3], &[]);
        without_learner.silent_for.insert(n(3), Duration::from_secs(3600));
        assert_eq!(decided(&without_learner), None);
        let mut with_learner = seen(&[1, 2, 3, 4], &[1, 2, 3], &[4]);
        with_learner.silent_for.insert(n(3), Duration::from_secs(3600));
        assert_eq!(decided(&with_learner), Some(Change::Replace { voter: n(3), by: n(4) }));
    }
}
