//! Who votes. Runs on every node and acts on the leader.
//!
//! The committed member records say who belongs to the cluster; this makes the Raft configuration follow: a new member
//! becomes a learner, a learner that keeps up becomes a voter while voters are wanted, a removed member leaves, and a
//! voter that has been silent for long gives its place to a healthy learner. What it sees of the others is what the
//! leader's own replication sees; gossip has no say (G14).

mod decide;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use identity::NodeId;
use openraft::{ChangeMembers, Instant as _, async_runtime::watch::WatchReceiver};
use tokio::time::{Duration, Instant};

use self::decide::{Change, Seen, decide};
use crate::{handle::Raft, metrics::node_id};

/// How long one change of the configuration may take before the next look.
const CHANGE_LIMIT: Duration = Duration::from_secs(5);

/// Runs until it is aborted.
pub(crate) async fn run(raft: Raft) {
    let mut stable_since = BTreeMap::new();
    let mut states = raft.watch();
    loop {
        // A change of the members is acted on at once, everything else at the next look.
        let members = Arc::clone(&states.borrow_and_update().members);
        let changed = states.wait_for(|state| !Arc::ptr_eq(&state.members, &members));
        if let Ok(Err(_)) = tokio::time::timeout(raft.config().autopilot.interval, changed).await {
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

/// None when this node does not lead a founded cluster, or a change is on its way.
fn look(raft: &Raft, stable_since: &mut BTreeMap<NodeId, Instant>) -> Option<Seen> {
    let (state, _) = raft.local();
    let metrics = raft.core().metrics();
    let metrics = metrics.borrow_watched();
    let (progress, heard) = (metrics.replication.as_ref()?, metrics.heartbeat.as_ref()?);
    if !state.is_founded() || metrics.membership_config != metrics.committed_membership_config {
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
    // Of a change that is half done, the last set of voters is the one it was going to.
    let sets = membership.get_joint_config();
    let voters = sets.last().cloned().unwrap_or_default();
    Some(Seen {
        me: Some(raft.me()),
        members: state.members.keys().copied().collect(),
        witnesses: state.members.values().filter(|member| member.witness).map(|member| member.node).collect(),
        voters: ids(&mut voters.into_iter()),
        is_joint: sets.len() > 1,
        learners: ids(&mut membership.learner_ids()),
        stable_for: stable_since.iter().map(|(node, since)| (*node, now - *since)).collect(),
        silent_for,
    })
}

async fn apply(raft: &Raft, change: Change) -> Result<(), String> {
    let core = raft.core();
    let one = |node: NodeId| BTreeSet::from([node.get()]);
    let (change, retain) = match change {
        Change::AddLearner(node) => {
            return core.add_learner(node.get(), (), false).await.map(drop).map_err(|error| error.to_string());
        }
        Change::HandOver(to) => {
            return core.trigger().transfer_leader(to.get()).await.map_err(|error| error.to_string());
        }
        Change::Settle(voters) => {
            (ChangeMembers::ReplaceAllVoters(voters.into_iter().map(NodeId::get).collect()), true)
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
