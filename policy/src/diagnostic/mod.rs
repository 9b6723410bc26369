//! Findings about documents, each with the place that it is about.

mod nearest;
mod render;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::document::Place;

pub(crate) use nearest::nearest;

/// Findings reported at once; what follows is counted and not described.
pub const DIAGNOSTICS_MAX: usize = 100;

/// Characters of the input that a finding repeats.
const QUOTED_CHARS_MAX: usize = 63;

/// A text as findings repeat it: not all of a long one, and nothing that a terminal would obey.
pub(crate) fn shorten(text: &str) -> Cow<'_, str> {
    let cut = text.char_indices().nth(QUOTED_CHARS_MAX).map(|(end, _)| end);
    if cut.is_none() && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let kept = text[..cut.unwrap_or(text.len())].chars().map(visible);
    Cow::Owned(kept.chain(cut.map(|_| '…')).collect())
}

/// One thing that is wrong in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The source text, or the kind and name of a document that has none.
    pub file: String,
    /// Line, from 1; 0 if the document has no source text.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters are meant; at least 1 is shown.
    pub length: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(file: &str, place: Place, message: impl Into<String>) -> Diagnostic {
        let Place { line, column, length } = place;
        Diagnostic { file: file.to_owned(), line, column, length, message: message.into(), help: None }
    }

    /// A finding about something that no text says, by what it is called.
    pub fn without_place(what: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(what, Place::UNKNOWN, message)
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message)?,
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message)?,
        }
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a set of documents, in the order in which it was written. Never empty. Nothing of such
/// a set is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, finding) in self.0.iter().enumerate() {
            let newline = if position == 0 { "" } else { "\n" };
            write!(f, "{newline}{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Findings as they are made: a bounded number is kept (G15).
#[derive(Debug, Default)]
pub(crate) struct Findings {
    kept: Vec<Diagnostic>,
    more: usize,
}

impl Findings {
    /// Keeps or counts a finding.
    pub(crate) fn push(&mut self, finding: Diagnostic) {
        if self.kept.len() < DIAGNOSTICS_MAX { self.kept.push(finding) } else { self.more += 1 }
    }

    /// Keeps or counts those of another.
    pub(crate) fn append(&mut self, other: Findings) {
        self.more += other.more;
        other.kept.into_iter().for_each(|finding| self.push(finding));
    }

    /// How many were made.
    pub(crate) fn count(&self) -> usize {
        self.kept.len() + self.more
    }

    /// Puts those kept into order.
    pub(crate) fn sort_by_key<K: Ord>(&mut self, key: impl FnMut(&Diagnostic) -> K) {
        self.kept.sort_by_key(key);
    }

    /// The value if nothing was found, else all findings; the last one counts those that were not kept.
    pub(crate) fn unless_any<T>(mut self, value: impl FnOnce() -> T) -> Result<T, Diagnostics> {
        let Some(last) = self.kept.last().cloned() else { return Ok(value()) };
        if self.more > 0 {
            let message = format!("and {} more findings", self.more);
            self.kept.push(Diagnostic { message, help: None, ..last });
        }
        Err(Diagnostics(self.kept))
    }
}
