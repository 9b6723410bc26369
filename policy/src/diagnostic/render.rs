//! Findings for people: the line, a caret under it, and what to do.

use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceSpan};

use super::{Diagnostic, Diagnostics};
use crate::document::SourceText;

/// Columns to which long messages are wrapped.
const WIDTH_COLUMNS: usize = 120;
/// Longer lines, as JSON without line breaks has, are not shown.
const LINE_BYTES_MAX: usize = 512;

impl Diagnostics {
    /// Every finding with the line it is about and a caret under the place. `colour`: with ANSI escapes.
    pub fn render(&self, sources: &[SourceText], colour: bool) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(WIDTH_COLUMNS)
            .with_context_lines(1)
            .without_syntax_highlighting();
        let mut text = String::new();
        for finding in &self.0 {
            let source = sources.iter().find(|source| source.name == finding.file);
            let report = Report::new(finding, source);
            if handler.render_report(&mut text, &report).is_err() {
                text.push_str(&finding.to_string());
                text.push('\n');
            }
        }
        text
    }
}

/// A finding as miette wants it.
#[derive(Debug)]
struct Report<'a> {
    finding: &'a Diagnostic,
    source: Option<NamedSource<String>>,
    span: SourceSpan,
}

impl<'a> Report<'a> {
    fn new(finding: &'a Diagnostic, source: Option<&SourceText>) -> Report<'a> {
        let span = source.and_then(|source| byte_span(&source.text, finding));
        let named = source.filter(|_| span.is_some()).map(|source| NamedSource::new(&source.name, source.text.clone()));
        Report { finding, source: named, span: span.unwrap_or_else(|| (0, 0).into()) }
    }
}

/// The bytes that a finding means; `None` if the text has no such line or it is too long to show.
fn byte_span(text: &str, finding: &Diagnostic) -> Option<SourceSpan> {
    let index = usize::try_from(finding.line).ok()?.checked_sub(1)?;
    let line = text.split_inclusive('\n').nth(index)?;
    let start: usize = text.split_inclusive('\n').take(index).map(str::len).sum();
    let visible = line.trim_end_matches(['\n', '\r']);
    if visible.len() > LINE_BYTES_MAX {
        return None;
    }
    let column = usize::try_from(finding.column).ok()?.saturating_sub(1);
    let length = usize::try_from(finding.length).ok()?.max(1);
    let bytes = |chars: usize| visible.char_indices().nth(chars).map_or(visible.len(), |(byte, _)| byte);
    let (from, to) = (bytes(column), bytes(column + length));
    Some((start + from, to - from).into())
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Some(_) => f.write_str(&self.finding.message),
            None => write!(f, "{}", Diagnostic { help: None, ..self.finding.clone() }),
        }
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.finding.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display + 'a>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.source.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".to_owned()), self.span))))
    }
}
