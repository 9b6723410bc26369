//! Answers as table, JSON or YAML.

use std::io::{self, Write};

use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;

use super::{Exit, Terminal, args::Format, failure::Failure, show::write_event};
use crate::view::FlowEvent;

/// An answer that can be shown to a person.
pub(super) trait Show: Serialize {
    /// Writes it as text and tables.
    fn show(&self, out: &mut dyn Write) -> io::Result<()>;
}

/// Prints answers in the form that was asked for.
pub(super) struct Printer<'a> {
    pub(super) terminal: &'a mut Terminal,
    pub(super) format: Format,
}

impl<'a> Printer<'a> {
    pub(super) fn new(terminal: &'a mut Terminal, format: Format) -> Self {
        Self { terminal, format }
    }

    /// Prints an answer; the verb is done.
    pub(super) fn print(&mut self, answer: &impl Show) -> Result<Exit, Failure> {
        let out = &mut self.terminal.out;
        match self.format {
            Format::Table => answer.show(out)?,
            Format::Json => {
                let text = serde_json::to_string_pretty(answer).map_err(|error| Failure::Form(error.to_string()))?;
                writeln!(out, "{text}")?;
            }
            Format::Yaml => {
                let text = serde_saphyr::to_string(answer).map_err(|error| Failure::Form(error.to_string()))?;
                write!(out, "{text}")?;
            }
        }
        out.flush()?;
        Ok(Exit::Done)
    }

    /// Prints one thing of a stream: a line for people, a line of JSON, or a document of YAML.
    pub(super) fn print_one(&mut self, event: &FlowEvent) -> Result<(), Failure> {
        let out = &mut self.terminal.out;
        match self.format {
            Format::Table => write_event(out, event)?,
            Format::Json => {
                let text = serde_json::to_string(event).map_err(|error| Failure::Form(error.to_string()))?;
                writeln!(out, "{text}")?;
            }
            Format::Yaml => {
                let text = serde_saphyr::to_string(event).map_err(|error| Failure::Form(error.to_string()))?;
                write!(out, "---\n{text}")?;
            }
        }
        out.flush()?;
        Ok(())
    }

    /// Prints several documents one after the other, as YAML that can be applied again.
    pub(super) fn print_documents(&mut self, documents: &[serde_json::Value]) -> Result<Exit, Failure> {
        let text = serde_saphyr::to_string_multiple(documents).map_err(|error| Failure::Form(error.to_string()))?;
        self.terminal.out.write_all(text.as_bytes())?;
        self.terminal.out.flush()?;
        Ok(Exit::Done)
    }
}

/// A table without lines, for eyes and for `awk`.
pub(super) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Writes a table without blanks at the ends of lines.
pub(super) fn write_table(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    writeln!(out, "{}", table.trim_fmt())
}

/// A value, or a dash where there is none.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
