//! What the words of the section "Meaning" come to, one case a test.

use super::*;
use crate::model::{DefaultAction, Ports, Rate, RuleLimits, Segment, SegmentRole, Service, Settings, protocol};

fn segment(name: &str, networks: &[&str], services: &[(&str, u16)]) -> Segment {
    let tcp = |port| Ports { protocol: protocol::TCP, first: port, last: port };
    Segment {
        name: name.to_owned(),
        role: SegmentRole::Vip,
        labels: Default::default(),
        addresses: networks.iter().map(|network| network.parse().unwrap()).collect(),
        services: services.iter().map(|(name, port)| Service { name: (*name).to_owned(), ports: tcp(*port) }).collect(),
    }
}

fn rule(name: &str, action: Action, peers: &[Scope]) -> Rule {
    let peers = peers.iter().map(|scope| Peer { scope: scope.clone(), except: Vec::new() }).collect();
    Rule { name: name.to_owned(), action, peers, services: Vec::new(), log: false, limits: None }
}

/// A policy for the segment "web", with ingress rules only.
fn policy(name: &str, tier: Tier, rules: Vec<Rule>) -> Policy {
    Policy {
        name: name.to_owned(),
        tier,
        order: 0,
        applies_to: Scope::Segments(vec![WEB]),
        mode: Mode::Enforce,
        existing_flows: ExistingFlows::Cut,
        ingress: Some(rules),
        egress: None,
        owner: None,
        review_by: None,
        expires: None,
    }
}

const CLIENTS: usize = 0;
const WEB: usize = 1;

fn model(policies: Vec<Policy>) -> Model {
    let segments =
        vec![segment("clients", &["10.0.0.0/8"], &[]), segment("web", &["203.0.113.10/32"], &[("https", 443)])];
    Model { segments, policies, settings: Settings::default(), channels: Vec::new() }
}

fn flow(src: &str, dst: &str, port: u16) -> Flow {
    Flow {
        src: src.parse().unwrap(),
        dst: dst.parse().unwrap(),
        protocol: protocol::TCP,
        src_port: 40_000,
        dst_port: port,
    }
}

fn to_web() -> Flow {
    flow("10.1.2.3", "203.0.113.10", 443)
}

fn ask(policies: Vec<Policy>, flow: &Flow) -> Decision {
    evaluate(&model(policies), &[], flow)
}

const ALLOWED_BY_DEFAULT: Decision = Decision {
    verdict: Verdict::Allow,
    ingress: RuleRef::Default,
    egress: RuleRef::Default,
    observe: false,
    log: false,
    keep: false,
    limited: false,
};

#[test]
fn nothing_selected_gets_the_default_action() {
    assert_eq!(ask(vec![], &to_web()), ALLOWED_BY_DEFAULT);
    let mut model = model(vec![]);
    model.settings.default_action = DefaultAction::Deny;
    assert_eq!(evaluate(&model, &[], &to_web()).verdict, Verdict::Deny);
}

#[test]
fn once_selected_by_an_application_policy_unmatched_is_denied() {
    let application = policy("a", Tier::Application, vec![]);
    let decision = ask(vec![application.clone()], &to_web());
    assert_eq!((decision.verdict, decision.ingress), (Verdict::Deny, RuleRef::Unmatched { policy: 0 }));
    // Not in the other direction, not for other addresses, not in other tiers.
    assert_eq!(ask(vec![application], &to_web().reverse()), ALLOWED_BY_DEFAULT);
    for tier in [Tier::Emergency, Tier::Platform, Tier::Baseline] {
        assert_eq!(ask(vec![policy("a", tier, vec![])], &to_web()), ALLOWED_BY_DEFAULT);
    }
}

#[test]
fn the_first_match_ends_the_search() {
    let clients = || vec![Scope::Segments(vec![CLIENTS])];
    let rules = vec![rule("no", Action::Deny, &clients()), rule("yes", Action::Allow, &clients())];
    let decision = ask(vec![policy("a", Tier::Application, rules)], &to_web());
    assert_eq!((decision.verdict, decision.ingress), (Verdict::Deny, RuleRef::Rule { policy: 0, rule: 0 }));
}

