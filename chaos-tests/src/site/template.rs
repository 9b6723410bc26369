//! The configuration files of `deploy/demo`, with `@NAME@` where a value goes.

use std::fs;
use std::path::Path;

use crate::LabError;

pub(super) const KEEPALIVED: &str = include_str!("../../../deploy/demo/keepalived.conf");
pub(super) const NOTIFY: &str = include_str!("../../../deploy/demo/notify.sh");
pub(super) const HAPROXY: &str = include_str!("../../../deploy/demo/haproxy.cfg");
pub(super) const HEDGEROW: &str = include_str!("../../../deploy/demo/hedgerow.toml");

/// Fills a template. A place that no value fills is a mistake in this crate.
pub(super) fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    debug_assert!(!has_open_place(&text), "a place was left open in:\n{text}");
    text
}

/// Fills a template into a file.
pub(super) fn write(file: &Path, template: &str, values: &[(&str, String)]) -> Result<(), LabError> {
    fs::write(file, fill(template, values)).map_err(LabError::io(format!("writing {}", file.display())))
}

fn has_open_place(text: &str) -> bool {
    let is_name =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    text.lines().any(|line| line.split('@').skip(1).step_by(2).any(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_open_ones_noticed() {
        assert_eq!(fill("a @X@ b @X@", &[("X", "1".into())]), "a 1 b 1");
        assert!(has_open_place("x @OPEN@ y"));
        assert!(!has_open_place("mail me@example.org"));
    }
}
