//! Rules on the text of one file.

use std::path::Path;

use super::Finding;

/// The longest source file, in lines. Past it, ask what second thing moved in.
const SOURCE_LINES_MAX: usize = 600;
/// The longest header of the data path, in lines.
const HEADER_LINES_MAX: usize = 400;
/// Folders that belong to somebody's machine and to no repository.
const MACHINE_FOLDERS: [&str; 4] = ["home", "work", "root", "Users"];

/// Checks one file.
pub(super) fn check(file: &Path, content: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |line: usize, what: String| findings.push(Finding { file: file.to_owned(), line, what });
    let end = file.extension().and_then(|end| end.to_str()).unwrap_or_default();
    let lines_max = match end {
        "rs" | "c" => SOURCE_LINES_MAX,
        "h" => HEADER_LINES_MAX,
        _ => usize::MAX,
    };
    let lines = content.lines().count();
    if lines > lines_max {
        add(lines, format!("{lines} lines, and {lines_max} are allowed: which second thing moved in?"));
    }
    for (number, line) in (1..).zip(content.lines()) {
        if let Some(path) = machine_path(line) {
            add(number, format!("`{path}` is a path of somebody's machine"));
        }
        if line.ends_with([' ', '\t']) && end != "md" {
            add(number, "white space at the end of the line".into());
        }
    }
    if end == "rs" {
        rust(content, &mut add);
    }
    if matches!(end, "c" | "h") && !content.lines().take(2).any(|line| line.contains("SPDX-License-Identifier:")) {
        add(1, "no SPDX-License-Identifier in the first two lines".into());
    }
    findings
}

/// What Rust source must not contain. Clippy has the same rules for what it sees; this sees every `cfg`.
fn rust(content: &str, add: &mut impl FnMut(usize, String)) {
    let stubs = ["todo", "unimplemented"].map(|word| format!("{word}!("));
    let marks = ["FIX", "XX"].map(|half| format!("{half}{}", if half == "FIX" { "ME" } else { "X" }));
    let allow = format!("#[{}(", "allow");
    for (number, line) in (1..).zip(content.lines()) {
        for word in stubs.iter().chain(&marks) {
            if line.contains(word.as_str()) {
                add(number, format!("`{word}` is a promise nobody keeps"));
            }
        }
        if line.trim_start().starts_with(&allow) {
            add(number, "a lint is expected with a reason, not allowed".into());
        }
    }
}

/// A path below one of the folders that no two machines share.
fn machine_path(line: &str) -> Option<String> {
    MACHINE_FOLDERS.iter().find_map(|folder| {
        let path = format!("/{folder}/");
        let at = line.find(&path)?;
        let before = line[..at].chars().next_back();
        let is_root = !before.is_some_and(|c| c.is_alphanumeric() || "._-/~}*)>".contains(c));
        let owner = line[at + path.len()..].chars().next();
        (is_root && owner.is_some_and(|c| c.is_alphanumeric() || c == '.')).then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, content: &str) -> Vec<String> {
        check(Path::new(name), content).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        let path = format!("see {}me/{}", "/ho", "x");
        assert_eq!(findings("a.md", &path).len(), 1);
        assert_eq!(findings("a.md", "the folder target/work/x and src/root/y").len(), 0);
        assert_eq!(findings("a.rs", &"x\n".repeat(601)).len(), 1);
        assert_eq!(findings("a.rs", &format!("{}!()", "todo")).len(), 1);
        assert_eq!(findings("a.rs", &format!("#[{}(dead_code)]", "allow")).len(), 1);
        assert_eq!(findings("a.c", "int x;").len(), 1);
        assert_eq!(findings("a.c", "// SPDX-License-Identifier: GPL-2.0-only\n").len(), 0);
        assert_eq!(findings("a.rs", "let x = 1; ").len(), 1);
    }
}