#[test]
fn pass_skips_the_rest_of_its_tier_and_asks_the_next() {
    let policies = vec![
        policy("a", Tier::Platform, vec![rule("on", Action::Pass, &[]), rule("no", Action::Deny, &[])]),
        policy("b", Tier::Platform, vec![rule("no", Action::Deny, &[])]),
        policy("c", Tier::Application, vec![rule("yes", Action::Allow, &[])]),
    ];
    let decision = ask(policies, &to_web());
    assert_eq!((decision.verdict, decision.ingress), (Verdict::Allow, RuleRef::Rule { policy: 2, rule: 0 }));
}

#[test]
fn pass_does_not_escape_zero_trust() {
    let policies = vec![policy("a", Tier::Application, vec![rule("on", Action::Pass, &[])])];
    assert_eq!(ask(policies.clone(), &to_web()).ingress, RuleRef::Unmatched { policy: 0 });
    let baseline = policy("z", Tier::Baseline, vec![rule("yes", Action::Allow, &[])]);
    let decision = ask([policies, vec![baseline]].concat(), &to_web());
    assert_eq!((decision.verdict, decision.ingress), (Verdict::Allow, RuleRef::Rule { policy: 1, rule: 0 }));
}

#[test]
fn both_ends_must_agree() {
    let mut clients = policy("c", Tier::Application, vec![]);
    (clients.applies_to, clients.ingress, clients.egress) = (Scope::Segments(vec![CLIENTS]), None, Some(vec![]));
    let web = policy("w", Tier::Application, vec![rule("yes", Action::Allow, &[])]);
    let decision = ask(vec![clients, web], &to_web());
    assert_eq!(decision.verdict, Verdict::Deny);
    assert_eq!(decision.egress, RuleRef::Unmatched { policy: 0 });
    assert_eq!(decision.ingress, RuleRef::Rule { policy: 1, rule: 0 });
}

#[test]
fn an_observing_policy_lets_pass_and_says_so() {
    let mut watch = policy("a", Tier::Application, vec![rule("no", Action::Deny, &[])]);
    watch.mode = Mode::Observe;
    watch.ingress.as_mut().unwrap()[0].log = true;
    let decision = ask(vec![watch.clone()], &to_web());
    let would = RuleRef::Rule { policy: 0, rule: 0 };
    assert_eq!(decision, Decision { ingress: would, observe: true, log: true, ..ALLOWED_BY_DEFAULT });
    // What is denied anyway is not "observed", and what it would allow is not allowed.
    let deny = policy("b", Tier::Baseline, vec![rule("no", Action::Deny, &[])]);
    let decision = ask(vec![watch.clone(), deny.clone()], &to_web());
    assert_eq!(
        (decision.verdict, decision.ingress, decision.observe),
        (Verdict::Deny, RuleRef::Rule { policy: 1, rule: 0 }, false)
    );
    watch.ingress.as_mut().unwrap()[0].action = Action::Allow;
    assert_eq!(ask(vec![watch, deny], &to_web()).verdict, Verdict::Deny);
}

#[test]
fn an_observing_application_policy_does_not_select() {
    let mut watch = policy("a", Tier::Application, vec![]);
    watch.mode = Mode::Observe;
    let decision = ask(vec![watch], &to_web());
    assert_eq!((decision.verdict, decision.observe), (Verdict::Allow, true));
    assert_eq!(decision.ingress, RuleRef::Unmatched { policy: 0 });
}

