//! Limits of rules.

use super::*;
use crate::document::Body;
use crate::model::{Rate, RuleLimits};

/// The policy with these limits at its rule, at line 8 and column 77.
fn with(limits: &str) -> String {
    POLICY.replace("services: [https]", &format!("limits: {limits}"))
}

fn limits_of(text: &str) -> Option<RuleLimits> {
    let documents = read(text).unwrap_or_else(|findings| panic!("{text}: {findings}"));
    let Body::Policy(spec) = &documents[0].body else { panic!("no policy") };
    spec.ingress.as_ref().unwrap()[0].limits
}

#[test]
fn limits_are_numbers_or_rates_with_a_burst() {
    assert_eq!(limits_of(POLICY), None);
    let text = with(
        "{newConnections: 100, packets: {perSecond: 10000, burst: 20000}, perSource: {newConnections: 10, packets: {perSecond: 500}}}",
    );
    let limits = RuleLimits {
        packets: Some(Rate { per_second: 10_000, burst: 20_000 }),
        new_connections: Some(Rate::steady(100)),
        source_packets: Some(Rate::steady(500)),
        source_new_connections: Some(Rate::steady(10)),
    };
    assert_eq!(limits_of(&text), Some(limits));
    let json = read(&text).unwrap()[0].to_json();
    let canonical = concat!(
        r#""limits":{"newConnections":100,"packets":{"perSecond":10000,"burst":20000},"#,
        r#""perSource":{"newConnections":10,"packets":500}}"#
    );
    assert!(json.contains(canonical), "{json}");
    let only_source = RuleLimits { source_packets: Some(Rate { per_second: 1, burst: 7 }), ..RuleLimits::default() };
    assert_eq!(limits_of(&with("{perSource: {packets: {burst: 7, perSecond: 1}}}")), Some(only_source));
}

#[test]
fn a_burst_that_says_nothing_new_is_left_out_of_the_canonical_form() {
    let [short, long] =
        ["{packets: 10}", "{packets: {perSecond: 10, burst: 10}}"].map(|limits| read(&with(limits)).unwrap());
    assert_eq!(short, long);
    assert_eq!(crate::content_digest(&short), crate::content_digest(&long));
}

#[test]
fn an_empty_limit_is_no_limit_and_no_prohibition() {
    let found = refused(&with("{}"));
    assert_eq!(
        found,
        "p.yaml:8:85: `limits` is empty (give `newConnections` or `packets`, or leave it out to limit nothing)"
    );
    let found = refused(&with("{packets: 1, perSource: {}}"));
    assert!(found.starts_with("p.yaml:8:109: `perSource` is empty (give `newConnections` or `packets`"), "{found}");
}

#[test]
fn only_a_rule_that_allows_has_limits() {
    for action in ["deny", "pass"] {
        let found = refused(&with("{packets: 1}").replace("action: allow", &format!("action: {action}")));
        let says = format!(
            ": a limit belongs to a rule that allows, and the action of this one is {action} \
             (take `limits` out, or put it into the rule that allows)"
        );
        assert!(found.starts_with("p.yaml:8:76: ") && found.ends_with(&says), "{found}");
    }
}

#[test]
fn unknown_fields_of_limits_suggest_the_nearest() {
    for (limits, says) in [
        ("{packet: 1}", "p.yaml:8:86: `limits` has no field `packet` (did you mean `packets`?)"),
        ("{newConections: 1}", "p.yaml:8:86: `limits` has no field `newConections` (did you mean `newConnections`?)"),
        ("{perSource: {perSource: 1}}", "p.yaml:8:98: `perSource` has no field `perSource` (its fields are"),
        ("{packets: {perSecond: 1, brst: 2}}", "p.yaml:8:110: `packets` has no field `brst` (did you mean `burst`?)"),
        ("{packets: {burst: 2}}", "p.yaml:8:95: `packets` has no `perSecond` (add `perSecond`)"),
    ] {
        let found = refused(&with(limits));
        assert!(found.starts_with(says), "{limits}: {found}");
    }
    let found = refused(&POLICY.replace("services: [https]", "limit: {packets: 1}"));
    assert_eq!(found, "p.yaml:8:77: an ingress rule has no field `limit` (did you mean `limits`?)");
}

#[test]
fn rates_have_bounds() {
    for (limits, says) in [
        ("{packets: 0}", "p.yaml:8:95: `packets` cannot be 0 (it is from 1 to 10000000)"),
        ("{packets: -5}", "p.yaml:8:95: `packets` cannot be -5"),
        ("{packets: 10000001}", "p.yaml:8:95: `packets` cannot be 10000001 (it is from 1 to 10000000)"),
        ("{packets: {perSecond: 0}}", "p.yaml:8:107: `perSecond` cannot be 0 (it is from 1 to 10000000)"),
        ("{packets: {perSecond: 1, burst: 0}}", "p.yaml:8:117: `burst` cannot be 0 (it is from 1 to 10000000)"),
        ("{packets: {perSecond: 1, burst: 10000001}}", "p.yaml:8:117: `burst` cannot be 10000001"),
        ("{packets: many}", "p.yaml:8:95: `packets` is a whole number (a second) or {perSecond: 100, burst: 200}, and"),
        ("{packets: 1.5}", "p.yaml:8:95: `packets` is a whole number"),
        ("{packets: }", "p.yaml:8:93: `packets` is a whole number"),
        ("100", "p.yaml:8:85: `limits` is a mapping, and this is a number (its fields are newConnections, packets"),
    ] {
        let found = refused(&with(limits));
        assert!(found.starts_with(says), "{limits}: {found}");
    }
    assert!(read(&with("{packets: 10000000}")).is_ok());
}
