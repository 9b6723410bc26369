//! The policies of `deploy/demo/policies`, and what they do to packets.

use anyhow::{Result, ensure};
use chaos_tests::invariants::{MasterWatch, PeersWatch, converged, enforced, enforced_at};

use crate::report::{Notes, show};
use crate::stage::{AGREED_SECONDS_MAX, Stage, checked};

pub(crate) fn apply(stage: &mut Stage, notes: &mut Notes) -> Result<()> {
    let masters = MasterWatch::start(&stage.site);
    let peers = PeersWatch::start(&stage.site.balancers[..stage.running])?;
    let (leader, other) = stage.leader_and_other()?;
    let names = (stage.site.balancers[leader].name().to_owned(), stage.site.balancers[other].name().to_owned());
    notes.say(format!("{} leads; policy apply -f deploy/demo/policies --wait all at {}", names.0, names.1))?;
    let cli = stage.site.balancers[other].cli();
    let applied = cli.apply(&stage.file("policies"), &["--message", "the shop and its web servers"])?;
    ensure!(applied.outcome == "active", "revision {} is {}", applied.revision, applied.outcome);
    stage.revision = applied.revision;
    let activated = applied.activated_ms.map_or_else(|| "?".to_owned(), |millis| millis.to_string());
    notes.measure("first policies, from the request to enforced on all three", format!("{activated} ms"))?;
    let same = converged(&stage.site.balancers[..stage.running], applied.revision, AGREED_SECONDS_MAX)?;
    notes.say(format!("revision {} on every node, digest {}", same.revision, same.digest))?;
    notes.say(format!("all nodes attest the same bytes after {}", show(same.took)))?;
    stage.same_master(&masters, notes)?;
    let broken = peers.broken(&stage.site.balancers[..stage.running])?;
    ensure!(broken.is_empty(), "HAProxy peers: {}", broken.join("; "));
    Ok(())
}

pub(crate) fn through_the_vip(stage: &mut Stage, notes: &mut Notes) -> Result<()> {
    notes.say(checked(&enforced(&stage.site, &[])?)?)
}

pub(crate) fn from_behind(stage: &mut Stage, notes: &mut Notes) -> Result<()> {
    for index in stage.indices() {
        notes.say(checked(&enforced_at(&stage.site, index)?)?)?;
    }
    Ok(())
}
