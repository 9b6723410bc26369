//! Bad documents: refused with file, line, column and a suggestion, by the command line and by the API, and nothing of them is
//! applied.

use std::{collections::BTreeSet, fs};

use node::{
    client::{Client, ClientError},
    view::{ErrorBody, ErrorKind, Finding, Source, Status},
};

use crate::{
    documents::{WEB, request, segment},
    lab::{Agent, Lab},
};

/// The kinds of mistakes for which a place and a suggestion are promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    DoesNotParse,
    NoSuchName,
    HostBits,
    PortsUpsideDown,
    TwoOfOneName,
    PastALimit,
}

/// A bad document: what it says, where the mistake is, what is said about it, and what to do.
struct Mistake {
    kind: Kind,
    text: String,
    at: (u32, u32),
    says: &'static str,
    help: &'static str,
}

fn mistakes() -> Vec<Mistake> {
    let mistake = |kind, text: String, at, says, help| Mistake { kind, text, at, says, help };
    let web = |from: &str, to: &str| WEB.replace(from, to);
    let fits = format!("  addresses: [{}, ", networks(0..24_576));
    let first_past = u32::try_from(fits.len()).unwrap() + 1;
    vec![
        mistake(Kind::DoesNotParse, web("name: web, labels", "name: [}"), (3, 18), "'[' closed by '}'", "a bracket"),
        mistake(Kind::DoesNotParse, web("kind: Policy", "kind: Polisy"), (10, 7), "Polisy", "Policy"),
        mistake(Kind::DoesNotParse, web("appliesTo:", "appliesToo:"), (14, 3), "appliesToo", "`appliesTo`"),
        mistake(Kind::DoesNotParse, web("tier: application", "tier: aplication"), (13, 9), "aplication", "application"),
        mistake(Kind::NoSuchName, web("segment: web", "segment: wed"), (14, 24), "\"wed\"", "did you mean \"web\"?"),
        mistake(Kind::NoSuchName, web("services: [https]", "services: [htps]"), (16, 83), "\"htps\"", "\"https\""),
        mistake(
            Kind::HostBits,
            web("198.51.100.0/24", "198.51.100.7/24"),
            (16, 53),
            "198.51.100.7/24",
            "198.51.100.0/24",
        ),
        mistake(
            Kind::PortsUpsideDown,
            web("port: 443", "portRange: 443-80"),
            (7, 54),
            "443-80 is upside down",
            "80-443",
        ),
        mistake(
            Kind::TwoOfOneName,
            format!("{WEB}---\n{}", segment("web", "10.0.0.1/32")),
            (20, 18),
            "two Segment documents named \"web\"",
            "rename or remove one",
        ),
        mistake(Kind::PastALimit, rules(4_097), (4_112, 7), "4097 entries, and 4096 is the limit", "segments"),
        mistake(
            Kind::PastALimit,
            web("addresses: [203.0.113.10/32", &format!("addresses: [{}, 203.0.113.10/32", networks(0..24_577))),
            (6, first_past),
            "24576 is the limit (`chunks_max`); 96.0.0.0/17 is the first past it",
            "name fewer networks",
        ),
    ]
}

/// A policy with so many rules.
fn rules(count: usize) -> String {
    let head = WEB.split("ingress:").next().unwrap();
    let rules: String = (0..count).map(|number| format!("    - {{name: r{number}, action: deny}}\n")).collect();
    format!("{head}ingress:\n{rules}")
}

/// Networks of which each needs a chunk of the trie for itself.
fn networks(numbers: std::ops::Range<u32>) -> String {
    let network = |number: u32| format!("{}.{}.0.0/17", number / 256, number % 256);
    numbers.map(network).collect::<Vec<_>>().join(", ")
}

/// What a refusal must leave as it is: revisions, the log, and what the kernel has.
fn unchanged(status: Status) -> impl PartialEq + std::fmt::Debug {
    let attested = status.enforcement.attested.unwrap();
    let enforced = (attested.revision, attested.generation, attested.digest);
    (status.policy.revision, status.raft.unwrap().last_log, enforced)
}

/// The findings with which the API refuses these texts.
fn refused(agent: &Agent, sources: &[(&str, &str)], dry_run: bool) -> Vec<Finding> {
    let source = |(name, text): &(&str, &str)| Source { name: (*name).to_owned(), text: (*text).to_owned() };
    let asked = node::view::ApplyRequest { sources: sources.iter().map(source).collect(), dry_run, ..request("") };
    match agent.ask(async |client: &Client| client.apply(&asked).await) {
        Err(ClientError::Refused(body)) => {
            let ErrorBody { kind, message, findings, .. } = *body;
            assert_eq!(kind, ErrorKind::Invalid);
            assert!(message.ends_with("nothing was applied"), "{message}");
            findings
        }
        other => panic!("it should be refused: {other:?}"),
    }
}

