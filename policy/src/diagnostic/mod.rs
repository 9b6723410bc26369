//! Findings about documents, each with the place that it is about.

mod nearest;
mod render;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::document::Place;

pub(crate) use nearest::nearest;

/// Findings reported at once; what follows is counted and not described.
pub const DIAGNOSTICS_MAX: usize = 100;

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

    pub(crate) fn help(mut self, help: impl Into<String>) -> Diagnostic {
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

impl Diagnostics {
    /// All findings, or the value if there are none. Findings past [`DIAGNOSTICS_MAX`] become one that counts them.
    pub(crate) fn unless_empty<T>(mut findings: Vec<Diagnostic>, value: impl FnOnce() -> T) -> Result<T, Diagnostics> {
        if findings.is_empty() {
            return Ok(value());
        }
        if findings.len() > DIAGNOSTICS_MAX {
            let more = findings.len() - DIAGNOSTICS_MAX;
            findings.truncate(DIAGNOSTICS_MAX);
            if let Some(last) = findings.last().cloned() {
                findings.push(Diagnostic {
                    message: format!("and {more} more findings like these"),
                    help: None,
                    ..last
                });
            }
        }
        Err(Diagnostics(findings))
    }
}

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
