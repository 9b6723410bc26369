//! What the steps hand on to each other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chaos_tests::invariants::{Findings, MasterWatch};
use chaos_tests::site::{Churn, Site, SiteConfig};

use crate::options::Options;
use crate::report::{Notes, show};

/// How many load balancers form the cluster; one more joins.
pub(crate) const FOUNDERS: u8 = 3;
/// How long the cluster may take to agree after something changed.
pub(crate) const AGREED_SECONDS_MAX: Duration = Duration::from_secs(30);

/// The site and what is known about it.
pub(crate) struct Stage {
    pub(crate) site: Site,
    pub(crate) churn: Churn,
    /// How many load balancers take part by now.
    pub(crate) running: usize,
    /// The revision with the policies of the demonstration.
    pub(crate) revision: u64,
    pub(crate) revisions_in_a_row: u32,
    deploy: PathBuf,
}

impl Stage {
    pub(crate) fn new(options: &Options, program: PathBuf) -> Result<Self> {
        let lab_program = std::env::current_exe()?.with_file_name("hedgerow-lab");
        ensure!(lab_program.is_file(), "{} is missing: run `cargo build -p chaos-tests`", lab_program.display());
        let site = Site::new(&SiteConfig { balancers: FOUNDERS + 1, program, lab_program })?;
        let churn = Churn::new(&site.lab, "guests")?;
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo");
        let deploy = deploy
            .canonicalize()
            .with_context(|| format!("the policies of the demonstration in {}", deploy.display()))?;
        Ok(Self { site, churn, running: FOUNDERS.into(), revision: 0, revisions_in_a_row: options.revisions, deploy })
    }

    /// A file or folder of `deploy/demo`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.deploy.join(name)
    }

    /// The indices of the load balancers that take part by now.
    pub(crate) fn indices(&self) -> Vec<usize> {
        (0..self.running).collect()
    }

    /// The leader, and another one.
    pub(crate) fn leader_and_other(&self) -> Result<(usize, usize)> {
        let (leader, _) = self.site.wait_leader(AGREED_SECONDS_MAX)?;
        Ok((leader, (leader + 1) % self.running))
    }

    /// Fails when VRRP changed its master since the watch began. A change at a moment at which this machine itself stood still is
    /// told and not counted.
    pub(crate) fn same_master(&self, watch: &MasterWatch, notes: &mut Notes) -> Result<()> {
        let changes = watch.changes(&self.site);
        if !changes.stalled.is_empty() {
            let longest = self.site.stalls().iter().map(|stall| stall.lasted).max().unwrap_or_default();
            notes.measure("VRRP changed while this machine itself stood still, for as long as", show(longest))?;
        }
        ensure!(changes.counted.is_empty(), "VRRP changed its master: {:?}", changes.counted);
        Ok(())
    }

    /// How to look around in a laboratory that was left up.
    pub(crate) fn how_to_enter(&self) -> String {
        let mut text =
            format!("The laboratory {} stays up, in {}.\n", self.site.lab.name(), self.site.lab.dir().display());
        for balancer in &self.site.balancers {
            text.push_str(&format!(
                "  ip netns exec {} env HEDGEROW_SOCKET={} bash   # then: {} status\n",
                balancer.machine.name(),
                balancer.socket().display(),
                balancer.program().display()
            ));
        }
        for machine in [&self.site.allowed, &self.site.denied] {
            text.push_str(&format!("  ip netns exec {} curl -m 2 http://203.0.113.100/\n", machine.name()));
        }
        text.push_str("Remove it with `cargo xtask lab clean`.");
        text
    }
}

/// Turns findings into remarks, or into an error when one of them is wrong.
pub(crate) fn checked(findings: &Findings) -> Result<String> {
    findings.check().map_err(anyhow::Error::msg)?;
    Ok(findings.right.join("\n"))
}
