//! Zero-touch forming: the same configuration on three nodes, and one cluster comes of it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use chaos_tests::invariants::{MasterWatch, open};

use crate::report::{Notes, show};
use crate::stage::{FOUNDERS, Stage, checked};

pub(crate) fn play(stage: &mut Stage, notes: &mut Notes) -> Result<()> {
    let watch = MasterWatch::start(&stage.site);
    let took = stage.site.form(FOUNDERS)?;
    notes.measure(
        "cluster of three formed, from the start of the programs to all three ready and attached",
        show(took),
    )?;
    let mut clusters = BTreeSet::new();
    for balancer in &stage.site.balancers[..FOUNDERS.into()] {
        let status = balancer.cli().status()?;
        let raft = status.raft.context("a node that is ready takes part in Raft")?;
        ensure!(raft.voters.len() == usize::from(FOUNDERS), "{} sees the voters {:?}", balancer.name(), raft.voters);
        ensure!(status.enforcement.mode == "kernel", "{} enforces by {}", balancer.name(), status.enforcement.mode);
        clusters.insert(status.cluster.context("a node that is ready has a cluster")?);
    }
    ensure!(clusters.len() == 1, "more than one cluster came of it: {clusters:?}");
    let (leader, _) = stage.leader_and_other()?;
    notes.say(format!(
        "cluster {}, led by {}",
        clusters.into_iter().collect::<String>(),
        stage.site.balancers[leader].name()
    ))?;
    for balancer in &stage.site.balancers[..FOUNDERS.into()] {
        ensure!(balancer.cli().status()?.is_attached(), "{} is ready, and a hook is not attached", balancer.name());
    }
    checked(&open(&stage.site, &stage.indices())?).context("a new cluster must not break anything")?;
    stage.same_master(&watch, notes)
}
