//! "Deny everything to everyone", and the channels that keep the cluster together go on (G0).

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chaos_tests::invariants::{MasterWatch, PeersWatch, converged, enforced, locked_down, served};
use chaos_tests::wait;

use crate::report::{Notes, show};
use crate::stage::{AGREED_SECONDS_MAX, Stage, checked};

/// Longer than HAProxy's peers, VRRP and gossip each need to notice a silent channel (5 s, 0.4 s, under 2 s).
const HELD: Duration = Duration::from_secs(8);
/// How long HAProxy may take to see its web servers again.
const SERVED_SECONDS_MAX: Duration = Duration::from_secs(10);

pub(crate) fn play(stage: &mut Stage, notes: &mut Notes) -> Result<()> {
    let before = stage.site.balancers[0].cli().status()?.policy.revision;
    let held = hold(stage, notes);
    // Whatever came of it: the steps that follow need their policies back.
    let back = take_back(stage, notes, before);
    held.and(back)
}

/// Applies the revision and looks at everything that must not notice.
fn hold(stage: &mut Stage, notes: &mut Notes) -> Result<()> {
    let masters = MasterWatch::start(&stage.site);
    let peers = PeersWatch::start(&stage.site.balancers)?;
    let (_, other) = stage.leader_and_other()?;
    let term = term(stage)?;
    let applied = stage.site.balancers[other].cli().apply(&stage.file("deny-all"), &[])?;
    ensure!(applied.outcome == "active", "revision {} is {}", applied.revision, applied.outcome);
    let started = Instant::now();
    notes.say(checked(&locked_down(&stage.site, &stage.indices())?)?)?;
    // Raft goes on: under the worst policy there is, every node commits a revision of its own.
    for index in stage.indices() {
        let file = stage.churn.write_next()?;
        let more = stage.site.balancers[index].cli().apply(&file, &[])?;
        ensure!(more.outcome == "active", "revision {} of {} is {}", more.revision, index + 1, more.outcome);
    }
    thread::sleep(HELD.saturating_sub(started.elapsed()));
    for balancer in &stage.site.balancers {
        let status = balancer.cli().status()?;
        ensure!(status.members.alive == stage.running as u64, "{} sees {:?}", balancer.name(), status.members);
        ensure!(status.raft.is_some_and(|raft| raft.quorum), "{} has no quorum", balancer.name());
    }
    stage.same_master(&masters, notes)?;
    let broken = peers.broken(&stage.site.balancers)?;
    ensure!(broken.is_empty(), "HAProxy peers: {}", broken.join("; "));
    let what = "deny everything: VRRP changes / HAProxy peer sessions lost / members lost / Raft elections";
    let elections = self::term(stage)? - term;
    notes.measure(what, format!("0 / 0 / 0 / {elections} in {}", show(started.elapsed())))
}

/// The highest term that any node knows.
fn term(stage: &Stage) -> Result<u64> {
    let mut highest = 0;
    for index in stage.indices() {
        let raft = stage.site.balancers[index].cli().status()?.raft;
        highest = highest.max(raft.map_or(0, |raft| raft.term));
    }
    Ok(highest)
}

fn take_back(stage: &Stage, notes: &mut Notes, before: u64) -> Result<()> {
    let (_, other) = stage.leader_and_other()?;
    let started = Instant::now();
    let applied = stage.site.balancers[other].cli().rollback(before)?;
    converged(&stage.site.balancers, applied.revision, AGREED_SECONDS_MAX)?;
    notes
        .say(format!("rolled back to the documents of revision {before} at {}", stage.site.balancers[other].name()))?;
    notes.measure("deny everything: taken back on all nodes, CLI included", show(started.elapsed()))?;
    wait::until("the allowed client to be served again", SERVED_SECONDS_MAX, || {
        served(&stage.site).map_err(|error| error.to_string())?.check()
    })?;
    notes.measure(
        "  and the allowed client served, once HAProxy has seen its web servers again",
        show(started.elapsed()),
    )?;
    notes.say(checked(&enforced(&stage.site, &stage.indices())?)?)
}
