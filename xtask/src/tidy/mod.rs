//! The rules of the house that no other tool checks. They run in `cargo test` too, so that nobody has to remember them.

mod arrows;
mod kernels;
mod links;
mod reasons;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use crate::build::repository;
use crate::failure::Failure;
use crate::shell::say;

/// Folders that hold nothing of ours; in a second working tree of Git, `.git` is a file.
const LEFT_OUT: [&str; 3] = ["target", ".git", "node_modules"];

/// A broken rule and where.
pub(crate) struct Finding {
    file: PathBuf,
    line: usize,
    what: String,
}

/// Prints every finding, and fails when there is one.
pub(crate) fn run() -> Result<(), Failure> {
    let root = repository();
    let findings = check(&root);
    for finding in &findings {
        let file = finding.file.strip_prefix(&root).unwrap_or(&finding.file);
        say(format!("{}:{}: {}", file.display(), finding.line, finding.what))?;
    }
    match findings.len() {
        0 => say("tidy: nothing to complain about"),
        count => Err(Failure::other(format!("tidy: {count} findings"))),
    }
}

/// All rules on all files.
fn check(root: &Path) -> Vec<Finding> {
    let mut findings = arrows::check(root);
    findings.extend(reasons::check(root));
    findings.extend(kernels::check(root));
    for file in files(root) {
        let Ok(content) = fs::read_to_string(&file) else { continue };
        findings.extend(text::check(&file, &content));
        findings.extend(links::check(root, &file, &content));
    }
    findings
}

/// Every file of the repository, sorted.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if LEFT_OUT.iter().any(|left_out| entry.file_name() == *left_out) {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            found.append(&mut files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_keeps_the_rules_of_the_house() {
        let findings: Vec<_> = check(&repository())
            .iter()
            .map(|one| format!("{}:{}: {}", one.file.display(), one.line, one.what))
            .collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
