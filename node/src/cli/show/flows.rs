//! Flow events, one a line: the same form for what there is and for what comes, so columns have fixed widths.

use std::io::{self, Write};

use policy::model::protocol;

use super::{instant, word};
use crate::{
    cli::output::Show,
    view::{FlowEvent, Flows},
};

impl Show for Flows {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.events.is_empty() {
            return writeln!(out, "nothing was refused, observed or logged yet");
        }
        self.events.iter().try_for_each(|event| write_event(out, event))
    }
}

/// Writes an event as one line.
pub(in crate::cli) fn write_event(out: &mut dyn Write, event: &FlowEvent) -> io::Result<()> {
    let ends = format!("{} -> {} {}", source(event), event.dst, event.service);
    write!(
        out,
        "{} {:<10} {:<7} {:<4} {:<17} {ends:<56}",
        instant_ms(event.at_ms),
        event.interface,
        word(event.direction),
        word(event.verdict),
        event.reason
    )?;
    writeln!(out, " {}", notes(event).join("; "))
}

/// The source with its port, if the protocol has ports.
fn source(event: &FlowEvent) -> String {
    match (protocol::has_ports(event.service.protocol), event.src) {
        (true, src) => std::net::SocketAddr::new(src, event.src_port).to_string(),
        (false, src) => src.to_string(),
    }
}

/// The rules that decided, the revision that they are of, and flags.
fn notes(event: &FlowEvent) -> Vec<String> {
    let mut notes = Vec::new();
    let mut rules: Vec<&str> =
        [&event.ingress_rule, &event.egress_rule].into_iter().flatten().map(String::as_str).collect();
    rules.dedup();
    if !rules.is_empty() {
        notes.push(rules.join(" and "));
    }
    if let Some(revision) = event.revision {
        notes.push(format!("revision {revision}"));
    }
    if !event.tcp_flags.is_empty() {
        notes.push(event.tcp_flags.clone());
    }
    notes
}

/// An instant of the wall clock, in UTC, to the millisecond; always of one width.
fn instant_ms(at_ms: u64) -> String {
    format!("{}.{:03}Z", instant(at_ms).trim_end_matches('Z'), at_ms % 1000)
}
