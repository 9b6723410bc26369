//! Explanations name the rule, the reason and the image's answer.

use super::*;
use crate::document::{SourceText, parse};
use crate::validate;

const DOCUMENTS: &str = "\
{apiVersion: hedgerow/v1, kind: Segment, metadata: {name: shop-web},
 spec: {role: vip, addresses: [203.0.113.10], services: [{name: https, protocol: tcp, port: 443}]}}
---
{apiVersion: hedgerow/v1, kind: Policy, metadata: {name: guests},
 spec: {tier: platform, appliesTo: {any: true}, mode: observe, ingress: [{name: none, action: deny, from: [{cidr: 198.51.100.128/25}]}]}}
---
{apiVersion: hedgerow/v1, kind: Policy, metadata: {name: shop-web},
 spec: {tier: application, appliesTo: {segment: shop-web},
  ingress: [{name: partners, action: allow, from: [{cidr: 198.51.100.0/24, except: [198.51.100.7]}], services: [https]}]}}
";

fn explained(src: &str, port: u16) -> Explanation {
    let documents = parse(&[SourceText { name: "p.yaml".to_owned(), text: DOCUMENTS.to_owned() }]).unwrap();
    let model = validate(&documents).unwrap();
    let flow = Flow {
        src: src.parse().unwrap(),
        dst: "203.0.113.10".parse().unwrap(),
        protocol: 6,
        src_port: 40_000,
        dst_port: port,
    };
    // Of a model without policies: it agrees only where nothing decides.
    explain(&model, &[], &Image::empty_allow(), &flow)
}

#[test]
fn an_allowed_packet_names_rule_peer_and_service() {
    let explanation = explained("198.51.100.1", 443);
    let text = explanation.to_string();
    assert!(text.starts_with("198.51.100.1 -> 203.0.113.10 tcp/443 (from port 40000): ALLOW\n"), "{text}");
    assert!(text.contains("ingress 203.0.113.10: allow by shop-web/ingress/partners\n"), "{text}");
    assert!(text.contains("  platform guests is skipped: it only observes\n"), "{text}");
    assert!(
        text.contains(
            "  application shop-web/partners (allow) matches: from 198.51.100.1 is in 198.51.100.0/24, \
             for service https of shop-web (tcp/443)\n"
        ),
        "{text}"
    );
    assert!(text.contains("egress 198.51.100.1: allow by default action\n  2 policies do not apply here\n"), "{text}");
}

#[test]
fn a_denied_packet_says_what_is_missing() {
    let text = explained("192.0.2.1", 443).to_string();
    assert!(text.contains("deny by shop-web/ingress (no rule matched)"), "{text}");
    assert!(text.contains("partners (allow) does not match: from 192.0.2.1 is not in 198.51.100.0/24\n"), "{text}");
    let text = explained("198.51.100.7", 443).to_string();
    assert!(text.contains("is not in 198.51.100.0/24 (excepts 198.51.100.7/32)\n"), "{text}");
    let text = explained("198.51.100.1", 80).to_string();
    assert!(text.contains("does not match: tcp/80 is not service https of shop-web (tcp/443)\n"), "{text}");
}

#[test]
fn the_rule_that_matches_says_how_much_may_pass() {
    let limits = "limits: {newConnections: 100, perSource: {newConnections: 10}}";
    let text = DOCUMENTS.replace("services: [https]}]}}", &format!("services: [https], {limits}}}]}}}}"));
    let documents = parse(&[SourceText { name: "p.yaml".to_owned(), text }]).unwrap();
    let model = validate(&documents).unwrap();
    let image = crate::compile(&model, &[], &crate::CompileLimits::default()).unwrap();
    let flow = explained("198.51.100.1", 443).flow;
    let explanation = explain(&model, &[], &image, &flow);
    assert!(explanation.agree && explanation.decision.limited);
    let text = explanation.to_string();
    assert!(
        text.contains(
            "for service https of shop-web (tcp/443); at most 100 new connections a second (burst 100), \
             10 a second from one source (burst 10)\n"
        ),
        "{text}"
    );
}

#[test]
fn an_observed_packet_shows_the_trial() {
    let explanation = explained("198.51.100.200", 443);
    assert!(explanation.decision.observe);
    assert_eq!(explanation.trial[0].rule, "guests/ingress/none");
    let text = explanation.to_string();
    assert!(text.contains("ALLOW (a policy in observe mode would deny it)"), "{text}");
    assert!(
        text.contains("if the observing policies were enforced:\ningress 203.0.113.10: deny by guests/ingress/none\n"),
        "{text}"
    );
}

#[test]
fn a_wrong_image_is_shouted_about() {
    let explanation = explained("192.0.2.1", 443);
    assert!(!explanation.agree);
    assert!(explanation.to_string().contains("THE COMPILED IMAGE DECIDES OTHERWISE (allow)"));
}

#[test]
fn explanations_agree_with_the_evaluator_and_travel_as_json() {
    for seed in 0..300 {
        let model = validate(&crate::sample::random_documents(seed)).unwrap();
        let members = crate::sample::random_members(seed);
        let flow = crate::sample::random_flow(&model, &members, seed);
        let explanation = explain(&model, &members, &Image::empty_allow(), &flow);
        let denied = explanation.directions.iter().any(|direction| direction.verdict == Verdict::Deny);
        assert_eq!(denied, explanation.decision.verdict == Verdict::Deny, "seed {seed}");
        assert!(!explanation.to_string().is_empty());
        let json = serde_json::to_string(&explanation).unwrap();
        assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), explanation);
    }
}
