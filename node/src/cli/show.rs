//! Every answer as text for people.

mod cluster;
mod flows;
mod policy;
mod status;

use std::io::{self, Write};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub(super) use self::{flows::write_event, policy::Validated};

/// An instant of the wall clock, in UTC, to the second.
pub(super) fn instant(at_ms: u64) -> String {
    let seconds = i64::try_from(at_ms / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|instant| instant.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{at_ms} ms"))
}

/// A line of a card: a label, then what there is to say.
fn line(out: &mut dyn Write, label: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{label:<12} {text}")
}

/// Things in a row, or a word if there are none.
fn list<T: ToString>(items: impl IntoIterator<Item = T>, empty: &str) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { empty.to_owned() } else { items.join(" ") }
}

/// How a value of a plain enum is written in the API: one word.
fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        _ => "unknown".to_owned(),
    }
}
