//! Where a policy that does not fit is said not to fit.

use super::*;
use crate::{
    compile::fit,
    diagnostic::Diagnostic,
    document::{Document, SourceText, parse},
};

/// The documents of one text, as somebody has just given them.
fn given(file: &str, text: &str) -> Vec<Document> {
    parse(&[SourceText { name: file.to_owned(), text: text.to_owned() }])
        .unwrap_or_else(|findings| panic!("{findings}"))
}

/// The same, as they come from the log.
fn logged(text: &str) -> Vec<Document> {
    let mut documents = given("log", text);
    documents.iter_mut().for_each(|document| document.position = None);
    documents
}

/// A segment of networks that each need a chunk of the trie, one a line from line 3.
fn segment(name: &str, networks: std::ops::Range<u8>) -> String {
    let networks: Vec<String> = networks.map(|net| format!("10.{net}.0.0/17")).collect();
    format!(
        "{{apiVersion: hedgerow/v1, kind: Segment, metadata: {{name: {name}}},\n spec: {{role: vip, addresses: [\n{}]}}}}\n---\n",
        networks.join(",\n")
    )
}

/// A policy of so many rules, one a line from line 4.
fn policy(name: &str, target: &str, rules: usize) -> String {
    let rule = |number| format!("{{name: r{number}, action: allow, services: [{{protocol: tcp, port: {number}}}]}}");
    let rules: Vec<String> = (1..=rules).map(rule).collect();
    format!(
        "{{apiVersion: hedgerow/v1, kind: Policy, metadata: {{name: {name}}},\n \
         spec: {{tier: platform, appliesTo: {{{target}}},\n ingress: [\n{}]}}}}\n---\n",
        rules.join(",\n")
    )
}

fn refused(documents: &[Document], limits: &CompileLimits) -> Diagnostic {
    let findings = fit(documents, &[], limits, || true).expect_err("the image does not fit").0;
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    finding.clone()
}

/// G18: of rules it is the first for which there is no room, in the order of the files.
#[test]
fn g18_a_limit_of_rules_points_at_the_first_rule_past_it() {
    let limits = CompileLimits { rules_max: 6, ..CompileLimits::default() };
    let texts = [policy("z", "any: true", 3), policy("a", "any: true", 4)];
    let documents = [given("1.yaml", &texts[0]), given("2.yaml", &texts[1])].concat();
    // With the default action there are eight; "a" is asked first, and is written last.
    let finding = refused(&documents, &limits);
    assert_eq!(
        finding.to_string(),
        "2.yaml:6:8: the compiled policy needs at least 8 rules (written and implied), and 6 is the limit (`rules_max`); \
         rule \"r3\" is the first past it (merge rules that differ only in peers or services)"
    );
    let reversed: Vec<Document> = documents.iter().rev().cloned().collect();
    assert_eq!(refused(&reversed, &limits), finding, "the order in which they are given changes nothing");
}

/// G18: what was there before is not to blame for what is added, even if it comes later by name.
#[test]
fn g18_what_was_there_comes_first() {
    let limits = CompileLimits { rules_max: 6, ..CompileLimits::default() };
    let old = logged(&policy("z", "any: true", 5));
    let documents = [given("new.yaml", &policy("a", "any: true", 1)), old.clone()].concat();
    assert!(refused(&documents, &limits).to_string().starts_with("new.yaml:4:8: "));
    // Alone it is named, for it has no file.
    let limits = CompileLimits { rules_max: 4, ..limits };
    let finding = refused(&old, &limits).to_string();
    assert!(finding.starts_with("Policy z: the compiled policy needs at least 6 rules"), "{finding}");
    assert!(finding.contains("rule \"r4\" is the first past it"), "{finding}");
}

