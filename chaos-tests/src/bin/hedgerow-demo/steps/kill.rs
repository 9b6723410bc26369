//! SIGKILL to the leader: the data path outlives the process, the cluster outlives the leader, and the killed one comes back.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chaos_tests::invariants::{MasterWatch, PeersWatch, converged, enforced, enforced_at};
use chaos_tests::probe::{Expect, HttpProbe, Stream};

use crate::report::{Notes, show};
use crate::stage::{AGREED_SECONDS_MAX, Stage, checked};

const PAUSE: Duration = Duration::from_millis(40);
const LIMIT: Duration = Duration::from_millis(800);

pub(crate) fn kill(stage: &mut Stage, notes: &mut Notes) -> Result<()> {
    let masters = MasterWatch::start(&stage.site);
    let peers = PeersWatch::start(&stage.site.balancers)?;
    let (leader, other) = stage.leader_and_other()?;
    let own = HttpProbe { to: stage.site.balancers[leader].addresses.own_shop(), limit: LIMIT };
    let allowed = Stream::start(&stage.site.allowed, own, Expect::Answer, PAUSE)?;
    let denied = Stream::start(&stage.site.denied, own, Expect::Silence, PAUSE)?;
    let file = stage.churn.write_next()?.display().to_string();
    let cli = stage.site.balancers[other].cli();
    notes.say(format!("SIGKILL to the agent on {}", stage.site.balancers[leader].name()))?;
    let started = Instant::now();
    stage.site.balancers[leader].kill_agent()?;
    cli.done(&["policy", "apply", "-f", &file, "--wait", "none", "--timeout", "15s"])?;
    notes
        .measure("leader killed to the next write committed, at another node, CLI included", show(started.elapsed()))?;
    notes.say("enforcement on the node whose agent is dead:")?;
    notes.say(checked(&enforced_at(&stage.site, leader)?)?)?;
    notes.say(checked(&enforced(&stage.site, &stage.indices())?)?)?;
    let (allowed, denied) = (allowed.finish(), denied.finish());
    let value = format!("{} of {} / {} of {}", allowed.right, allowed.asked, denied.right, denied.asked);
    notes.measure("  requests to that node meanwhile, allowed served / denied kept out", value)?;
    ensure!(allowed.wrong.is_empty(), "an allowed request to {own:?} failed: {:?}", allowed.wrong);
    ensure!(denied.wrong.is_empty(), "a denied request to {own:?} got through: {:?}", denied.wrong);
    stage.same_master(&masters, notes)?;
    let broken = peers.broken(&stage.site.balancers[..stage.running])?;
    ensure!(broken.is_empty(), "HAProxy peers: {}", broken.join("; "));
    Ok(())
}

pub(crate) fn back(stage: &mut Stage, notes: &mut Notes) -> Result<()> {
    let gone = stage.site.balancers.iter().position(|one| one.agent.is_none()).context("no agent is down")?;
    let masters = MasterWatch::start(&stage.site);
    let own = HttpProbe { to: stage.site.balancers[gone].addresses.own_shop(), limit: LIMIT };
    let allowed = Stream::start(&stage.site.allowed, own, Expect::Answer, PAUSE)?;
    let denied = Stream::start(&stage.site.denied, own, Expect::Silence, PAUSE)?;
    let (leader, _) = stage.site.wait_leader(AGREED_SECONDS_MAX)?;
    let revision = stage.site.balancers[leader].cli().status()?.policy.revision;
    let forming = stage.site.expect(crate::stage::FOUNDERS);
    let started = Instant::now();
    stage.site.start_agent(gone, &forming)?;
    let same = converged(&stage.site.balancers, revision, AGREED_SECONDS_MAX)?;
    notes.measure("killed peer back, from its start to the same digest on all four", show(started.elapsed()))?;
    notes.say(format!("revision {}, digest {}", same.revision, same.digest))?;
    let (allowed, denied) = (allowed.finish(), denied.finish());
    ensure!(allowed.wrong.is_empty(), "an allowed request failed while it came back: {:?}", allowed.wrong);
    ensure!(denied.wrong.is_empty(), "a denied request got through while it came back: {:?}", denied.wrong);
    notes.say(checked(&enforced(&stage.site, &stage.indices())?)?)?;
    stage.same_master(&masters, notes)
}
