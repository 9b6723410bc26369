//! Limits in images: the ones of the rules that decide, and the same buckets for the same limits.

use super::*;
use crate::{
    document::{SourceText, parse},
    image::{Bucket, LIMIT_NONE, LimitEntry},
    model::{Rate, RuleLimits},
    rule_info::RuleInfo,
};

fn bucket(rate: Option<Rate>) -> Option<Bucket> {
    rate.map(|rate| Bucket { interval_ns: rate.interval_ns(), burst: rate.burst })
}

/// Whether a direction's limit is that of the rule that decided it, number for number.
fn check(image: &Image, rule: u32, limit: Option<u32>) -> bool {
    let info: &RuleInfo = &image.rules[rule as usize];
    let found = limit.map(|index| image.tables.limit(index));
    let numbers =
        |entry: LimitEntry| [entry.packets, entry.new_connections, entry.source_packets, entry.source_new_connections];
    let expected = info.limits.map(|limits| {
        let RuleLimits { packets, new_connections, source_packets, source_new_connections } = limits;
        [packets, new_connections, source_packets, source_new_connections].map(bucket)
    });
    assert_eq!(found.map(numbers), expected, "{info}");
    limit.is_some()
}

#[test]
fn limits_of_a_packet_are_those_of_the_rules_that_decide() {
    let mut limited = [0; 2];
    for seed in 0..SEEDS / 5 {
        let (model, members) = sample(seed);
        let image = compile(&model, &members, &CompileLimits::default()).unwrap();
        let (sampler, mut random) = (FlowSampler::new(&model, &members), SplitMix64::new(seed));
        for _ in 0..FLOWS {
            let Flow { src, dst, protocol, dst_port, .. } = sampler.flow(&mut random);
            let found = image.tables.classify(src, dst, protocol, dst_port);
            for half in [found.ingress, found.egress] {
                limited[0] += usize::from(check(&image, half.rule, half.limit));
                limited[1] += usize::from(check(&image, half.trial, half.trial_limit));
            }
        }
    }
    assert!(limited[0] > 1_000 && limited[1] > 1_000, "the sample is too tame: {limited:?}");
}

#[test]
fn there_is_one_element_for_each_rule_with_limits_in_the_order_of_the_rules() {
    for seed in 0..200 {
        let (model, members) = sample(seed);
        let image = compile(&model, &members, &CompileLimits::default()).unwrap();
        let limited: Vec<RuleLimits> = image.rules.iter().filter_map(|rule| rule.limits).collect();
        assert_eq!(image.tables.elements(TableId::Limits), limited.len(), "seed {seed}");
        for (index, limits) in (0u32..).zip(&limited) {
            assert_eq!(image.tables.limit(index).packets, bucket(limits.packets), "seed {seed}");
        }
        let mut ids: Vec<u64> = (0u32..).take(limited.len()).map(|index| image.tables.limit(index).id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), limited.len(), "seed {seed}: two rules share their buckets");
    }
}

/// A policy with these rules.
fn model_of(rules: &str) -> Model {
    let text = format!(
        "apiVersion: hedgerow/v1\nkind: Policy\nmetadata: {{name: p}}\n\
         spec: {{tier: platform, appliesTo: {{any: true}}, ingress: [{rules}]}}\n"
    );
    let documents = parse(&[SourceText { name: "p.yaml".to_owned(), text }]).unwrap();
    validate(&documents).unwrap()
}

fn image_of(rules: &str) -> Image {
    compile(&model_of(rules), &[], &CompileLimits::default()).unwrap()
}

#[test]
fn a_rule_keeps_its_buckets_as_long_as_its_limits_stay() {
    let web = "{name: web, action: allow, limits: {packets: 10}}";
    let before = image_of(web).tables.limit(0);
    let other = "{name: a, action: allow, services: [{protocol: tcp, port: 1}], limits: {packets: 10}}";
    let beside = image_of(&format!("{other}, {web}"));
    assert_eq!(beside.tables.limit(1), before);
    assert_ne!(beside.tables.limit(0).id, before.id);
    let widened = image_of("{name: web, action: allow, from: [{cidr: 10.0.0.0/8}], limits: {packets: 10}}");
    assert_eq!(widened.tables.limit(0), before);
    let raised = image_of("{name: web, action: allow, limits: {packets: {perSecond: 10, burst: 11}}}");
    assert_ne!(raised.tables.limit(0).id, before.id);
}

/// Another program may look for the buckets of a rule by name: what the number is made of does not change.
#[test]
fn the_identity_of_buckets_is_what_is_documented() {
    let hash = ring::digest::digest(&ring::digest::SHA256, b"p/ingress/web\0{\"packets\":10}");
    let words = image_of("{name: web, action: allow, limits: {packets: 10}}").tables.limits;
    let bytes: Vec<u8> = words[..2].iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(bytes, hash.as_ref()[..8]);
    assert_eq!(words[2..], [100_000_000, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn g18_more_rules_with_limits_than_there_is_room_for_are_refused() {
    let rule = |name: &str| format!("{{name: {name}, action: allow, limits: {{packets: 1}}}}");
    let model = model_of(&format!("{}, {}", rule("a"), rule("b")));
    let error = compile(&model, &[], &CompileLimits { limits_max: 1, ..CompileLimits::default() }).unwrap_err();
    let says = "the compiled policy needs at least 2 rules with rate limits, and 1 is the limit (`limits_max`)";
    assert_eq!(error.to_string(), says);
}

#[test]
fn g18_limits_past_what_an_index_holds_are_refused_whatever_the_room() {
    let limits = CompileLimits { limits_max: 1 << 20, ..CompileLimits::default() };
    assert_eq!(limits.elements(TableId::Limits), LIMIT_NONE as usize);
}

/// Each range lies in all before it: the pieces of all together are as many as the square of their number.
#[test]
fn g18_ranges_of_ports_that_cut_each_other_too_often_are_refused_before_they_cost_memory() {
    let nested = |count: u32| {
        let range = |number: u32| format!("{{protocol: tcp, portRange: {}-{}}}", 1 + number, 65_535 - number);
        let services: Vec<String> = (0..count).map(range).collect();
        let rules = services.chunks(256).enumerate();
        let rule = |(index, services): (usize, &[String])| {
            format!("{{name: r{index}, action: allow, services: [{}]}}", services.join(", "))
        };
        model_of(&rules.map(rule).collect::<Vec<_>>().join(",\n"))
    };
    assert!(compile(&nested(2_000), &[], &CompileLimits::default()).is_ok());
    let error = compile(&nested(6_000), &[], &CompileLimits::default()).unwrap_err();
    let says = "the compiled policy needs at least 36000000 pieces of port ranges, and 33554432 is the limit (`port_overlaps_max`)";
    assert_eq!(error.to_string(), says);
}
