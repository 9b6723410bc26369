//! From text to trees.

use std::sync::Arc;

use serde_saphyr::{DuplicateKeyPolicy, Options, RenderOptions, UserMessageFormatter};

use super::decode::{Decoder, document};
use super::node::{Node, Placed, Value, place};
use super::{Document, Place, SourceText};
use crate::diagnostic::{Diagnostic, Diagnostics, Findings};
use crate::model::limits::{DOCUMENTS_MAX, NODES_MAX, SOURCE_BYTES_MAX, SOURCE_DEPTH_MAX};

/// The documents in these texts, in order. YAML, several to a text, or JSON, of which a list counts as several.
///
/// Everything that can be judged by looking at one document is judged here; all findings of all texts are reported
/// together. Never panics, whatever the text (G15).
pub fn parse(sources: &[SourceText]) -> Result<Vec<Document>, Diagnostics> {
    let bytes: usize = sources.iter().map(|source| source.text.len()).sum();
    if let Some(first) = sources.first().filter(|_| bytes > SOURCE_BYTES_MAX) {
        let message = format!("the documents are {bytes} bytes long, and {SOURCE_BYTES_MAX} is the limit");
        return Err(Diagnostics(vec![Diagnostic::new(&first.name, Place::UNKNOWN, message)]));
    }
    let mut documents = Vec::new();
    let mut findings = Findings::default();
    for source in sources {
        let file: Arc<str> = source.name.as_str().into();
        match trees(source) {
            Err(finding) => findings.push(*finding),
            Ok(trees) => {
                for tree in trees {
                    let mut decoder = Decoder::new(Some(&file));
                    let decoded = document(&mut decoder, &tree);
                    findings.append(decoder.finish());
                    documents.extend(decoded);
                }
            }
        }
    }
    findings.unless_any(|| documents)
}

/// The trees of a text, without empty documents.
fn trees(source: &SourceText) -> Result<Vec<Node>, Box<Diagnostic>> {
    let parsed: Vec<Placed> = serde_saphyr::from_multiple_with_options(&source.text, options())
        .map_err(|error| Box::new(syntax(source, &error)))?;
    let mut trees = Vec::with_capacity(parsed.len());
    for Placed(tree) in parsed {
        match tree.value {
            Value::List(items) => trees.extend(items),
            _ => trees.push(tree),
        }
    }
    Ok(trees)
}

/// Bounds on what a text may make the parser do (G15).
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 4 * NODES_MAX,
            max_nodes: NODES_MAX,
            max_depth: SOURCE_DEPTH_MAX,
            flow_nesting_limit: SOURCE_DEPTH_MAX,
            max_documents: DOCUMENTS_MAX + 1,
            max_total_scalar_bytes: SOURCE_BYTES_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn syntax(source: &SourceText, error: &serde_saphyr::Error) -> Diagnostic {
    let options = RenderOptions::new(&UserMessageFormatter);
    let message = error.without_snippet().render_with_options(options);
    let place = error.location().map_or(Place::UNKNOWN, place);
    let finding = Diagnostic::new(&source.name, place, strip_place(&message));
    match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { .. } => finding.help("keep one of them"),
        _ => finding.help("this cannot be read as YAML or JSON"),
    }
}

/// The message without the place that the parser appends: a finding says it in front.
fn strip_place(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("the text cannot be read");
    let line = line.trim().trim_start_matches("error: ");
    let end = line.rfind(" at line ").unwrap_or(line.len());
    line[..end].to_owned()
}

#[cfg(test)]
mod tests;
