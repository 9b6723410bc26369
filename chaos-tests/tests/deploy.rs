//! What is shipped in `deploy/` and shown in the README is accepted by the program that it is for.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use policy::{Flow, SourceText, Verdict, evaluate, parse, validate};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The documents of a folder, as the command line would read them.
fn folder(name: &str) -> Vec<SourceText> {
    let mut sources: Vec<_> = fs::read_dir(repository().join(name))
        .expect("a part of the repository")
        .map(|entry| entry.expect("a part of the repository").path())
        .map(|file| SourceText {
            name: file.display().to_string(),
            text: fs::read_to_string(&file).expect("a part of the repository"),
        })
        .collect();
    sources.sort_by(|one, other| one.name.cmp(&other.name));
    sources
}

fn model(sources: &[SourceText]) -> policy::Model {
    let documents = parse(sources).unwrap_or_else(|findings| panic!("{findings}"));
    validate(&documents).unwrap_or_else(|findings| panic!("{findings}"))
}

fn tcp(src: &str, dst: &str, port: u16) -> Flow {
    let address = |text: &str| text.parse::<IpAddr>().expect("a part of the repository");
    Flow { src: address(src), dst: address(dst), protocol: 6, src_port: 40_000, dst_port: port }
}

/// The demonstration's policies mean what its steps then try with packets.
#[test]
fn the_policies_of_the_demonstration_mean_what_it_shows() {
    let members: Vec<IpAddr> =
        ["10.77.0.1", "203.0.113.1", "10.88.0.1", "fd88::1"].map(|text| text.parse().unwrap()).into();
    let flows = [
        (tcp("203.0.113.201", "203.0.113.100", 80), Verdict::Allow),
        (tcp("203.0.113.202", "203.0.113.100", 80), Verdict::Deny),
        (tcp("203.0.113.201", "203.0.113.1", 80), Verdict::Allow),
        (tcp("203.0.113.202", "203.0.113.1", 80), Verdict::Deny),
        (tcp("2001:db8:77::201", "2001:db8:77::100", 80), Verdict::Allow),
        (tcp("2001:db8:77::202", "2001:db8:77::100", 80), Verdict::Deny),
        (tcp("10.88.0.11", "10.88.0.1", 8404), Verdict::Deny),
        (tcp("10.88.0.1", "10.88.0.11", 8080), Verdict::Allow),
        (tcp("fd88::1", "fd88::12", 8080), Verdict::Allow),
    ];
    let mut sources = folder("deploy/demo/policies");
    let enforced = model(&sources);
    for (flow, verdict) in &flows {
        assert_eq!(evaluate(&enforced, &members, flow).verdict, *verdict, "{flow:?}");
    }
    sources.extend(folder("deploy/demo/deny-all"));
    let locked_down = model(&sources);
    for (flow, _) in &flows {
        assert_eq!(evaluate(&locked_down, &members, flow).verdict, Verdict::Deny, "{flow:?}");
    }
}

/// The examples are valid together.
#[test]
fn the_examples_are_valid() {
    model(&folder("deploy/examples/policies"));
}

/// Every YAML block of the README that is a policy document is valid.
#[test]
fn the_policy_in_the_readme_is_valid() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let blocks: Vec<_> = readme.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        model(&[SourceText { name: "README.md".into(), text: block.into() }]);
    }
}
