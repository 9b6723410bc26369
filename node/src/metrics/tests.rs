use super::*;
use crate::view::{FlowCounters, ReasonCounter, RuleCounter};

fn snapshot() -> MetricsSnapshot {
    MetricsSnapshot {
        ready: true,
        revision_applied: Some(7),
        generation: Some(3),
        members: 3,
        flow_events: FlowCounters { taken: 90, lost: 2, sampled_out: 40, forgotten: 1 },
        rules: vec![RuleCounter {
            policy: "shop".to_owned(),
            rule: "partners \"only\"".to_owned(),
            direction: "ingress",
            action: "allow",
            packets: 10,
            bytes: 640,
        }],
        reasons: vec![ReasonCounter {
            direction: "ingress",
            reason: "policy_deny".to_owned(),
            pass: false,
            packets: 4,
        }],
        ..MetricsSnapshot::default()
    }
}

#[test]
fn the_text_has_gauges_rules_and_reasons() {
    let metrics = Metrics::new("lb1");
    metrics.request("GET", "/v1/status", 200, Duration::from_millis(2));
    let text = metrics.encode(snapshot()).unwrap();
    for line in [
        "hedgerow_ready 1",
        "hedgerow_revision_applied 7",
        "hedgerow_generation 3",
        "hedgerow_rule_packets_total{policy=\"shop\",rule=\"partners \\\"only\\\"\",direction=\"ingress\",action=\"allow\"} 10",
        "hedgerow_packets_total{direction=\"ingress\",reason=\"policy_deny\",verdict=\"drop\"} 4",
        "hedgerow_flow_events_taken_total 90",
        "hedgerow_flow_events_lost_total 2",
        "hedgerow_flow_events_sampled_out_total 40",
        "hedgerow_flow_events_forgotten_total 1",
        "hedgerow_http_requests_total{method=\"GET\",route=\"/v1/status\",code=\"200\"} 1",
    ] {
        assert!(text.lines().any(|have| have == line), "missing: {line}\nin:\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn what_is_unknown_is_not_exported_as_zero() {
    let text = Metrics::new("lb1").encode(snapshot()).unwrap();
    assert!(!text.contains("hedgerow_raft_leader "), "{text}");
    assert!(!text.contains("hedgerow_revision_enforced "), "{text}");
}

#[test]
fn two_nodes_in_one_process_do_not_share_numbers() {
    let (one, other) = (Metrics::new("lb1"), Metrics::new("lb2"));
    one.request("GET", "/v1/status", 200, Duration::ZERO);
    let text = other.encode(MetricsSnapshot::default()).unwrap();
    assert!(!text.contains("route=\"/v1/status\""), "{text}");
}
