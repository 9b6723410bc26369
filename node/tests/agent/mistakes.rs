//! Bad documents: refused with file, line and column, and nothing of them is applied.

use crate::{
    documents::{WEB, segment},
    lab::{Agent, Lab},
};

/// A bad document: what it says, where the mistake is, and what is said about it.
struct Mistake {
    text: String,
    at: &'static str,
    says: &'static [&'static str],
}

fn mistakes() -> Vec<Mistake> {
    let mistake = |text: String, at, says| Mistake { text, at, says };
    vec![
        mistake("apiVersion: hedgerow/v1\nkind: Segment\nmetadata: {name: [}\n".to_owned(), "3:", &[]),
        mistake(WEB.replace("segment: web", "segment: wed"), "14:", &["wed", "did you mean \"web\""]),
        mistake(WEB.replace("services: [https]", "services: [htps]"), "16:", &["htps", "https"]),
        mistake(WEB.replace("198.51.100.0/24", "198.51.100.7/24"), "16:", &["198.51.100.7/24", "198.51.100.0/24"]),
        mistake(WEB.replace("port: 443", "portRange: 443-80"), "7:", &["443-80 is upside down", "80-443"]),
        mistake(WEB.replace("kind: Policy", "kind: Polisy"), "10:", &["Polisy", "Policy"]),
        mistake(WEB.replace("appliesTo:", "appliesToo:"), "14:", &["appliesToo", "appliesTo"]),
        mistake(WEB.replace("tier: application", "tier: aplication"), "13:", &["aplication", "application"]),
        mistake(
            format!("{WEB}---\n{}", segment("web", "10.0.0.1/32")),
            "20:",
            &["two Segment documents named \"web\""],
        ),
    ]
}

#[test]
fn bad_documents_point_at_the_mistake_and_change_nothing() {
    let lab = Lab::by_hand(0);
    let agent = &lab.agents[0];
    let good = lab.file("a-good.yaml", &segment("good", "10.0.0.2/32"));
    for (number, Mistake { text, at, says }) in mistakes().into_iter().enumerate() {
        let file = lab.file(&format!("mistake-{number}.yaml"), &text);
        let place = format!("{file}:{at}");
        let words: Vec<&str> = says.iter().copied().chain([place.as_str(), "nothing was applied"]).collect();
        agent.cli(["policy", "apply", "-f", &good, "-f", &file]).refused(1, &words);
        agent.cli(["policy", "apply", "-f", &file, "--dry-run"]).refused(1, &[&place]);
        agent.cli(["policy", "diff", "-f", &file]).refused(1, &[&place]);
        agent.cli(["policy", "validate", "-f", &file]).refused(1, &[&place]);
    }
    assert_eq!(agent.status().policy.revision, 0, "nothing was half-applied");
    let last = agent.status().raft.unwrap().last_log;
    agent.cli(["policy", "apply", "-f", "/nowhere.yaml"]).refused(2, &["cannot read /nowhere.yaml"]);
    assert_eq!(agent.status().raft.unwrap().last_log, last);
    applied(agent, &good);
}

fn applied(agent: &Agent, file: &str) {
    agent.cli(["policy", "apply", "-f", file]).done();
    assert_eq!(agent.status().policy.revision, 1);
}

/// A document can be sound in itself and not fit to those that are there.
#[test]
fn what_does_not_fit_the_documents_that_are_there_is_refused() {
    let lab = Lab::by_hand(0);
    let agent = &lab.agents[0];
    let web = lab.file("web.yaml", WEB);
    applied(agent, &web);
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
