//! Samples are accepted, vary, and are the same for ever.

use super::*;
use crate::document::Kind;
use crate::model::{Action, Mode, Model, Tier};
use crate::validate;

fn model(seed: u64) -> Model {
    validate(&random_documents(seed)).unwrap_or_else(|findings| panic!("seed {seed}: {findings}"))
}

#[test]
fn every_sample_is_accepted() {
    for seed in 0..2_000 {
        let _ = model(seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_sample() {
    assert_eq!(random_documents(7), random_documents(7));
    assert_eq!(random_members(7), random_members(7));
    let model = model(7);
    assert_eq!(random_flow(&model, &[], 9), random_flow(&model, &[], 9));
    assert_eq!(SplitMix64::new(0).next_u64(), 0xe220_a839_7b1d_cdaf, "the published first output of seed 0");
}

#[test]
fn samples_show_every_feature() {
    let models: Vec<Model> = (0..200).map(model).collect();
    let policies = || models.iter().flat_map(|model| &model.policies);
    for (name, tier) in Tier::NAMES {
        assert!(policies().any(|policy| policy.tier == tier), "{name}");
    }
    assert!(policies().any(|policy| policy.mode == Mode::Observe));
    let rules = || policies().flat_map(|policy| policy.ingress.iter().chain(&policy.egress).flatten());
    for (name, action) in Action::NAMES {
        assert!(rules().any(|rule| rule.action == action), "{name}");
    }
    assert!(rules().any(|rule| rule.services.iter().any(|service| service.target.is_some())));
    assert!(rules().any(|rule| rule.peers.iter().any(|peer| !peer.except.is_empty())));
    let limits = || rules().filter_map(|rule| rule.limits);
    assert!(rules().all(|rule| rule.limits.is_none() || rule.action == Action::Allow));
    assert!(limits().any(|limits| limits.packets.is_some() && limits.source_new_connections.is_some()));
    assert!(limits().any(|limits| limits.packets.is_none() && limits.new_connections.is_some()));
    assert!(limits().filter_map(|limits| limits.source_packets).any(|rate| rate.burst != rate.per_second));
    assert!((0..200).any(|seed| random_documents(seed).iter().any(|document| document.kind() == Kind::Settings)));
}

#[test]
fn flows_are_of_one_family_and_reach_rules() {
    let mut by_rule = 0;
    for seed in 0..200 {
        let (model, members) = (model(seed), random_members(seed));
        let sampler = FlowSampler::new(&model, &members);
        let mut random = SplitMix64::new(seed);
        for _ in 0..20 {
            let flow = sampler.flow(&mut random);
            assert_eq!(flow.src.is_ipv4(), flow.dst.is_ipv4());
            let decision = crate::evaluate(&model, &members, &flow);
            by_rule += usize::from(matches!(decision.ingress, crate::RuleRef::Rule { .. }));
        }
    }
    assert!(by_rule > 400, "only {by_rule} of 4000 packets were decided by an ingress rule");
}
