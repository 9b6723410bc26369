//! The manual names every reason of the data path by the same number and name as the program.

use std::fs;
use std::path::Path;

use super::Finding;

const PROGRAM: &str = "dataplane/src/reason.rs";
const MANUAL: &str = "docs/manual/reasons.md";

/// Compares the two lists.
pub(super) fn check(root: &Path) -> Vec<Finding> {
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_default();
    let (program, manual) = (in_program(&read(PROGRAM)), in_manual(&read(MANUAL)));
    let mut findings = Vec::new();
    for missing in program.iter().filter(|one| !manual.contains(one)) {
        let what = format!("the reason {} `{}` is missing or another", missing.0, missing.1);
        findings.push(Finding { file: root.join(MANUAL), line: 1, what });
    }
    for left_over in manual.iter().filter(|one| !program.contains(one)) {
        let what = format!("the program has no reason {} `{}`", left_over.0, left_over.1);
        findings.push(Finding { file: root.join(MANUAL), line: 1, what });
    }
    if program.is_empty() {
        findings.push(Finding { file: root.join(PROGRAM), line: 1, what: "no reasons were found".into() });
    }
    findings
}

/// Lines such as `Denied = 32, "denied", "…";`.
fn in_program(source: &str) -> Vec<(u32, String)> {
    let reason = |line: &str| {
        let (_, rest) = line.trim().split_once(" = ")?;
        let (number, rest) = rest.split_once(", \"")?;
        Some((number.parse().ok()?, rest.split('"').next()?.to_owned()))
    };
    source.lines().filter_map(reason).collect()
}

/// Rows such as `| 32 | `denied` | … |`.
fn in_manual(page: &str) -> Vec<(u32, String)> {
    let reason = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let number = cells.next()?.parse().ok()?;
        Some((number, cells.next()?.trim_matches('`').to_owned()))
    };
    page.lines().filter_map(reason).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_are_read() {
        assert_eq!(in_program("    Denied = 32, \"denied\", \"A direction denies.\";\n"), [(32, "denied".to_owned())]);
        assert_eq!(in_manual("| number | name |\n|---|---|\n| 32 | `denied` | x |\n"), [(32, "denied".to_owned())]);
    }
}
