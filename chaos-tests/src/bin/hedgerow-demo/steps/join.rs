//! One more load balancer: a token made at one node, used at another, and the newcomer enforces the same bytes.

use std::time::Instant;

use anyhow::Result;
use chaos_tests::invariants::{MasterWatch, PeersWatch, converged, enforced_at};
use chaos_tests::site::Forming;

use crate::report::{Notes, show};
use crate::stage::{AGREED_SECONDS_MAX, Stage, checked};

pub(crate) fn play(stage: &mut Stage, notes: &mut Notes) -> Result<()> {
    let masters = MasterWatch::start(&stage.site);
    let newcomer = stage.running;
    stage.site.start_agent(newcomer, &Forming::ByHand)?;
    let (_, other) = stage.leader_and_other()?;
    let started = Instant::now();
    let token = stage.site.balancers[other].cli().token(&["--ttl", "10m"])?;
    notes.say(format!(
        "token made at {}, used at {}",
        stage.site.balancers[other].name(),
        stage.site.balancers[newcomer].name()
    ))?;
    stage.site.balancers[newcomer].cli().done(&["cluster", "join", &token])?;
    stage.site.balancers[newcomer].wait_ready(AGREED_SECONDS_MAX)?;
    notes.measure("fourth node joined, from the token to ready and enforcing", show(started.elapsed()))?;
    stage.running += 1;
    let same = converged(&stage.site.balancers, stage.revision, AGREED_SECONDS_MAX)?;
    notes.say(format!("four nodes enforce revision {}, digest {}", same.revision, same.digest))?;
    stage.site.start_services(newcomer)?;
    let settled = stage.site.settle(stage.running)?;
    let peers = PeersWatch::start(&stage.site.balancers)?;
    notes.say(format!("keepalived and HAProxy on it too: {} peer sessions after {}", peers.count(), show(settled)))?;
    stage.same_master(&masters, notes)?;
    notes.say(checked(&enforced_at(&stage.site, newcomer)?)?)
}
