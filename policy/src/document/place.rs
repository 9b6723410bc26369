//! Where in a source text something was written.

use std::fmt;
use std::sync::Arc;

/// A run of characters on one line. Lines and columns count from 1; a place of line 0 is unknown, as in a document that
/// came from the log and not from a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Line, from 1; 0 if unknown.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Characters that are meant; may be 0.
    pub length: u32,
}

impl Place {
    /// Of something that no text says.
    pub const UNKNOWN: Place = Place { line: 0, column: 0, length: 0 };
}

/// A place and its file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Name of the source text.
    pub file: Arc<str>,
    /// Where in it.
    pub place: Place,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.place.line, self.place.column)
    }
}

/// A value that remembers where it was written. Two are equal if their values are.
#[derive(Clone, Copy, Debug)]
pub struct Located<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub place: Place,
}

impl<T> Located<T> {
    /// A value that was not written anywhere.
    pub fn nowhere(value: T) -> Located<T> {
        Located { value, place: Place::UNKNOWN }
    }
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Located<T>) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Located<T> {}
