//! What several documents together get wrong.

use super::*;
use crate::document::{SourceText, parse};
use crate::model::Tier;

const SEGMENTS: &str = "\
{apiVersion: hedgerow/v1, kind: Segment, metadata: {name: shop-web, labels: {app: shop}},
 spec: {role: vip, addresses: [203.0.113.10], services: [{name: https, protocol: tcp, port: 443}]}}
---
{apiVersion: hedgerow/v1, kind: Segment, metadata: {name: shop-db, labels: {app: shop}},
 spec: {role: backend, addresses: [10.0.0.0/24], services: [{name: sql, protocol: tcp, port: 5432}]}}
---
";

fn documents(text: &str) -> Vec<Document> {
    let sources = [SourceText { name: "p.yaml".to_owned(), text: text.to_owned() }];
    parse(&sources).unwrap_or_else(|findings| panic!("{findings}"))
}

/// The model of the two segments and a policy with this specification.
fn with_policy(spec: &str) -> Result<Model, Diagnostics> {
    validate(&documents(&format!(
        "{SEGMENTS}{{apiVersion: hedgerow/v1, kind: Policy, metadata: {{name: p}},\n spec: {{{spec}}}}}\n"
    )))
}

fn refused(spec: &str) -> String {
    match with_policy(spec) {
        Ok(model) => panic!("accepted: {model:?}"),
        Err(findings) => findings.to_string(),
    }
}

#[test]
fn an_unknown_segment_suggests_the_nearest() {
    let found = refused("tier: platform, appliesTo: {segment: shop-wbe}, ingress: []");
    assert_eq!(found, "p.yaml:8:46: there is no segment \"shop-wbe\" (did you mean \"shop-web\"?)");
    let found = refused(
        "tier: platform, appliesTo: {any: true}, ingress: [{name: r, action: deny, from: [{segment: nobody}]}]",
    );
    assert!(found.starts_with("p.yaml:8:100: there is no segment \"nobody\" (`hedgerow segment list`"), "{found}");
}

#[test]
fn a_selector_must_select() {
    let found = refused("tier: platform, appliesTo: {selector: {app: shp}}, ingress: []");
    assert_eq!(found, "p.yaml:8:47: no segment has the labels app=shp (did you mean app=shop?)");
    let found = refused("tier: platform, appliesTo: {selector: {ap: shop}}, ingress: []");
    assert!(found.ends_with("(did you mean the label \"app\"?)"), "{found}");
}

#[test]
fn an_unknown_service_suggests_the_nearest() {
    let found = refused(
        "tier: application, appliesTo: {segment: shop-web}, ingress: [{name: r, action: allow, services: [htps]}]",
    );
    assert_eq!(found, "p.yaml:8:106: segment \"shop-web\" has no service \"htps\" (did you mean \"https\"?)");
    let found =
        refused("tier: application, appliesTo: {any: true}, ingress: [{name: r, action: allow, services: [https]}]");
    assert!(found.contains("service \"https\" cannot be looked up"), "{found}");
    assert!(found.contains("write it out: {protocol: tcp, port: 443}"), "{found}");
}

#[test]
fn services_of_egress_rules_are_those_of_the_peers() {
    let egress = |rule: &str| {
        format!("tier: application, appliesTo: {{segment: shop-web}}, egress: [{{name: r, action: allow, {rule}}}]")
    };
    let model = with_policy(&egress("to: [{segment: shop-db}], services: [sql]")).unwrap();
    let rule = &model.policies[0].egress.as_ref().unwrap()[0];
    assert_eq!(rule.services[0].target, model.segment_index("shop-db"));
    let found = refused(&egress("to: [{segment: shop-db}], services: [https]"));
    assert!(found.contains("segment \"shop-db\" has no service \"https\""), "{found}");
    let found = refused(&egress("services: [sql]"));
    assert!(found.contains("`to` names no segment of yours"), "{found}");
    let found = refused(&egress("to: [{segment: shop-db}, {cidr: 192.0.2.0/24}], services: [sql]"));
    assert!(found.contains("this peer offers none of the services that rule \"r\" names"), "{found}");
}

/// The manual promises it of every example on the page.
#[test]
fn examples_of_the_manual_are_accepted() {
    let page = include_str!("../../../docs/manual/policy-language.md");
    let examples: Vec<&str> =
        page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(examples.len() > 10);
    for example in examples {
        validate(&documents(example)).unwrap_or_else(|findings| panic!("{example}\n{findings}"));
    }
}

