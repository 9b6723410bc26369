//! Many revisions in a row, at every node in turn, under traffic.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chaos_tests::invariants::{MasterWatch, PeersWatch, converged};
use chaos_tests::probe::{Expect, HttpProbe, Stream, Tally};
use chaos_tests::site::{vip4, vip6};

use crate::report::{Notes, show};
use crate::stage::{AGREED_SECONDS_MAX, Stage};

/// The pause between two requests of a stream.
const PAUSE: Duration = Duration::from_millis(40);
/// The limit of a request of a stream.
const LIMIT: Duration = Duration::from_millis(800);

pub(crate) fn play(stage: &mut Stage, notes: &mut Notes) -> Result<()> {
    let masters = MasterWatch::start(&stage.site);
    let peers = PeersWatch::start(&stage.site.balancers)?;
    let mut streams = Vec::new();
    for (family, to) in [("IPv4", vip4()), ("IPv6", vip6())] {
        let probe = HttpProbe { to, limit: LIMIT };
        streams.push((
            format!("allowed client served, {family}"),
            Stream::start(&stage.site.allowed, probe, Expect::Answer, PAUSE)?,
        ));
        streams.push((
            format!("denied client kept out, {family}"),
            Stream::start(&stage.site.denied, probe, Expect::Silence, PAUSE)?,
        ));
    }
    let started = Instant::now();
    let times = storm(stage)?;
    let whole = started.elapsed();
    let last = stage.site.balancers[0].cli().status()?.policy.revision;
    converged(&stage.site.balancers, last, AGREED_SECONDS_MAX)?;
    let tallies: Vec<_> = streams.into_iter().map(|(who, stream)| (who, stream.finish())).collect();
    let count = times.len();
    notes.measure("revisions in a row, each enforced on all four nodes", format!("{count} in {}", show(whole)))?;
    notes.measure("  one revision, request to enforced everywhere, CLI included: median, p99, worst", spread(times))?;
    notes.measure("  VRRP changes of state / HAProxy peer sessions lost", {
        let broken = peers.broken(&stage.site.balancers[..stage.running])?;
        format!("{} / {}", masters.changes(&stage.site).counted.len(), broken.len())
    })?;
    for (who, tally) in &tallies {
        tell(notes, who, tally)?;
    }
    stage.same_master(&masters, notes)?;
    let broken = peers.broken(&stage.site.balancers[..stage.running])?;
    ensure!(broken.is_empty(), "HAProxy peers: {}", broken.join("; "));
    for (who, tally) in tallies {
        ensure!(tally.asked > 0 && tally.wrong.is_empty(), "requests went wrong: {who}: {:?}", tally.wrong);
    }
    Ok(())
}

/// Applies the revisions, at each node in turn; returns how long each took.
fn storm(stage: &mut Stage) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for number in 0..stage.revisions_in_a_row as usize {
        let file = stage.churn.write_next()?;
        let started = Instant::now();
        let applied = stage.site.balancers[number % stage.running].cli().apply(&file, &[])?;
        times.push(started.elapsed());
        ensure!(applied.outcome == "active", "revision {} is {}", applied.revision, applied.outcome);
    }
    Ok(times)
}

fn tell(notes: &mut Notes, who: &str, tally: &Tally) -> Result<()> {
    let value = format!("{} of {}", tally.right, tally.asked);
    notes.measure(&format!("  requests meanwhile: {who}"), value)
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("{}, {}, {}", show(at(50)), show(at(99)), show(at(100)))
}
