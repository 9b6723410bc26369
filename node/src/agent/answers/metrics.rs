//! The numbers of this node at the instant of a scrape.

use dataplane::Counters;
use policy::Image;

use super::status;
use crate::{agent::life::Life, peer::ApiError, view};

pub(super) async fn snapshot(life: &Life) -> Result<view::MetricsSnapshot, ApiError> {
    let status = status::status(life);
    let mut snapshot = view::MetricsSnapshot {
        ready: status.ready,
        disarmed: status.enforcement.disarmed.is_some(),
        members: status.members.total,
        members_alive: status.members.alive,
        members_suspect: status.members.suspect,
        members_down: status.members.down,
        others_judge: status.enforcement.others_judge,
        hooks_missing: status.enforcement.hooks.iter().filter(|hook| !hook.attached).count() as u64,
        hooks_repaired: status.enforcement.hooks.iter().map(|hook| hook.repaired).sum(),
        flow_events: flow_events(life),
        ..view::MetricsSnapshot::default()
    };
    if let Some(raft) = status.raft {
        snapshot.revision_applied = Some(status.policy.revision);
        snapshot.revision_active = Some(status.policy.active_revision);
        snapshot.revision_enforced = status.enforcement.attested.map(|attested| attested.revision);
        snapshot.generation = status.enforcement.attested.map(|attested| attested.generation);
        snapshot.guard_entries = Some(status.enforcement.guard_entries);
        snapshot.raft_term = Some(raft.term);
        snapshot.raft_leader = raft.leader.map(identity::NodeId::get);
        snapshot.raft_is_leader = raft.role == view::RaftRole::Leader;
        snapshot.raft_last_log = Some(raft.last_log);
        snapshot.raft_committed = Some(raft.committed);
        snapshot.raft_applied = Some(raft.applied);
        snapshot.quorum = raft.quorum;
    }
    count(life, &mut snapshot).await?;
    Ok(snapshot)
}

async fn count(life: &Life, snapshot: &mut view::MetricsSnapshot) -> Result<(), ApiError> {
    let counters = life.site.enforcer.run(|enforcer| enforcer.counters()).await.map_err(ApiError::internal)?;
    snapshot.reasons = reasons(&counters);
    let live = life.mesh().and_then(|mesh| {
        let enforcement = mesh.enforcement.borrow();
        enforcement.compiled.clone().zip(enforcement.active)
    });
    if let Some((compiled, _)) = live.filter(|(_, active)| active.generation == counters.generation) {
        snapshot.rules = rules(&counters, &compiled.image);
    }
    Ok(())
}

fn flow_events(life: &Life) -> view::FlowCounters {
    let counts = life.site.flows.counts();
    view::FlowCounters {
        taken: counts.taken,
        lost: counts.lost,
        sampled_out: counts.sampled_out,
        forgotten: counts.forgotten,
    }
}

fn reasons(counters: &Counters) -> Vec<view::ReasonCounter> {
    let counted = counters.reasons.iter().filter(|(_, _, count)| count.packets > 0);
    let one =
        |(direction, reason, count): &(policy::Direction, dataplane::Reason, dataplane::Count)| view::ReasonCounter {
            direction: direction_name(*direction),
            reason: reason.name().to_owned(),
            pass: reason.passes(),
            packets: count.packets,
        };
    counted.map(one).collect()
}

fn rules(counters: &Counters, image: &Image) -> Vec<view::RuleCounter> {
    let counted = image.rules.iter().zip(&counters.rules);
    let one = |(rule, count): (&policy::RuleInfo, &dataplane::Count)| view::RuleCounter {
        policy: rule.policy.clone().unwrap_or_else(|| "default".to_owned()),
        rule: rule.rule.clone().unwrap_or_else(|| "unmatched".to_owned()),
        direction: side_name(rule.side),
        action: action_name(rule.action),
        packets: count.packets,
        bytes: count.bytes,
    };
    counted.map(one).collect()
}

fn direction_name(direction: policy::Direction) -> &'static str {
    match direction {
        policy::Direction::Ingress => "ingress",
        policy::Direction::Egress => "egress",
    }
}

fn action_name(action: policy::model::Action) -> &'static str {
    match action {
        policy::model::Action::Allow => "allow",
        policy::model::Action::Deny => "deny",
        policy::model::Action::Pass => "pass",
    }
}

/// The default action stands for both directions.
fn side_name(side: Option<policy::Side>) -> &'static str {
    match side {
        Some(policy::Side::Ingress) => "ingress",
        Some(policy::Side::Egress) => "egress",
        None => "both",
    }
}
