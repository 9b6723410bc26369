//! The numbers that are asked for at each scrape instead of being kept.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::view::{MetricsSnapshot, ReasonCounter, RuleCounter};

/// Writes the last snapshot.
#[derive(Debug)]
pub(super) struct SnapshotCollector(Arc<Mutex<MetricsSnapshot>>);

impl SnapshotCollector {
    pub(super) fn new(snapshot: Arc<Mutex<MetricsSnapshot>>) -> Self {
        Self(snapshot)
    }
}

impl Collector for SnapshotCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, help, value) in gauges(&snapshot) {
            let Some(value) = value else { continue };
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        for (name, help, value) in counters(&snapshot) {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        rules(&mut encoder, "rule_packets", "Packets decided by a rule", &snapshot.rules, |rule| rule.packets)?;
        rules(&mut encoder, "rule_bytes", "Bytes of packets decided by a rule", &snapshot.rules, |rule| rule.bytes)?;
        reasons(&mut encoder, &snapshot.reasons)
    }
}

/// A gauge: name, help, value. `None` is not exported.
type Gauge = (&'static str, &'static str, Option<u64>);

/// Every gauge, in the order in which it is written.
fn gauges(of: &MetricsSnapshot) -> [Gauge; 20] {
    [
        ("ready", "1 when the node is ready", Some(of.ready.into())),
        ("revision_applied", "The latest revision applied from the log", of.revision_applied),
        ("revision_active", "The revision of the latest committed epoch", of.revision_active),
        ("revision_enforced", "The revision that the data path of this node enforces", of.revision_enforced),
        ("generation", "The generation of the data path", of.generation.map(u64::from)),
        ("guard_entries", "Sync flows that no policy can cut", of.guard_entries),
        ("disarmed", "1 while the data path is told to pass everything", Some(of.disarmed.into())),
        ("members", "Committed members", Some(of.members)),
        ("members_alive", "Members that answer", Some(of.members_alive)),
        ("members_suspect", "Members under suspicion", Some(of.members_suspect)),
        ("members_down", "Members that do not answer", Some(of.members_down)),
        ("quorum", "1 while a quorum is within reach", Some(of.quorum.into())),
        ("raft_term", "The term", of.raft_term),
        ("raft_leader", "The number of the leader", of.raft_leader),
        ("raft_is_leader", "1 while this node leads", Some(of.raft_is_leader.into())),
        ("raft_last_log", "The last index in the log", of.raft_last_log),
        ("raft_committed", "The last index known to be committed", of.raft_committed),
        ("raft_applied", "The last index applied", of.raft_applied),
        (
            "others_judge",
            "1 while programs of another version judge, until the next activation",
            Some(of.others_judge.into()),
        ),
        ("hooks_missing", "Hooks that should be attached and are not", Some(of.hooks_missing)),
    ]
}

/// Every counter without labels, in the order in which it is written.
fn counters(of: &MetricsSnapshot) -> [(&'static str, &'static str, u64); 5] {
    let flows = &of.flow_events;
    [
        (
            "hooks_repaired",
            "Hooks repaired after somebody had detached, shadowed, unpinned or emptied something",
            of.hooks_repaired,
        ),
        ("flow_events_taken", "Flow events taken from the data path", flows.taken),
        ("flow_events_lost", "Flow events that the data path could not tell", flows.lost),
        ("flow_events_sampled_out", "Flow events left out by logSampling", flows.sampled_out),
        ("flow_events_forgotten", "Flow events that have made room for newer ones in memory", flows.forgotten),
    ]
}

fn rules(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    all: &[RuleCounter],
    value: impl Fn(&RuleCounter) -> u64,
) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for rule in all {
        let labels = [
            ("policy", rule.policy.as_str()),
            ("rule", rule.rule.as_str()),
            ("direction", rule.direction),
            ("action", rule.action),
        ];
        ConstCounter::new(value(rule)).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn reasons(encoder: &mut DescriptorEncoder<'_>, all: &[ReasonCounter]) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    let help = "Packets by direction and the reason of their verdict";
    let mut metric = encoder.encode_descriptor("packets", help, None, MetricType::Counter)?;
    for reason in all {
        let labels = [
            ("direction", reason.direction),
            ("reason", reason.reason.as_str()),
            ("verdict", if reason.pass { "pass" } else { "drop" }),
        ];
        ConstCounter::new(reason.packets).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