/// G18: of addresses it is the first network for which there is no room, whether a segment or a rule names it.
#[test]
fn g18_a_limit_of_addresses_points_at_the_first_network_past_it() {
    let limits = CompileLimits { chunks_max: 5, ..CompileLimits::default() };
    let all = [segment("web", 0..3), segment("db", 10..14), policy("p", "segment: web", 1)].concat();
    let unused = given("all.yaml", &all);
    assert!(fit(&unused, &[], &limits, || true).is_ok(), "nothing refers to \"db\"");
    let used = given("all.yaml", &format!("{all}{}", policy("q", "segment: db", 1)));
    let finding = refused(&used, &limits).to_string();
    assert!(finding.starts_with("all.yaml:11:1: the compiled policy needs at least 7 chunks"), "{finding}");
    assert!(finding.contains("5 is the limit (`chunks_max`); 10.12.0.0/17 is the first past it"), "{finding}");

    let peers = "{name: r, action: deny, from: [{cidr: 10.20.0.0/17}, {cidr: 10.21.0.0/17}, {cidr: 10.22.0.0/17}]}";
    let rule = policy("p", "segment: web", 1).replace("{name: r1,", &format!("{peers},\n{{name: r1,"));
    let finding = refused(&given("rule.yaml", &format!("{}{rule}", segment("web", 0..3))), &limits).to_string();
    // The networks of segments are counted last: this is the third of "web".
    assert!(finding.starts_with("rule.yaml:5:1: "), "{finding}");
    let few = CompileLimits { chunks_max: 2, ..limits };
    let finding = refused(&given("rule.yaml", &format!("{}{rule}", segment("web", 0..3))), &few).to_string();
    assert!(finding.starts_with("rule.yaml:10:8: "), "{finding}");
    assert!(finding.contains("rule \"r\" is the first past it"), "{finding}");
}

/// G18: each table of a policy of every kind, with one element too few: there is a place, and it is in the text.
#[test]
fn g18_every_limit_points_into_the_text() {
    let text =
        [segment("web", 0..3), segment("db", 2..7), policy("p", "segment: web", 9), policy("q", "segment: db", 5)];
    let documents = given("all.yaml", &text.concat());
    let (model, image) = fit(&documents, &[], &CompileLimits::default(), || true).unwrap();
    assert_eq!(compile(&model, &[], &CompileLimits::default()).unwrap().digest(), image.digest());
    for table in TABLES {
        let needed = image.tables.elements(table);
        let mut limits = CompileLimits::default();
        let Some(limit) = limit_of(&mut limits, table).filter(|_| needed > 0) else { continue };
        *limit = needed - 1;
        let finding = refused(&documents, &limits);
        assert!(finding.file == "all.yaml" && finding.line > 0 && finding.column > 0, "{table:?}: {finding}");
        assert!(finding.help.is_some(), "{table:?}: {finding}");
    }
}

/// G15: looking for the place can be ended at any time, and what is said then is true and less exact.
#[test]
fn g15_the_search_can_be_ended() {
    let limits = CompileLimits { rules_max: 6, ..CompileLimits::default() };
    let documents =
        [given("1.yaml", &policy("z", "any: true", 3)), given("2.yaml", &policy("a", "any: true", 4))].concat();
    for tries in 0..6 {
        let mut left = tries;
        let go_on = || {
            left -= i32::from(left > 0);
            left > 0
        };
        let finding = fit(&documents, &[], &limits, go_on).unwrap_err().to_string();
        assert!(finding.starts_with("2.yaml:"), "{finding}");
        assert!(finding.contains(" is the first past it") || finding.contains("or before"), "{finding}");
    }
}

/// G18: the one limit that no number sets: a word has 16 bits for a class of ports.
#[test]
fn g18_more_ports_than_can_be_told_apart_point_at_the_first_rule_past_that() {
    let services = |rule: u32| -> String {
        let one = |port: u32| format!("{{protocol: tcp, port: {}}}", rule * 256 + port);
        (0..256).map(one).collect::<Vec<_>>().join(", ")
    };
    let rule = |number: u32| format!("{{name: r{number}, action: allow, services: [{}]}}", services(number));
    let text = |rules: u32| {
        let rules: Vec<String> = (0..rules).map(rule).collect();
        let head = "{apiVersion: hedgerow/v1, kind: Policy, metadata: {name: p},\n spec: {tier: platform, appliesTo: {any: true}";
        format!("{head}, ingress: [\n{}]}}}}\n", rules.join(",\n"))
    };
    assert!(fit(&given("p.yaml", &text(255)), &[], &CompileLimits::default(), || true).is_ok());
    // 65,536 ports of TCP, and everything else.
    let finding = refused(&given("p.yaml", &text(256)), &CompileLimits::default()).to_string();
    assert!(
        finding.starts_with("p.yaml:258:8: the compiled policy needs at least 65537 classes of ports"),
        "{finding}"
    );
    assert!(
        finding.contains("65536 is the limit (`port_classes_max`); rule \"r255\" is the first past it"),
        "{finding}"
    );
}
