//! Which crate may depend on which: ARCHITECTURE.md's picture as a test.

use std::fs;
use std::path::Path;

use super::Finding;

/// Each crate with the crates of the workspace that it may depend on.
const ARROWS: [(&str, &[&str]); 10] = [
    ("identity", &[]),
    ("policy", &["identity"]),
    ("dataplane", &["identity", "policy"]),
    ("transport", &["identity"]),
    ("membership", &["identity"]),
    ("raft", &["identity", "policy"]),
    ("node", &["identity", "policy", "dataplane", "transport", "membership", "raft"]),
    ("chaos-tests", &[]),
    ("xtask", &[]),
    ("fuzz", &["identity", "policy", "dataplane"]),
];

/// Crates that no crate but the one named may depend on: the walls behind which a choice can be changed.
const WALLS: [(&str, &str); 8] = [
    ("quinn", "transport"),
    ("rcgen", "transport"),
    ("openraft", "raft"),
    ("redb", "raft"),
    ("foca", "membership"),
    ("aya", "dataplane"),
    ("axum", "node"),
    ("clap", "node"),
];

/// Crates that the pure core must not know.
const NOT_IN_POLICY: [&str; 4] = ["tokio", "async-trait", "rand", "reqwest"];

/// Checks every manifest.
pub(super) fn check(root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, allowed) in ARROWS {
        let file = root.join(name).join("Cargo.toml");
        let Ok(content) = fs::read_to_string(&file) else {
            findings.push(Finding { file, line: 1, what: format!("the crate {name} is missing") });
            continue;
        };
        for (line, dependency) in dependencies(&content) {
            if let Some(what) = objection(name, allowed, dependency) {
                findings.push(Finding { file: file.clone(), line, what });
            }
        }
    }
    findings
}

fn objection(name: &str, allowed: &[&str], dependency: &str) -> Option<String> {
    let ours = ARROWS.iter().any(|(one, _)| *one == dependency);
    if ours && !allowed.contains(&dependency) {
        return Some(format!("{name} must not depend on {dependency}: see ARCHITECTURE.md"));
    }
    if let Some((_, owner)) = WALLS.iter().find(|(wall, owner)| *wall == dependency && *owner != name) {
        return Some(format!("only {owner} may know {dependency}"));
    }
    if name == "policy" && NOT_IN_POLICY.contains(&dependency) {
        return Some(format!("policy is pure: no {dependency}"));
    }
    None
}

/// The lines and names of `[dependencies]` and `[build-dependencies]`. Tests may depend on what they like.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(manifest.lines()) {
        if line.starts_with('[') {
            inside = line.trim_end().ends_with("dependencies]") && !line.contains("dev-");
        } else if inside && let Some(end) = line.find(['.', ' ', '=']) {
            found.push((number, &line[..end]));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_that_runs_up_is_noticed() {
        assert!(objection("policy", &["identity"], "raft").is_some());
        assert!(objection("raft", &["identity", "policy"], "quinn").is_some());
        assert!(objection("policy", &["identity"], "tokio").is_some());
        assert!(objection("node", &["raft"], "raft").is_none());
    }

    #[test]
    fn dependencies_of_tests_do_not_count() {
        let manifest = "[dependencies]\nserde.workspace = true\nraft = { path = \"../raft\" }\n\n[dev-dependencies]\nproptest = \"1\"\n";
        assert_eq!(dependencies(manifest), [(2, "serde"), (3, "raft")]);
    }
}
