//! What changes between two sets of documents.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use similar::TextDiff;

use crate::document::{Document, Kind};

/// Lines around each change in the text of a [`Change`].
const CONTEXT_LINES: usize = 3;

/// What happens to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// Only the new set has it.
    Added,
    /// Only the old set has it.
    Removed,
    /// Both have it, and they differ.
    Changed,
}

/// One document that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What happens to it.
    pub change: ChangeKind,
    /// Kind of the document.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// A unified diff of the YAML.
    pub text: String,
}

/// All documents that differ, by kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentDiff {
    /// One for each.
    pub changes: Vec<Change>,
    /// How many are in both sets and equal.
    pub unchanged: usize,
}

/// A document as the two sets have it.
type OldAndNew<'a> = (Option<&'a Document>, Option<&'a Document>);

/// Compares two sets of documents by content.
pub fn diff(old: &[Document], new: &[Document]) -> DocumentDiff {
    let mut both: BTreeMap<(Kind, &str), OldAndNew<'_>> = BTreeMap::new();
    for document in old {
        both.entry((document.kind(), &document.name)).or_default().0 = Some(document);
    }
    for document in new {
        both.entry((document.kind(), &document.name)).or_default().1 = Some(document);
    }
    let mut result = DocumentDiff::default();
    for ((kind, name), (old, new)) in both {
        let change = match (old, new) {
            (Some(old), Some(new)) if old == new => {
                result.unchanged += 1;
                continue;
            }
            (Some(_), Some(_)) => ChangeKind::Changed,
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
        };
        let text = unified(kind, name, old, new);
        result.changes.push(Change { change, kind: kind.to_string(), name: name.to_owned(), text });
    }
    result
}

fn unified(kind: Kind, name: &str, old: Option<&Document>, new: Option<&Document>) -> String {
    let yaml = |document: Option<&Document>| document.map(Document::to_yaml).unwrap_or_default();
    let title = |document: Option<&Document>, side: &str| match document {
        Some(_) => format!("{side}/{kind}/{name}"),
        None => "/dev/null".to_owned(),
    };
    let (before, after) = (yaml(old), yaml(new));
    let diff = TextDiff::from_lines(&before, &after);
    let (from, to) = (title(old, "old"), title(new, "new"));
    diff.unified_diff().context_radius(CONTEXT_LINES).header(&from, &to).to_string()
}

impl DocumentDiff {
    /// Whether the sets say the same.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn count(&self, change: ChangeKind) -> usize {
        self.changes.iter().filter(|one| one.change == change).count()
    }
}

impl fmt::Display for DocumentDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            write!(f, "{}", change.text)?;
        }
        let [added, removed, changed] =
            [ChangeKind::Added, ChangeKind::Removed, ChangeKind::Changed].map(|change| self.count(change));
        write!(f, "{added} added, {changed} changed, {removed} removed, {} unchanged", self.unchanged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{SourceText, parse};

    fn documents(mode: &str) -> Vec<Document> {
        let text = format!(
            "apiVersion: hedgerow/v1\nkind: Policy\nmetadata: {{name: web}}\n\
             spec: {{tier: platform, mode: {mode}, appliesTo: {{any: true}}, ingress: []}}\n"
        );
        parse(&[SourceText { name: "web.yaml".to_owned(), text }]).unwrap()
    }

    #[test]
    fn equal_documents_do_not_differ() {
        let difference = diff(&documents("enforce"), &documents("enforce"));
        assert!(difference.is_empty());
        assert_eq!(difference.to_string(), "0 added, 0 changed, 0 removed, 1 unchanged");
    }

    #[test]
    fn a_changed_field_is_one_line() {
        let difference = diff(&documents("enforce"), &documents("observe"));
        let text = difference.to_string();
        assert!(text.contains("--- old/Policy/web\n+++ new/Policy/web\n"), "{text}");
        let changed: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---"))
            .collect();
        assert_eq!(changed, ["+  mode: observe"], "{text}");
        assert!(text.ends_with("0 added, 1 changed, 0 removed, 0 unchanged"), "{text}");
    }

    #[test]
    fn a_changed_limit_is_one_line() {
        let limited = |limits: &str| {
            let text = format!(
                "apiVersion: hedgerow/v1\nkind: Policy\nmetadata: {{name: web}}\n\
                 spec: {{tier: platform, appliesTo: {{any: true}}, ingress: [{{name: r, action: allow{limits}}}]}}\n"
            );
            parse(&[SourceText { name: "web.yaml".to_owned(), text }]).unwrap()
        };
        let [none, ten, twenty] = ["", ", limits: {packets: 10}", ", limits: {packets: 20}"].map(limited);
        let text = diff(&ten, &twenty).to_string();
        assert!(text.contains("-      packets: 10\n+      packets: 20\n"), "{text}");
        let text = diff(&none, &ten).to_string();
        assert!(text.contains("+    limits:\n+      packets: 10\n"), "{text}");
    }

    #[test]
    fn added_and_removed_documents_show_whole() {
        let added = diff(&[], &documents("enforce"));
        assert_eq!(added.changes[0].change, ChangeKind::Added);
        assert!(added.changes[0].text.contains("+kind: Policy\n"), "{}", added.changes[0].text);
        let removed = diff(&documents("enforce"), &[]);
        assert_eq!(removed.changes[0].change, ChangeKind::Removed);
        assert!(removed.changes[0].text.contains("-kind: Policy\n"));
    }
}
