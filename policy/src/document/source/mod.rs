//! From text to trees.

use std::sync::Arc;

use serde_saphyr::{DuplicateKeyPolicy, Options, RenderOptions, UserMessageFormatter, budget::BudgetBreach};

use super::decode::{Decoder, document};
use super::node::{Node, Placed, Value, place};
use super::{Document, Place, SourceText};
use crate::diagnostic::{Diagnostic, Diagnostics, Findings};
use crate::model::limits::{DOCUMENTS_MAX, NODES_MAX, SOURCE_BYTES_MAX, SOURCE_DEPTH_MAX};

/// Where a finding about a text as a whole points.
const BEGINNING: Place = Place { line: 1, column: 1, length: 1 };

/// The documents in these texts, in order. YAML, several to a text, or JSON, of which a list counts as several.
///
/// Everything that can be judged by looking at one document is judged here; all findings of all texts are reported
/// together. Never panics, whatever the text (G15).
pub fn parse(sources: &[SourceText]) -> Result<Vec<Document>, Diagnostics> {
    let bytes: usize = sources.iter().map(|source| source.text.len()).sum();
    let mut before = 0;
    let past = sources.iter().find(|source| {
        before += source.text.len();
        before > SOURCE_BYTES_MAX
    });
    if let Some(past) = past {
        let message = format!("the documents are {bytes} bytes long together, and {SOURCE_BYTES_MAX} is the limit");
        let finding = Diagnostic::new(&past.name, BEGINNING, message).help("apply the documents in parts");
        return Err(Diagnostics(vec![finding]));
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
    // What is said of no place is said of the text as a whole: its beginning.
    let place = error.location().map_or(BEGINNING, place);
    let finding = |message: String, help| Diagnostic::new(&source.name, place, message).help(help);
    let message = strip_place(&message);
    match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { .. } => finding(message, "keep one of them"),
        serde_saphyr::Error::Budget { breach, .. } => {
            finding(budget(breach), "use several files, or write less into this one")
        }
        // Said by the scanner, which is stopped before the budget is asked.
        _ if message == "recursion limit exceeded" => {
            finding(nested(), "close a bracket, or write the inner lists flat")
        }
        _ => finding(
            format!("this cannot be read as YAML or JSON: {message}"),
            "look here and just before for a bracket, a quote, a colon or an indentation that does not match",
        ),
    }
}

/// Which bound of a text was passed.
fn budget(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Depth { .. } => nested(),
        BudgetBreach::Documents { .. } => {
            format!("the text has more documents than {DOCUMENTS_MAX}, which is the limit")
        }
        BudgetBreach::Nodes { .. } => format!("the text has more values than {NODES_MAX}, which is the limit"),
        BudgetBreach::ScalarBytes { .. } => {
            format!(
                "the values of the text, aliases written out, are longer than {SOURCE_BYTES_MAX} bytes, which is the limit"
            )
        }
        other => format!("the text is too complex to read: {other:?}"),
    }
}

fn nested() -> String {
    format!("lists and mappings are nested more than {SOURCE_DEPTH_MAX} deep, which is the limit")
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
