//! The canonical form: how documents are kept, compared and sent.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};

use super::decode::{self, Decoder};
use super::node::{Node, Plain};
use super::{Document, Place, encode};
use crate::diagnostic::{Diagnostic, Diagnostics};

impl Document {
    /// Canonical JSON: one line, fields in one order, defaults left out. Equal documents give equal text, and the text
    /// gives an equal document.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&encode::document(self)).expect("a tree with text keys is JSON")
    }

    /// The same content as YAML, for people.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(&encode::document(self)).expect("a tree with text keys is YAML")
    }

    /// A document from JSON, canonical or not. Judged as by [`parse`](super::parse); without places.
    pub fn from_json(text: &str) -> Result<Document, Diagnostics> {
        let Plain(tree) = serde_json::from_str(text).map_err(|error| {
            let place = Place { line: bounded(error.line()), column: bounded(error.column()), length: 0 };
            Diagnostics(vec![Diagnostic::new("JSON document", place, error.to_string())])
        })?;
        from_tree(&tree)
    }
}

fn bounded(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn from_tree(tree: &Node) -> Result<Document, Diagnostics> {
    let mut decoder = Decoder::new(None);
    let document = decode::document(&mut decoder, tree);
    decoder.finish().unless_any(|| document.expect("a document without findings is whole"))
}

/// As a tree in formats that describe themselves, else as canonical JSON in a text.
impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            encode::document(self).serialize(serializer)
        } else {
            serializer.serialize_str(&self.to_json())
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        let document = if deserializer.is_human_readable() {
            let Plain(tree) = Plain::deserialize(deserializer)?;
            from_tree(&tree)
        } else {
            Document::from_json(&String::deserialize(deserializer)?)
        };
        document.map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
