//! Texts, names, labels, numbers, choices and lists.

use std::collections::BTreeMap;

use super::Decoder;
use crate::diagnostic::{nearest, shorten};
use crate::document::node::{Node, Value};
use crate::document::{Located, Place};
use crate::model::limits::NAME_CHARS_MAX;

impl Decoder<'_> {
    /// A text.
    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Text(text) => Some(text),
            Value::Number(_) | Value::OtherNumber | Value::Flag(_) => {
                let message = format!("{what} is a text, and this is {}", node.value.describe());
                self.report(node.place, message, "put it in quotes");
                None
            }
            _ => self.unexpected(node, what, "a text"),
        }
    }

    /// A name: what documents, rules and services are called.
    pub(super) fn name(&mut self, node: &Node, what: &str) -> Option<Located<String>> {
        let text = self.text(node, what)?;
        if let Some(wrong) = name_error(text) {
            let help = match proposal(text) {
                Some(name) => format!("names are a-z, 0-9, - and . ; for example \"{name}\""),
                None => "names are a-z, 0-9, - and . , and begin and end with a letter or digit".to_owned(),
            };
            self.report(node.place, format!("{what} {wrong}"), help);
            return None;
        }
        Some(Located { value: text.to_owned(), place: node.place })
    }

    /// Labels with their values.
    pub(super) fn labels(&mut self, node: &Node, what: &str) -> Option<BTreeMap<String, String>> {
        let Value::Map(entries) = &node.value else {
            return self.unexpected(node, what, "a mapping of labels to values");
        };
        let mut labels = BTreeMap::new();
        for (key, value) in entries {
            let text = self.text(value, "the value of a label")?;
            for (part, place) in [(key.value.as_str(), key.place), (text, value.place)] {
                if !is_label(part) {
                    let message = format!("\"{}\" cannot be a label or its value", shorten(part));
                    let help = format!("1 to {NAME_CHARS_MAX} of A-Z, a-z, 0-9, -, _, . and /");
                    self.report(place, message, help);
                    return None;
                }
            }
            labels.insert(key.value.clone(), text.to_owned());
        }
        Some(labels)
    }

    /// A whole number from 0 to a limit.
    pub(super) fn number(&mut self, node: &Node, what: &str, most: u32) -> Option<u32> {
        self.number_between(node, what, 0, most)
    }

    /// A whole number from one limit to another.
    pub(super) fn number_between(&mut self, node: &Node, what: &str, least: u32, most: u32) -> Option<u32> {
        let Value::Number(number) = node.value else {
            return self.unexpected(node, what, "a whole number");
        };
        match u32::try_from(number) {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                let help = format!("it is from {least} to {most}");
                self.report(node.place, format!("{what} cannot be {number}"), help);
                None
            }
        }
    }

    /// True or false.
    pub(super) fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        match node.value {
            Value::Flag(flag) => Some(flag),
            _ => self.unexpected(node, what, "true or false"),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, node: &Node, what: &str, names: &[(&str, T)]) -> Option<T> {
        let written = self.text(node, what)?;
        if let Some((_, choice)) = names.iter().find(|(name, _)| *name == written) {
            return Some(*choice);
        }
        let words = || names.iter().map(|(name, _)| *name);
        let help = match nearest(written, words()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("it is one of {}", words().collect::<Vec<_>>().join(", ")),
        };
        self.report(node.place, format!("{what} cannot be \"{}\"", shorten(written)), help);
        None
    }

    /// A list of at most so many things.
    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str, most: usize) -> Option<&'n [Node]> {
        let Value::List(items) = &node.value else {
            return self.unexpected(node, what, "a list");
        };
        if let Some(first) = items.get(most) {
            let message =
                format!("{what} has {} entries, and {most} is the limit; this is the first past it", items.len());
            self.report(first.place, message, "let segments stand for many addresses, or use several documents");
            return None;
        }
        Some(items)
    }

    /// The same, but not empty: an empty one reads like "nobody" and like "everybody".
    pub(super) fn some<'n>(&mut self, node: &'n Node, what: &str, most: usize, everybody: &str) -> Option<&'n [Node]> {
        let items = self.list(node, what, most)?;
        if items.is_empty() {
            self.report(node.place, format!("{what} is empty"), format!("leave it out to mean {everybody}"));
            return None;
        }
        Some(items)
    }

    /// Reports a name that was given before, to something else of the same kind.
    pub(super) fn twice(&mut self, what: &str, name: &Located<String>, first: Place) {
        let message = format!("there are two {what} named \"{}\"", name.value);
        let help = match first.line {
            0 => "rename or remove one".to_owned(),
            line => format!("the other one is at line {line}, column {}; rename or remove one", first.column),
        };
        self.report(name.place, message, help);
    }

    /// Reports a value of the wrong type.
    pub(super) fn unexpected<T>(&mut self, node: &Node, what: &str, expected: &str) -> Option<T> {
        let message = format!("{what} is {expected}, and this is {}", node.value.describe());
        self.report(node.place, message, format!("write {expected}"));
        None
    }
}

/// What is wrong with a name, if anything.
fn name_error(text: &str) -> Option<String> {
    if text.chars().count() > NAME_CHARS_MAX {
        return Some(format!("\"{}\" is longer than {NAME_CHARS_MAX} characters", shorten(text)));
    }
    let ends = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(ends) || !bytes.last().is_some_and(ends) {
        return Some(format!("\"{}\" does not begin and end with a letter (a-z) or a digit", shorten(text)));
    }
    let odd = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '.'))?;
    Some(format!("\"{}\" has the character {odd:?}", shorten(text)))
}

/// A name like this text that would do.
fn proposal(text: &str) -> Option<String> {
    let usable = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let name: String = text.chars().take(NAME_CHARS_MAX).map(usable).collect();
    let name = name.trim_matches(['-', '.']);
    (!name.is_empty() && name_error(name).is_none()).then(|| name.to_owned())
}

fn is_label(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    !text.is_empty() && text.len() <= NAME_CHARS_MAX && text.chars().all(fits)
}
