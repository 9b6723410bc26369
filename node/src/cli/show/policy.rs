//! Documents, revisions, explanations.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::{instant, list, word};
use crate::{
    cli::output::{Show, or_dash, table, write_table},
    view::{
        Applied, ApplyAnswer, Change, DiffAnswer, Explanation, History, KernelAnswer, NodeStateKind, PolicyDocuments,
        Segments, Verdict,
    },
};

/// Documents that were checked offline and are in order.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Validated {
    /// How many documents.
    pub(in crate::cli) documents: usize,
    /// In how many files.
    pub(in crate::cli) files: usize,
}

impl Show for Validated {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        let noun = if self.documents == 1 { "document is" } else { "documents are" };
        writeln!(out, "{} {noun} in order", self.documents)
    }
}

impl Show for PolicyDocuments {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "revision {} at log index {}, digest {}",
            self.revision,
            self.index,
            or_dash(self.digest.map(|digest| digest.short()))
        )?;
        let mut rows = table(["KIND", "NAME"]);
        let text = |document: &Value, pointer: &str| {
            document.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned()
        };
        for document in &self.documents {
            rows.add_row([text(document, "/kind"), text(document, "/metadata/name")]);
        }
        write_table(out, &rows)
    }
}

impl Show for ApplyAnswer {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        for change in &self.changes {
            writeln!(out, "{}", headline(change))?;
        }
        writeln!(out, "{}", sentence(self))?;
        if self.outcome == Applied::DryRun || self.nodes.is_empty() {
            return Ok(());
        }
        let mut rows = table(["NODE", "NAME", "STATE", "DIGEST", "REASON"]);
        for node in &self.nodes {
            rows.add_row([
                node.node.to_string(),
                node.name.clone(),
                word(node.state),
                or_dash(node.digest.map(|digest| digest.short())),
                or_dash(node.reason.as_ref()),
            ]);
        }
        write_table(out, &rows)
    }
}

/// What came of an apply, with its times.
fn sentence(answer: &ApplyAnswer) -> String {
    let revision = answer.revision;
    let active = answer.nodes.iter().filter(|node| node.state == NodeStateKind::Active).count();
    let of = answer.nodes.len();
    let committed = format!("committed at log index {} in {} ms", answer.index, answer.committed_ms);
    match answer.outcome {
        Applied::DryRun if answer.changes.is_empty() => {
            format!("nothing would change: revision {revision} says the same")
        }
        Applied::DryRun => format!("in order; compared with revision {revision}; nothing was applied (dry run)"),
        Applied::Unchanged => format!("nothing changed: revision {revision} says the same"),
        Applied::Committed => format!("revision {revision} {committed}; active on {active} of {of} members so far"),
        Applied::Active => {
            let took = answer.activated_ms.map(|took| format!(" in {took} ms")).unwrap_or_default();
            format!("revision {revision} {committed}, active on {active} of {of} members{took}")
        }
        Applied::Rejected => {
            format!(
                "revision {revision} {committed} and refused by a member; the revision before it stays live everywhere"
            )
        }
    }
}

/// One line for a changed document.
fn headline(change: &Change) -> String {
    format!("{:<8} {} {}", word(change.change), change.kind, change.name)
}

impl Show for DiffAnswer {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.changes.is_empty() {
            return writeln!(out, "nothing would change: revision {} says the same", self.revision);
        }
        for change in &self.changes {
            writeln!(out, "{}", headline(change))?;
            for text in change.text.lines() {
                writeln!(out, "  {text}")?;
            }
        }
        writeln!(out, "compared with revision {}", self.revision)
    }
}

impl Show for Explanation {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} by revision {}", passes(self.verdict), self.revision)?;
        writeln!(out, "{}", self.text.trim_end())?;
        for answer in &self.kernel {
            writeln!(out, "{}", kernel(answer))?;
        }
        Ok(())
    }
}

fn passes(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allowed",
        Verdict::Deny => "denied",
    }
}

/// The kernel's answer at a hook.
fn kernel(answer: &KernelAnswer) -> String {
    let agreement = if answer.agrees { "as compiled" } else { "NOT as compiled: see `hedgerow status`" };
    format!("kernel at {}: {} ({}), {agreement}", answer.hook, passes(answer.verdict), answer.reason)
}

impl Show for History {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut rows = table(["REVISION", "DIGEST", "TIME", "ACTOR", "DOCUMENTS", "MESSAGE"]);
        for revision in &self.revisions {
            rows.add_row([
                format!("{}{}", revision.number, if revision.active { " *" } else { "" }),
                revision.digest.short(),
                instant(revision.at_ms),
                revision.actor.clone(),
                revision.documents.to_string(),
                revision.message.clone(),
            ]);
        }
        write_table(out, &rows)
    }
}

impl Show for Segments {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut rows = table(["SEGMENT", "ROLE", "ADDRESSES", "SERVICES", "LABELS", "POLICIES"]);
        for segment in &self.segments {
            rows.add_row([
                segment.name.clone(),
                segment.role.clone(),
                shortened(&segment.addresses),
                or_dash((!segment.services.is_empty()).then(|| segment.services.join(", "))),
                list(segment.labels.iter().map(|(key, value)| format!("{key}={value}")), "-"),
                list(&segment.policies, "-"),
            ]);
        }
        write_table(out, &rows)
    }
}

/// The first addresses and how many more there are.
fn shortened(addresses: &[String]) -> String {
    /// How many addresses fit in a column.
    const SHOWN_MAX: usize = 3;
    let shown = list(addresses.iter().take(SHOWN_MAX), "-");
    match addresses.len().checked_sub(SHOWN_MAX) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}
