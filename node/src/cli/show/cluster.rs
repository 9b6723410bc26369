//! Members and the answers of `cluster`.

use std::io::{self, Write};

use super::{line, word};
use crate::{
    cli::output::{Show, or_dash, table, write_table},
    view::{ClusterAnswer, Done, Member, Members, TokenAnswer},
};

impl Show for Members {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut rows = table([
            "NODE",
            "NAME",
            "STATE",
            "RAFT",
            "REVISION",
            "GENERATION",
            "DIGEST",
            "APPLIED",
            "ENDPOINT",
            "VERSION",
        ]);
        for member in &self.members {
            let attested = member.attested.as_ref();
            rows.add_row([
                format!("{}{}", member.node, if member.me { " *" } else { "" }),
                member.name.clone(),
                format!("{}{}", word(member.state), if member.disarmed { ", disarmed" } else { "" }),
                part(member).to_owned(),
                or_dash(attested.map(|attested| attested.revision)),
                or_dash(attested.map(|attested| attested.generation)),
                or_dash(attested.map(|attested| attested.digest.short())),
                or_dash(member.applied_index),
                member.endpoint.to_string(),
                or_dash(member.version.as_ref()),
            ]);
        }
        write_table(out, &rows)
    }
}

/// The part of a member in Raft.
fn part(member: &Member) -> &'static str {
    match (member.leader, member.voter, member.witness) {
        (true, _, true) => "leader (witness)",
        (true, _, false) => "leader",
        (false, true, true) => "voter (witness)",
        (false, true, false) => "voter",
        (false, false, _) => "learner",
    }
}

impl Show for ClusterAnswer {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "cluster", &self.cluster.to_string())?;
        line(out, "node", &self.node.to_string())
    }
}

impl Show for TokenAnswer {
    /// The token and nothing else, so that a script can take it.
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.token)
    }
}

impl Show for Done {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.message)
    }
}
