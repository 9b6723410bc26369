//! Status, channels, disarm.

use std::io::{self, Write};

use super::{instant, line, list, word};
use crate::{
    cli::{
        output::{Show, or_dash, table, write_table},
        span::show_span,
    },
    view::{Channels, DisarmAnswer, Enforcement, PolicyState, Raft, Status},
};

impl Show for Status {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        let node = or_dash(self.node);
        line(
            out,
            "node",
            &format!("{node} {}, version {}, up {}", self.name, self.version, show_span(self.uptime_ms)),
        )?;
        line(out, "cluster", &or_dash(self.cluster))?;
        let ready = if self.ready { "ready" } else { "not ready" };
        line(out, "phase", &format!("{}, {ready}", word(self.phase)))?;
        for reason in &self.waiting_for {
            line(out, "waiting for", reason)?;
        }
        if let Some(raft) = &self.raft {
            line(out, "consensus", &consensus(raft))?;
            line(out, "voters", &list(&raft.voters, "none"))?;
            if !raft.learners.is_empty() {
                line(out, "learners", &list(&raft.learners, "none"))?;
            }
        }
        let members = &self.members;
        line(
            out,
            "members",
            &format!(
                "{} alive, {} suspect, {} down of {}",
                members.alive, members.suspect, members.down, members.total
            ),
        )?;
        line(out, "policy", &policy(&self.policy))?;
        line(out, "enforcing", &enforcing(&self.enforcement))?;
        for alarm in &self.alarms {
            line(out, "ALARM", &format!("{}: {}", alarm.name, alarm.message))?;
        }
        hooks(out, &self.enforcement)
    }
}

fn consensus(raft: &Raft) -> String {
    let leader = raft.leader.map_or_else(|| "no leader".to_owned(), |leader| format!("leader {leader}"));
    let quorum = if raft.quorum { "quorum" } else { "NO QUORUM: nothing can be written" };
    format!(
        "{leader}, this node {}, term {}, log {}, committed {}, applied {}, {quorum}",
        word(raft.role),
        raft.term,
        raft.last_log,
        raft.committed,
        raft.applied
    )
}

fn policy(policy: &PolicyState) -> String {
    let digest = policy.digest.map(|digest| format!(" ({})", digest.short())).unwrap_or_default();
    let mut text = format!(
        "revision {}{digest}; revision {} active since epoch {}",
        policy.revision, policy.active_revision, policy.epoch
    );
    if let Some(rejected) = &policy.rejected {
        text.push_str(&format!("; revision {} was refused: {}", rejected.revision, rejected.reason));
    }
    text
}

fn enforcing(enforcement: &Enforcement) -> String {
    let mode = word(enforcement.mode);
    let live = enforcement.attested.as_ref().map_or_else(
        || "nothing yet".to_owned(),
        |live| format!("revision {}, generation {}, digest {}", live.revision, live.generation, live.digest.short()),
    );
    let guard = format!("{} guard entries", enforcement.guard_entries);
    let disarmed = enforcement
        .disarmed
        .as_ref()
        .map(|disarm| format!("; DISARMED until {} by {}: {}", instant(disarm.until_ms), disarm.actor, disarm.reason));
    let others =
        if enforcement.others_judge { "; programs of another version judge until the next activation" } else { "" };
    format!("{mode}: {live}; {guard}{others}{}", disarmed.unwrap_or_default())
}

fn hooks(out: &mut dyn Write, enforcement: &Enforcement) -> io::Result<()> {
    if enforcement.hooks.is_empty() {
        return Ok(());
    }
    let mut rows = table(["INTERFACE", "ROLE", "HOOK", "ATTACHED", "REPAIRED"]);
    for hook in &enforcement.hooks {
        rows.add_row([
            hook.interface.clone(),
            hook.role.to_string(),
            hook.hook.clone(),
            if hook.attached { "yes" } else { "NO" }.to_owned(),
            hook.repaired.to_string(),
        ]);
    }
    writeln!(out)?;
    write_table(out, &rows)
}

impl Show for Channels {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut rows = table(["CHANNEL", "ROLE", "INTERFACES", "WIRE", "DECLARED", "GUARD ENTRIES"]);
        for channel in &self.channels {
            rows.add_row([
                channel.name.clone(),
                channel.role.to_string(),
                list(&channel.interfaces, "-"),
                channel.wire.clone(),
                word(channel.origin),
                channel.guard_entries.to_string(),
            ]);
        }
        write_table(out, &rows)?;
        writeln!(out, "and {} entries for neighbour discovery and multicast listening", self.link_entries)
    }
}

impl Show for DisarmAnswer {
    fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "this node passes everything until {}; `hedgerow arm` ends that", instant(self.until_ms))
    }
}
