//! Links between documents point at files that are there.

use std::path::Path;

use super::Finding;

/// Checks the links of one Markdown file.
pub(super) fn check(root: &Path, file: &Path, content: &str) -> Vec<Finding> {
    if file.extension().is_none_or(|end| end != "md") {
        return Vec::new();
    }
    let folder = file.parent().unwrap_or(root);
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(content.lines()) {
        for target in targets(line) {
            let path = target.split('#').next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:") || path.is_empty();
            if !outside && !folder.join(path).exists() {
                findings.push(Finding {
                    file: file.to_owned(),
                    line: number,
                    what: format!("the link to `{target}` leads nowhere"),
                });
            }
        }
    }
    findings
}

/// What stands in the round brackets of `[text](target)`.
fn targets(line: &str) -> Vec<&str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_of_a_line_is_found() {
        assert_eq!(targets("see [a](x.md) and [b](https://example.org/y)"), ["x.md", "https://example.org/y"]);
    }
}