/// Each of the promised kinds, beside a good document, through both doors; then the good one alone is taken.
#[test]
fn bad_documents_point_at_the_mistake_and_change_nothing() {
    let lab = Lab::by_hand(0);
    let agent = &lab.agents[0];
    applied(agent, &lab.file("there.yaml", &segment("there", "10.0.0.3/32")), 1);
    let good = segment("good", "10.0.0.2/32");
    let good_file = lab.file("a-good.yaml", &good);
    let before = unchanged(agent.status());
    let mut kinds = BTreeSet::new();
    for (number, Mistake { kind, text, at: (line, column), says, help }) in mistakes().into_iter().enumerate() {
        kinds.insert(kind);
        for dry_run in [false, true] {
            let found = refused(agent, &[("good.yaml", &good), ("bad.yaml", &text)], dry_run);
            let finding = &found[0];
            assert_eq!(
                (finding.file.as_str(), finding.line, finding.column),
                ("bad.yaml", line, column),
                "{finding:?}"
            );
            assert!(finding.message.contains(says), "{finding:?}");
            assert!(finding.help.as_ref().is_some_and(|said| said.contains(help)), "{finding:?}");
        }
        let file = lab.file(&format!("mistake-{number}.yaml"), &text);
        let place = format!("{file}:{line}:{column}");
        let words = [place.as_str(), "help: ", "nothing was applied"];
        agent.cli(["policy", "apply", "-f", &good_file, "-f", &file]).refused(1, &words);
        agent.cli(["policy", "apply", "-f", &file, "--dry-run"]).refused(1, &words);
        agent.cli(["policy", "diff", "-f", &file]).refused(1, &words);
        agent.cli(["policy", "validate", "-f", &file]).refused(1, &words);
    }
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    // A directory is one write: what is good in it is not applied either.
    let dir = lab.dir("both");
    fs::write(format!("{dir}/a-good.yaml"), &good).unwrap();
    fs::write(format!("{dir}/b-bad.yaml"), &mistakes()[4].text).unwrap();
    agent.cli(["policy", "apply", "-f", &dir]).refused(1, &[&format!("{dir}/b-bad.yaml:14:24"), "nothing was applied"]);
    agent.cli(["policy", "apply", "-f", "/nowhere.yaml"]).refused(2, &["cannot read /nowhere.yaml"]);
    assert_eq!(unchanged(agent.status()), before, "nothing was half-applied");
    applied(agent, &good_file, 2);
}

fn applied(agent: &Agent, file: &str, revision: u64) {
    agent.cli(["policy", "apply", "-f", file]).done();
    assert_eq!(agent.status().policy.revision, revision);
}

/// G18: what is there counts, and what is added to it is where the limit is passed.
#[test]
fn g18_documents_past_a_limit_together_with_those_that_are_there_are_refused() {
    let lab = Lab::by_hand(0);
    let agent = &lab.agents[0];
    let many = WEB.replace("addresses: [203.0.113.10/32", &format!("addresses: [{}", networks(0..24_570)));
    applied(agent, &lab.file("many.yaml", &many), 1);
    let before = unchanged(agent.status());
    let more = segment("more", &networks(24_570..24_580));
    let more = format!(
        "{more}---\n{}",
        WEB.split("---\n").nth(1).unwrap().replace("web", "more").replace(", services: [https]", "")
    );
    let found = refused(agent, &[("more.yaml", &more)], false);
    let said = format!("{found:?}");
    assert_eq!((found[0].file.as_str(), found[0].line), ("more.yaml", 4), "{said}");
    let says = "24576 is the limit (`chunks_max`); 96.0.0.0/17 is the first past it";
    assert!(found[0].message.contains(says), "{said}");
    assert_eq!(unchanged(agent.status()), before, "nothing was half-applied");
}

/// A document can be sound in itself and not fit to those that are there.
#[test]
fn what_does_not_fit_the_documents_that_are_there_is_refused() {
    let lab = Lab::by_hand(0);
    let agent = &lab.agents[0];
    let web = lab.file("web.yaml", WEB);
    applied(agent, &web, 1);
    // The policy `web` would be left without its segment.
    let only = lab.file("only.yaml", WEB.split("---\n").nth(1).unwrap());
    agent.cli(["policy", "apply", "--prune", "-f", &only]).refused(1, &["web", "nothing was applied"]);
    // Without --prune the segment is the one of revision 1.
    let said = agent.cli(["policy", "apply", "-f", &only]).done();
    assert!(said.contains("nothing changed: revision 1 says the same"), "{said}");
    let other =
        lab.file("other.yaml", &WEB.replace("name: web}", "name: other}").replace("segment: web", "segment: nobody"));
    agent.cli(["policy", "apply", "-f", &other]).refused(1, &["nobody", &format!("{other}:14:")]);
    assert_eq!(agent.status().policy.revision, 1);
}