#[test]
fn rules_with_limits_are_bounded() {
    use crate::model::limits::LIMITS_MAX;
    let rules = |count: usize| -> String {
        (0..count).map(|number| format!("{{name: r{number}, action: allow, limits: {{packets: 1}}}},\n")).collect()
    };
    let policy = |ingress: usize, egress: usize| {
        with_policy(&format!(
            "tier: platform, appliesTo: {{any: true}}, ingress: [\n{}], egress: [\n{}]",
            rules(ingress),
            rules(egress)
        ))
    };
    assert!(policy(LIMITS_MAX, 0).is_ok());
    assert!(policy(LIMITS_MAX - 2, 2).is_ok());
    let found = policy(LIMITS_MAX - 2, 5).unwrap_err().to_string();
    let line = 8 + LIMITS_MAX - 2 + 1 + 3;
    let says = format!(
        "p.yaml:{line}:8: 4099 rules have limits, and 4096 is the limit; \"r2\" is the first above it \
         (merge rules that differ only in peers or services, or take `limits` out of some)"
    );
    assert_eq!(found, says);
}

#[test]
fn two_documents_of_one_name_are_both_shown() {
    let found = validate(&documents(&format!("{SEGMENTS}{SEGMENTS}"))).unwrap_err().to_string();
    let first = found.lines().next().unwrap();
    assert_eq!(
        first,
        "p.yaml:7:59: there are two Segment documents named \"shop-web\" (the other one is at p.yaml:1:59; rename or remove one)"
    );
    assert_eq!(found.lines().count(), 2);
}

#[test]
fn a_policy_and_a_segment_may_share_a_name() {
    let policy = "{apiVersion: hedgerow/v1, kind: Policy, metadata: {name: shop-web}, spec: {tier: platform, appliesTo: {any: true}, ingress: []}}";
    assert!(validate(&documents(&format!("{SEGMENTS}{policy}"))).is_ok());
}

#[test]
fn a_cluster_has_one_settings_document() {
    let settings = |name: &str| {
        format!(
            "{{apiVersion: hedgerow/v1, kind: Settings, metadata: {{name: {name}}}, spec: {{defaultAction: deny}}}}\n---\n"
        )
    };
    let found = validate(&documents(&(settings("a") + &settings("b")))).unwrap_err().to_string();
    assert!(
        found.starts_with("p.yaml:3:60: a cluster has one Settings document, and \"a\" at p.yaml:1:60 is another"),
        "{found}"
    );
}

#[test]
fn policies_are_in_the_order_in_which_they_are_asked() {
    let policy = |name: &str, tier: &str, order: u32| {
        format!(
            "{{apiVersion: hedgerow/v1, kind: Policy, metadata: {{name: {name}}}, spec: {{tier: {tier}, order: {order}, appliesTo: {{any: true}}, ingress: []}}}}\n---\n"
        )
    };
    let text = [
        policy("z", "baseline", 0),
        policy("b", "application", 5),
        policy("a", "application", 5),
        policy("c", "application", 1),
        policy("y", "emergency", 9),
        policy("x", "platform", 1),
    ];
    let model = validate(&documents(&text.concat())).unwrap();
    let names: Vec<&str> = model.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["y", "x", "c", "a", "b", "z"]);
    assert_eq!(model.policies[0].tier, Tier::Emergency);
}

#[test]
fn the_model_does_not_depend_on_the_order_of_documents() {
    for seed in 0..200 {
        let mut documents = crate::sample::random_documents(seed);
        let model = validate(&documents).unwrap();
        documents.reverse();
        assert_eq!(validate(&documents).unwrap(), model, "seed {seed}");
    }
}

#[test]
fn findings_without_a_text_name_the_document() {
    let all = documents(&format!(
        "{SEGMENTS}{{apiVersion: hedgerow/v1, kind: Policy, metadata: {{name: p}}, spec: {{tier: platform, appliesTo: {{segment: shop-web}}, ingress: []}}}}"
    ));
    let from_log: Vec<Document> =
        all[1..].iter().map(|document| Document::from_json(&document.to_json()).unwrap()).collect();
    let found = validate(&from_log).unwrap_err().to_string();
    assert!(found.starts_with("Policy p: there is no segment \"shop-web\""), "{found}");
}
