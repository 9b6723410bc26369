//! One mistake in a configuration file, shown with the line it is on.

use std::{fmt, ops::Range};

/// One mistake: where, what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// What is wrong and what to write instead.
    pub message: String,
    /// The text of the line.
    excerpt: String,
    /// How many characters to underline.
    width: usize,
}

impl Problem {
    /// A mistake at a range of bytes of `text`.
    pub(super) fn at(file: &str, text: &str, span: &Range<usize>, message: String) -> Self {
        let start = floor_boundary(text, span.start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let excerpt = text[line_start..].lines().next().unwrap_or_default().to_owned();
        let column = before[line_start..].chars().count() + 1;
        let end = floor_boundary(text, span.end.max(start));
        let marked = text[start..end].lines().next().unwrap_or_default().chars().count();
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column,
            message,
            excerpt,
            width: marked.max(1),
        }
    }
}

/// The last character boundary at or before `at`.
fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let before: String =
            self.excerpt.chars().take(self.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        writeln!(f, " {number} | {}", self.excerpt)?;
        write!(f, " {margin} | {before}{}", "^".repeat(self.width))
    }
}

/// All problems, one after the other.
pub(super) fn render(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