#[test]
fn a_service_by_name_is_of_the_destination() {
    let mut rule = rule("https", Action::Allow, &[]);
    rule.services =
        vec![ServiceMatch { target: Some(WEB), ports: Ports { protocol: protocol::TCP, first: 443, last: 443 } }];
    let mut anywhere = policy("a", Tier::Application, vec![rule]);
    anywhere.applies_to = Scope::Any;
    assert_eq!(ask(vec![anywhere.clone()], &to_web()).verdict, Verdict::Allow);
    assert_eq!(ask(vec![anywhere.clone()], &flow("10.1.2.3", "203.0.113.11", 443)).verdict, Verdict::Deny);
    assert_eq!(ask(vec![anywhere], &flow("10.1.2.3", "203.0.113.10", 80)).verdict, Verdict::Deny);
}

#[test]
fn exceptions_take_away_from_their_peer_only() {
    let mut rule = rule("yes", Action::Allow, &[Scope::Segments(vec![CLIENTS])]);
    rule.peers[0].except = vec!["10.1.0.0/16".parse().unwrap()];
    let with = |rule: &Rule| vec![policy("a", Tier::Application, vec![rule.clone()])];
    assert_eq!(ask(with(&rule), &to_web()).verdict, Verdict::Deny);
    assert_eq!(ask(with(&rule), &flow("10.2.0.0", "203.0.113.10", 1)).verdict, Verdict::Allow);
    rule.peers.push(Peer { scope: Scope::Cidr("10.1.2.0/24".parse().unwrap()), except: vec![] });
    assert_eq!(ask(with(&rule), &to_web()).verdict, Verdict::Allow);
}

#[test]
fn members_are_given_not_written() {
    let mut policy = policy("a", Tier::Platform, vec![rule("no", Action::Deny, &[Scope::Members])]);
    policy.applies_to = Scope::Any;
    let model = model(vec![policy]);
    let decide = |members: &[IpAddr]| evaluate(&model, members, &to_web()).verdict;
    assert_eq!(decide(&[]), Verdict::Allow);
    assert_eq!(decide(&["10.1.2.3".parse().unwrap()]), Verdict::Deny);
}

#[test]
fn limited_is_what_passes_by_a_reported_rule_with_limits() {
    let limits = RuleLimits { packets: Some(Rate::steady(1)), ..RuleLimits::default() };
    let mut web = policy("w", Tier::Application, vec![rule("yes", Action::Allow, &[])]);
    assert!(!ask(vec![web.clone()], &to_web()).limited);
    web.ingress.as_mut().unwrap()[0].limits = Some(limits);
    assert!(ask(vec![web.clone()], &to_web()).limited);
    // What the other side denies is not limited.
    let mut clients = policy("c", Tier::Application, vec![]);
    (clients.applies_to, clients.ingress, clients.egress) = (Scope::Segments(vec![CLIENTS]), None, Some(vec![]));
    assert!(!ask(vec![web.clone(), clients], &to_web()).limited);
    // A policy that observes limits nothing, as long as it would allow; where it would deny, its trial is what is reported.
    web.mode = Mode::Observe;
    assert!(!ask(vec![web.clone()], &to_web()).limited);
    let mut watch = policy("c", Tier::Application, vec![]);
    (watch.applies_to, watch.ingress, watch.egress) = (Scope::Segments(vec![CLIENTS]), None, Some(vec![]));
    watch.mode = Mode::Observe;
    let decision = ask(vec![web, watch], &to_web());
    assert!(decision.observe && decision.limited);
}

#[test]
fn keep_needs_a_rule_that_says_keep_and_none_that_says_cut() {
    let mut keep = policy("a", Tier::Application, vec![rule("yes", Action::Allow, &[])]);
    keep.existing_flows = ExistingFlows::Keep;
    assert!(ask(vec![keep.clone()], &to_web()).keep);
    let mut cut = policy("b", Tier::Application, vec![]);
    (cut.applies_to, cut.ingress, cut.egress) = (Scope::Any, None, Some(vec![rule("yes", Action::Allow, &[])]));
    assert!(!ask(vec![keep.clone(), cut], &to_web()).keep);
    keep.ingress.as_mut().unwrap()[0].action = Action::Deny;
    assert!(!ask(vec![keep], &to_web()).keep);
}
